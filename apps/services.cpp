// services: the small services of RFC 862 to 868 over TCP. Each is off unless its option is given.
#include <chrono>

#include "app.hpp"
#include "service_texts.hpp"

namespace {

// Sends what is true at this moment, and closes the connection.
struct tell {
    std::string (*text)();

    ice::task<> converse(ice::session<ice::raw>& peer) {
        const std::string now = text();
        static_cast<void>(co_await peer.send(now));  // no error matters: it was the only message
    }
};

// Sends until the peer leaves. send() waits for the peer, so a slow one costs one round of lines.
struct chargen {
    std::string lines = chargen_lines();

    ice::task<> converse(ice::session<ice::raw>& peer) {
        for (;;) {
            const auto unsent = co_await peer.send(std::string_view(lines));
            if (unsent) co_return;
            co_await peer.bytes().net().yield();  // send() need not wait if the peer reads fast
        }
    }
};

template <class L>
void serve(ice::server& srv, const char* name, const std::string& where, L logic) {
    if (where.empty()) return;
    print_ready(srv.add(ice::tcp_server_action{ice::address(where)}.logic(std::move(logic))), name);
}

}  // namespace

int main(int argc, char** argv) {
    std::string echo, discard, generate, date, seconds;

    command_line cli{"The services of RFC 862 to 868 over TCP; give at least one.", "services"};
    cli.add_address("--echo", echo, "where to send back what comes (RFC 862)");
    cli.add_address("--discard", discard, "where to answer nothing (RFC 863)");
    cli.add_address("--chargen", generate, "where to send characters without end (RFC 864)");
    cli.add_address("--daytime", date, "where to tell the local time as text (RFC 867)");
    cli.add_address("--time", seconds, "where to tell the seconds since 1900 (RFC 868)");

    return cli.run(argc, argv, [&] {
        if ((echo + discard + generate + date + seconds).empty())
            throw std::invalid_argument("no service: --help lists them");
        ice::server srv;
        srv.drain_timeout = std::chrono::seconds(1);  // chargen has no end of its own
        serve(srv, "echo", echo, ice::echo{});
        serve(srv, "discard", discard, [](std::string_view) {});
        serve(srv, "chargen", generate, chargen{});
        serve(srv, "daytime", date, tell{daytime});
        serve(srv, "time", seconds, tell{seconds_since_1900});
        srv.run();
    });
}
