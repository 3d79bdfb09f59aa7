// Step 3: a protocol of your own: what bytes mean.
#include <fmt/chrono.h>

#include <ice/ice.hpp>

const ice::address SERVER{"localhost", 9999};

// [protocol]
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
// [protocol]

std::string gettime(std::string_view request) {
    if (request == "gettime") return fmt::format("{}", std::chrono::system_clock::now());
    return "command wrong";
}

int main() {
    ice::server srv;
    // [add]
    srv.add(ice::tcp_server_action{SERVER}.protocol(telnet{}).logic(gettime));
    // [add]
    srv.run();
}
