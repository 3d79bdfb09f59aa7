// expect: ice: the logic of a pool gives what the pool's name says, pool_name<P, R>:
// expect: an R or a result<R>
//
// The same for a logic that waits.
#include <ice/ice.hpp>

constexpr ice::pool_name<ice::line> greeting{"greeting"};

#ifdef RIGHT
ice::task<ice::result<std::string>> checked(std::string_view reply) {
    if (reply.empty()) co_return ice::errc::bad_message;
    co_return std::string(reply);
}
#else
ice::task<bool> checked(std::string_view reply) { co_return !reply.empty(); }
#endif

void add(ice::server& srv) {
    srv.add(ice::tcp_client_action{ice::address{"localhost", 10000}, greeting, 3}.logic(checked));
}
