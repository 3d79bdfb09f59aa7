// expect: ice: the protocol has no packet(), or several that fit, for this message
//
// What can be pushed, sent or broadcast is what the protocol can write down.
#include <ice/ice.hpp>

void tell_the_count(ice::session<ice::line>& peer, std::size_t count) {
#ifdef RIGHT
    static_cast<void>(peer.push(std::to_string(count)));
#else
    static_cast<void>(peer.push(count));
#endif
}
