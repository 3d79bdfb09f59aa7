// cached_time: answers "gettime" from Redis or memcached, where the time of a time server is kept
// for a second.
#include "app.hpp"
#include "local_time.hpp"
#include "time_cache.hpp"

namespace {

using namespace std::chrono_literals;

template <class Cache>
struct gettime {
    ice::pool<typename Cache::protocol>& cache;
    ice::pool<ice::line>& timeserver;

    ice::task<std::string> operator()(std::string_view request) {
        if (request != "gettime") co_return "command wrong";

        const auto get = Cache::get();
        const auto cached = co_await cache.request(get, 250ms);
        if (cached && looks_like_a_time(Cache::text(*cached)))
            co_return std::string(Cache::text(*cached));

        auto fresh = co_await timeserver.request(request, 500ms);
        if (!fresh || !looks_like_a_time(*fresh)) co_return local_time();

        // Not if the cache has just failed; and if it fails now, the next one asks the time server.
        const auto set = Cache::set(*fresh);
        if (cached) static_cast<void>(co_await cache.request(set, 250ms));
        co_return *fresh;
    }
};

template <class Cache>
void serve(const std::string& listen, const std::string& cached, const std::string& upstream) {
    ice::server srv;
    auto& cache = srv.add(
        ice::tcp_client_action{ice::address(cached), "cache", 3, typename Cache::protocol{}});
    auto& timeserver =
        srv.add(ice::tcp_client_action{ice::address(upstream), "timeserver", 3, ice::line{}});
    print_ready(srv.add(ice::tcp_server_action{ice::address(listen)}
                            .protocol(ice::telnet{})
                            .logic(gettime<Cache>{cache, timeserver})));
    srv.run();
}

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:9999", upstream = "127.0.0.1:10000";
    std::string redis = "127.0.0.1:6379", memcached;

    command_line cli{"Answers the line 'gettime' from a cache, or a time server.", "cached_time"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_address("--redis", redis, "the cache");
    cli.add_address("--memcached", memcached, "the cache, in place of Redis");
    cli.add_address("--upstream", upstream, "the time server");

    return cli.run(argc, argv, [&] {
        if (memcached.empty()) serve<redis_cache>(listen, redis, upstream);
        else serve<memcached_cache>(listen, memcached, upstream);
    });
}
