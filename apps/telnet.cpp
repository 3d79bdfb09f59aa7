// telnet: answers "gettime" with the time of a time server, or with its own when that one fails.
#include "app.hpp"
#include "local_time.hpp"

namespace {

// A reply that is no time is an error: better our own clock than garbage.
ice::result<std::string> only_a_time(std::string_view reply) {
    if (!looks_like_a_time(reply)) return ice::errc::bad_message;
    return std::string(reply);
}

struct gettime {
    ice::pool<ice::line>& timeserver;
    std::chrono::milliseconds timeout;

    ice::task<std::string> operator()(std::string_view request) {
        if (request != "gettime") co_return "command wrong";

        auto reply = co_await timeserver.request(request, timeout);
        if (reply) co_return *reply;

        co_return local_time();
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:9999";
    std::string upstream = "127.0.0.1:10000";
    std::size_t connections = 3;
    int timeout = 1000;

    command_line cli{"Answers the line 'gettime' with the time of a time server.", "telnet"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_address("--upstream", upstream, "the time server");
    cli.add_count("--connections", connections, 1, 1000, "to the time server");
    cli.add_time("--timeout", timeout, "1s", "for the time server's reply, such as 500ms");

    return cli.run(argc, argv, [&] {
        ice::server srv;
        auto action =
            ice::tcp_client_action{ice::address(upstream), "timeserver", connections, ice::line{}};
        auto& timeserver = srv.add(std::move(action).logic(only_a_time));
        print_ready(srv.add(ice::tcp_server_action{ice::address(listen)}
                                .protocol(ice::telnet{})
                                .logic(gettime{timeserver, std::chrono::milliseconds(timeout)})));
        srv.run();
    });
}
