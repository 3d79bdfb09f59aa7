// expect: ice: the logic of a pool gives what the pool's name says, pool_name<P, R>:
// expect: an R or a result<R>
//
// The name promises a number to all who ask.
#include <ice/ice.hpp>

constexpr ice::pool_name<ice::line, int> counter{"counter"};

void add(ice::server& srv) {
    ice::tcp_client_action action{ice::address{"localhost", 10000}, counter, 3};
#ifdef RIGHT
    srv.add(std::move(action).logic([](std::string_view reply) { return int(reply.size()); }));
#else
    srv.add(std::move(action).logic([](std::string_view reply) { return std::string(reply); }));
#endif
}
