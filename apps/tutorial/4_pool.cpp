// Step 4: a pool of upstream connections, in a logic that waits.
#include <fmt/chrono.h>

#include <ice/ice.hpp>

const ice::address SERVER{"localhost", 9999};
const ice::address TIMESERVER{"localhost", 10000};

struct telnet {
    ice::parsed<std::string_view> parse(std::string_view input) {
        auto end = input.find("\r\n", searched);
        searched = end == input.npos && !input.empty() ? input.size() - 1 : 0;
        if (end == input.npos) return ice::need_more;
        return {input.substr(0, end), end + 2};
    }
    void packet(std::string_view line, std::string& out) { out.append(line).append("\r\n"); }
    std::size_t searched = 0;  // in the bytes before it no line ends
};

std::string gettime(std::string_view request) {
    if (request == "gettime") return fmt::format("{}", std::chrono::system_clock::now());
    return "command wrong";
}

// [pool]
struct ask_timeserver {
    ice::pool<telnet>& timeserver;

    ice::task<std::string> operator()(std::string_view request) {
        if (request == "gettime") {
            auto reply = co_await timeserver.request(request);
            if (reply) co_return *reply;
        }
        co_return gettime(request);  // by our own clock
    }
};
// [pool]

int main() {
    ice::server srv;
    // [add]
    auto& timeserver = srv.add(ice::tcp_client_action{TIMESERVER, "timeserver", 3, telnet{}});
    srv.add(ice::tcp_server_action{SERVER}.protocol(telnet{}).logic(ask_timeserver{timeserver}));
    // [add]
    srv.run();
}
