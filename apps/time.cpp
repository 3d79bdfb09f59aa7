// time: answers the line "gettime" with the local time.
#include "app.hpp"
#include "local_time.hpp"

namespace {

std::string gettime(std::string_view request) {
    return request == "gettime" ? local_time() : "command wrong";
}

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:10000";

    command_line cli{"Answers the line 'gettime' with the local time.", "time"};
    cli.add_address("--listen", listen, "where to listen");

    return cli.run(argc, argv, [&] {
        ice::server srv;
        print_ready(srv.add(
            ice::tcp_server_action{ice::address(listen)}.protocol(ice::telnet{}).logic(gettime)));
        srv.run();
    });
}
