// subscribe: prints what is published on channels of Redis. It is a client alone: it listens
// nowhere.
#include <chrono>
#include <ice/link.hpp>
#include <iterator>

#include "../app.hpp"

namespace {

// [logic]
constexpr ice::link_name<ice::resp> redis{"redis"};

struct print_messages {
    std::vector<std::string> channels;

    // On each connection, so also when Redis was started again.
    void opened(ice::session<ice::resp>& peer) const {
        for (const std::string& channel : channels) {
            if (peer.push(ice::resp_command("SUBSCRIBE", channel))) peer.close();
        }
    }

    // ["message", channel, text], or ["subscribe", channel, how many]. PONG is another one.
    void operator()(ice::resp_view message) const {
        if (message.is_error()) ice::print_error(std::string(message.text()));
        if (message.size() != 3) return;
        const auto kind = message.begin(), channel = std::next(kind), text = std::next(channel);
        if ((*kind).text() == "subscribe") fmt::print("subscribed to {}\n", (*channel).text());
        if ((*kind).text() == "message") fmt::print("{}: {}\n", (*channel).text(), (*text).text());
        ice::flush_stdout();
    }
};
// [logic]

}  // namespace

int main(int argc, char** argv) {
    std::string where = "127.0.0.1:6379", channel = "news";
    std::size_t heartbeat = 10;

    command_line cli{"Prints what is published on a channel of Redis.", "subscribe"};
    cli.add_address("--redis", where, "where Redis listens");
    cli.add_text("--channel", channel, "what to subscribe to");
    cli.add_count("--heartbeat", heartbeat, 1, 3600, "seconds of silence until it pings Redis");

    return cli.run(argc, argv, [&] {
        // [add]
        ice::server srv;
        srv.add(ice::tcp_link_action{ice::address(where), redis}
                    .logic(print_messages{{channel}})
                    .heartbeat(ice::resp_command("PING"), std::chrono::seconds(heartbeat)));
        srv.run();
        // [add]
    });
}
