// Step 4 of the tutorial as a program of a user, with ports from the command line: consumer PORT
// UPSTREAM_PORT. It sends requests to a time server, or answers by its own clock.
#include <fmt/chrono.h>
#include <ice/ice.hpp>

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "telnet.hpp"

namespace {

constexpr ice::pool_name<telnet> timeserver{"timeserver"};

struct gettime {
    ice::server& srv;

    ice::task<std::string> operator()(std::string_view request) {
        if (request != "gettime") co_return "command wrong";

        auto reply = co_await srv.get(timeserver).request(request);
        if (reply) co_return *reply;

        co_return fmt::format("{}", std::chrono::system_clock::now());
    }
};

ice::address local(const char* port) {
    return {"127.0.0.1", static_cast<std::uint16_t>(std::stoi(port))};
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return 2;
    ice::server srv;
    srv.add(ice::tcp_client_action{local(argv[2]), timeserver, 3});
    srv.add(ice::tcp_server_action{local(argv[1])}.protocol(telnet{}).logic(gettime{srv}));
    srv.run();
}
