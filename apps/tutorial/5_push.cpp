// Step 5: the session: push, broadcast, timers, and plain Asio inside a logic.
#include <fmt/chrono.h>
#include <asio.hpp>
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

// [push]
struct room {
    ask_timeserver ask;
    void opened(ice::session<telnet>& peer) {
        if (peer.push("welcome")) peer.close();
    }
    ice::task<std::optional<std::string>> operator()(std::string_view line,
                                                     ice::session<telnet>& peer) {
        if (line == "quiet") co_return std::nullopt;  // no answer
        if (line == "gettime") co_return co_await ask(line);
        if (line == "later") {  // whatever Asio can await
            asio::steady_timer timer(peer.executor(), std::chrono::milliseconds(20));
            co_await timer.async_wait(asio::use_awaitable);
        }
        peer.listener().broadcast(line);  // queued, never waits
        co_return fmt::format("you are {}", peer.uid());
    }
};
// [push]

int main() {
    ice::server srv;
    auto& timeserver = srv.add(ice::tcp_client_action{TIMESERVER, "timeserver", 3, telnet{}});
    srv.add(
        ice::tcp_server_action{SERVER}.protocol(telnet{}).logic(room{ask_timeserver{timeserver}}));
    srv.run();
}
