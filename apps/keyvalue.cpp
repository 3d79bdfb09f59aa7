// keyvalue: keeps values under keys, in memory, for clients of Redis or of memcached.
#include "app.hpp"
#include "memcached_items.hpp"
#include "resp_items.hpp"

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:6379", protocol = "resp";
    std::size_t memory = 64 * 1024 * 1024;

    command_line cli{"Keeps values under keys, for clients of Redis or memcached.", "keyvalue"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_choice("--protocol", protocol, {"resp", "memcached"}, "that of Redis or memcached");
    cli.add_bytes("--memory", memory, "bytes to keep (64 MiB)");

    return cli.run(argc, argv, [&] {
        ice::server srv;
        ice::tcp_server_action at{ice::address(listen)};
        const bounded_map values(memory);
        if (protocol == "memcached")
            print_ready(srv.add(
                std::move(at).protocol(ice::memcached_requests{}).logic(memcached_items{values})));
        else
            print_ready(
                srv.add(std::move(at).protocol(ice::resp_requests{}).logic(resp_items{values})));
        srv.run();
    });
}
