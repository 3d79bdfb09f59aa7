// expect: ice: the protocol has no packet(), or several that fit, for this message
//
// A handshake that sends a number by a protocol of text.
#include <ice/ice.hpp>

ice::task<bool> send_version(ice::session<ice::line>& peer) {
#ifdef RIGHT
    auto ec = co_await peer.send("1");
#else
    auto ec = co_await peer.send(1);
#endif
    co_return !ec;
}
