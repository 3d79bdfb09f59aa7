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

    CLI::App cli{"Answers the line 'gettime' with the local time.", "time"};
    add_address(cli, "--listen", listen, "where to listen");

    return run_app(cli, argc, argv, [&] {
        ice::server srv;
        print_ready(srv.add(
            ice::tcp_server_action{ice::address(listen)}.protocol(ice::telnet{}).logic(gettime)));
        srv.run();
    });
}
