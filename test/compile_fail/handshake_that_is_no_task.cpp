// expect: ice: handshake() is called with (ice::session<P>&),
// expect: and returns a task of error_code or bool
//
// A handshake waits for the peer, and a plain function cannot.
#include <ice/ice.hpp>

struct polite : ice::line {
#ifdef RIGHT
    ice::task<bool> handshake(ice::session<polite>& peer) { co_return !peer.push("welcome"); }
#else
    bool handshake(ice::session<polite>& peer) { return !peer.push("welcome"); }
#endif
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(polite{}));
}
