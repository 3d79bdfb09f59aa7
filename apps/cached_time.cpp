// cached_time: answers "gettime" from Redis, where the time of a time server is kept for a second.
#include "app.hpp"
#include "local_time.hpp"

namespace {

using namespace std::chrono_literals;

struct gettime {
    ice::pool<ice::resp>& redis;
    ice::pool<ice::line>& timeserver;

    ice::task<std::string> operator()(std::string_view request) {
        if (request != "gettime") co_return "command wrong";

        const auto get = ice::resp_command("GET", "ice:time");
        const auto cached = co_await redis.request(get, 250ms);
        if (cached && looks_like_a_time(cached->text())) co_return std::string(cached->text());

        auto fresh = co_await timeserver.request(request, 500ms);
        if (!fresh || !looks_like_a_time(*fresh)) co_return local_time();

        // Not if Redis has just failed; and if it fails now, the next one asks the time server.
        const auto set = ice::resp_command("SET", "ice:time", *fresh, "PX", 1000);
        if (cached) static_cast<void>(co_await redis.request(set, 250ms));
        co_return *fresh;
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:9999";
    std::string cache = "127.0.0.1:6379";
    std::string upstream = "127.0.0.1:10000";

    command_line cli{"Answers the line 'gettime' from Redis, or a time server.", "cached_time"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_address("--redis", cache, "the cache");
    cli.add_address("--upstream", upstream, "the time server");

    return cli.run(argc, argv, [&] {
        ice::server srv;
        auto& redis = srv.add(ice::tcp_client_action{ice::address(cache), "redis", 3, ice::resp{}});
        auto& timeserver =
            srv.add(ice::tcp_client_action{ice::address(upstream), "timeserver", 3, ice::line{}});
        print_ready(srv.add(ice::tcp_server_action{ice::address(listen)}
                                .protocol(ice::telnet{})
                                .logic(gettime{redis, timeserver})));
        srv.run();
    });
}
