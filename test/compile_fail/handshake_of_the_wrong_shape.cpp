// expect: ice: handshake() is called with (ice::session<P>&),
// expect: and returns a task of error_code or bool
//
// The danger: a handshake that nobody calls lets everyone in.
#include <ice/ice.hpp>

struct guarded : ice::line {
#ifdef RIGHT
    ice::task<bool> handshake(ice::session<guarded>& peer){
#else
    ice::task<bool> handshake(ice::session<ice::line>& peer) {
#endif
        auto word = co_await peer.receive();
    co_return word&&* word == "open sesame";
}
}
;

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(guarded{}));
}
