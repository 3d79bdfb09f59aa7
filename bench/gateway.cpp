// A gateway by ice, beside raw_gateway: passes lines to an upstream by a pool of four.
//     gateway UPSTREAM_PORT PIPELINE IN_FLIGHT PORT
#include <cstdio>
#include <exception>
#include <ice/ice.hpp>
#include <string>

int main(int argc, char** argv) try {
    if (argc != 5) return std::fputs("gateway UPSTREAM_PORT PIPELINE IN_FLIGHT PORT\n", stderr), 2;
    ice::server srv;
    const std::string local = "127.0.0.1:";
    auto to = ice::tcp_client_action{ice::address(local + argv[1]), "upstream", 4, ice::line{}};
    auto& upstream =
        srv.add(std::move(to).limits({.max_waiters = 10'000, .pipeline = std::stoul(argv[2])}));
    const auto failed = [](const ice::failure& why) { return "no reply: " + why.text(); };
    auto& here = srv.add(ice::tcp_server_action{ice::address(local + argv[4])}
                             .protocol(ice::line{})
                             .limits({.in_flight = std::stoul(argv[3])})
                             .logic(ice::forward(upstream, failed)));
    fmt::print("listening on {}\n", here.endpoint());
    ice::flush_stdout();
    srv.run();
} catch (const std::exception& error) {
    std::fprintf(stderr, "gateway: %s\n", error.what());
    return 1;
}
