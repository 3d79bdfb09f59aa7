// echo: answers what it is sent (RFC 862), as bytes or line by line.
#include "app.hpp"

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:9999";
    std::string protocol = "raw";

    command_line cli{"Echoes what it is sent.", "echo"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_choice("--protocol", protocol, {"raw", "line"},
                   "raw: bytes; line: lines ended by CR LF");

    return cli.run(argc, argv, [&] {
        const ice::address where(listen);
        ice::server srv;
        if (protocol == "line")
            print_ready(srv.add(ice::tcp_server_action{where}.protocol(ice::line{})));
        else print_ready(srv.add(ice::tcp_server_action{where}));
        srv.run();
    });
}
