// A shared object of a user with an echo server: it must be possible to link libice.a into it.
#include <ice/ice.hpp>

// Types of ice are printed before fmt/format.h is included, which then must still compile.
inline void say(const ice::listener_base& l) { fmt::print("{} {}\n", l.endpoint(), ice::uid(1)); }

#include <fmt/format.h>

extern "C" void serve_echo() {
    ice::server srv;
    say(srv.add(ice::tcp_server_action{ice::address{"127.0.0.1", 0}}));
    srv.run();
}
