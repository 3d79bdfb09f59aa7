// Step 2: a logic, as a plain function: what to answer.
#include <fmt/chrono.h>

#include <ice/ice.hpp>

const ice::address SERVER{"localhost", 9999};

// [logic]
std::string gettime(std::string_view request) {
    if (request == "gettime") return fmt::format("{}", std::chrono::system_clock::now());
    return "command wrong";
}
// [logic]

int main() {
    ice::server srv;
    // [add]
    srv.add(ice::tcp_server_action{SERVER}.logic(gettime));
    // [add]
    srv.run();
}
