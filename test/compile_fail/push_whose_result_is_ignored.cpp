// expect: push
//
// The danger: outbox_full is not noticed, and the peer misses a message without anybody knowing.
#include <ice/ice.hpp>

#pragma GCC diagnostic error "-Wunused-result"

bool tell(ice::session<ice::line>& peer) {
#ifdef RIGHT
    return !peer.push("soon");
#else
    peer.push("soon");
    return true;
#endif
}
