// expect: ice: the protocol has no packet(), or several that fit, for this message
//
// The same for all sessions at once.
#include <fmt/format.h>
#include <ice/ice.hpp>

std::size_t announce(ice::listener<ice::telnet>& all, int hours) {
#ifdef RIGHT
    return all.broadcast(fmt::format("closing in {} hours", hours));
#else
    return all.broadcast(hours);
#endif
}
