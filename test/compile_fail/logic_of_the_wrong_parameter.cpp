// expect: ice: a logic is called with (message) or (message, ice::session<P>&), or has a member
// expect: dispatch of that shape; this one is not (is .protocol() missing?)
//
// raw gives a string_view, which does not become an int.
#include <ice/ice.hpp>

#ifdef RIGHT
std::string twice(std::string_view bytes) { return std::string(bytes) + std::string(bytes); }
#else
int twice(int number) { return 2 * number; }
#endif

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.logic(twice));
}
