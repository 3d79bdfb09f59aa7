// expect: ice: the protocol has no packet(), or several that fit, for what this logic answers
// Danger: two overloads of packet() fit equally, and "no packet()" sends people to look for one.
#include <ice/ice.hpp>
#include <string>

struct numbers : ice::raw {
    void packet(long, std::string&) const {}
    void packet(double, std::string&) const {}
};

#ifdef RIGHT
long answer(std::string_view) { return 1; }
#else
int answer(std::string_view) { return 1; }
#endif

void f(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address("127.0.0.1", 0)}.protocol(numbers{}).logic(answer));
}
