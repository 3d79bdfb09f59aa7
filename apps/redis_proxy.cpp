// redis_proxy: many clients of Redis share a few connections to it. Each request of a client goes
// out at once, and its replies come back in the order of its requests.
#include <algorithm>

#include "app.hpp"

namespace {

// Commands that change or hold their connection, which the clients share.
constexpr std::string_view REFUSED[]{
    "auth",     "blmove",  "blmpop",   "blpop",      "brpop",    "brpoplpush",   "bzmpop",
    "bzpopmax", "client",  "bzpopmin", "discard",    "exec",     "hello",        "monitor",
    "multi",    "psync",   "quit",     "psubscribe", "reset",    "punsubscribe", "replconf",
    "select",   "sync",    "shutdown", "subscribe",  "unwatch",  "ssubscribe",   "sunsubscribe",
    "wait",     "waitaof", "watch",    "xread",      "failover", "unsubscribe",  "xreadgroup"};

// [proxy]
// In place of a reply of Redis.
std::optional<ice::resp_value> refuse(ice::resp_view request) {
    const std::string_view command = (*request.begin()).text();
    const auto is_it = [&](std::string_view one) { return ice::resp_names(command, one); };
    if (std::ranges::none_of(REFUSED, is_it)) return std::nullopt;
    return ice::resp_error(fmt::format("ERR no '{}' through a proxy", command));
}
ice::resp_value failed(const ice::failure& why) {
    return ice::resp_error(fmt::format("ERR {}", why));
}
// [proxy]

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:6380", upstream = "127.0.0.1:6379";
    std::size_t connections = 4, in_flight = 64;

    command_line cli{"Shares a few connections to a Redis among many clients.", "redis_proxy"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_address("--upstream", upstream, "the Redis");
    cli.add_count("--connections", connections, 1, 1000, "connections to it");
    cli.add_count("--in-flight", in_flight, 1, 10'000, "requests of one client at once");

    return cli.run(argc, argv, [&] {
        ice::server srv;
        auto& redis = srv.add(ice::tcp_client_action{
            ice::address(upstream), "redis", connections,
            ice::resp{}}.limits({.pipeline = 1000}));
        // [listen]
        auto& l = srv.add(ice::tcp_server_action{ice::address(listen)}
                              .protocol(ice::resp_requests{})
                              .limits({.in_flight = in_flight})
                              .logic(ice::forward(redis, failed, refuse)));
        // [listen]
        print_ready(l);
        srv.run();
    });
}
