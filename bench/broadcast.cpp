// Says each line of a client to all clients: of this process by listener::broadcast(), or of all
// processes by a bus over NATS.
//     broadcast [--bus NATS_ADDRESS] PORT
#include <cstdio>
#include <exception>
#include <ice/ice.hpp>
#include <string>
#include <string_view>

namespace {

using client = ice::session<ice::line>;

struct local {
    void operator()(std::string_view line, client& from) const { from.listener().broadcast(line); }
};

struct over_bus {
    ice::bus& bus;
    // What is said before the link is connected stays here: measuring.py begins when all hear all.
    void operator()(std::string_view line) const { (void)bus.publish("room", line); }
};

template <class L>
ice::listener<ice::line>& listen(ice::server& srv, const std::string& port, L logic) {
    auto& here = srv.add(ice::tcp_server_action{ice::address("127.0.0.1:" + port)}
                             .protocol(ice::line{})
                             .logic(std::move(logic)));
    fmt::print("listening on {}\n", here.endpoint());
    ice::flush_stdout();
    return here;
}

}  // namespace

int main(int argc, char** argv) try {
    ice::server srv;
    if (argc == 2) {
        listen(srv, argv[1], local{});
        srv.run();
    } else if (argc == 4 && std::string_view(argv[1]) == "--bus") {
        ice::bus bus(srv, ice::address(argv[2]));
        auto& here = listen(srv, argv[3], over_bus{bus});
        bus.subscribe("room", [&](std::string_view line) { here.broadcast(line); });
        srv.run();
    } else {
        return std::fputs("broadcast [--bus NATS_ADDRESS] PORT\n", stderr), 2;
    }
} catch (const std::exception& error) {
    std::fprintf(stderr, "broadcast: %s\n", error.what());
    return 1;
}
