// expect: ice: the logic of a pool is called with (message), a reply
//
// A pool's logic sees the reply alone: it has no session, as a listener's may.
#include <ice/ice.hpp>

constexpr ice::pool_name<ice::line> greeting{"greeting"};

#ifdef RIGHT
std::string taken(std::string_view reply) { return std::string(reply); }
#else
std::string taken(std::string_view reply, ice::session<ice::line>&) { return std::string(reply); }
#endif

void add(ice::server& srv) {
    srv.add(ice::tcp_client_action{ice::address{"localhost", 10000}, greeting, 3}.logic(taken));
}
