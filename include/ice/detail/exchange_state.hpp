// exchange_state: decides whether a pool may lease a connection again. No I/O, no clock.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ice {

// The state of a connection when its lease ends.
struct exchange_state {
    std::uint32_t asked = 0;    // messages sent during the lease
    std::uint32_t replied = 0;  // messages received during the lease
    std::size_t unsent = 0;     // bytes that the kernel has not taken
    std::size_t residual = 0;   // bytes received that belong to no reply
    bool failed = false;        // an error, a timeout or a cancellation
    bool reusable = false;      // mark_reusable(): no exception, no destroyed coroutine
};

// Whether the pool keeps the connection. Only proof that nothing of this exchange can still arrive
// keeps it, so the next caller cannot get a reply to this one.
constexpr bool may_return(const exchange_state& e) noexcept {
    return e.reusable && !e.failed &&  // mutant: may_return
           e.asked == e.replied &&     // mutant: all_replied
           e.unsent == 0 &&            // mutant: all_sent
           e.residual == 0;            // mutant: nothing_left
}

}  // namespace ice
