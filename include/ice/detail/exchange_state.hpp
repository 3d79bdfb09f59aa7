// exchange_state: whether a connection of a pool may be leased again. No I/O, no clock.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ice {

// All that is known of a connection that was leased.
struct exchange_state {
    std::uint32_t asked = 0;    // messages sent
    std::uint32_t replied = 0;  // messages received
    std::size_t unsent = 0;     // bytes that the kernel has not taken
    std::size_t residual = 0;   // bytes received and belonging to no reply
    bool failed = false;        // any error, timeout or cancellation
    bool reusable = false;      // the borrower came to a regular end (no exception, not destroyed)
};

// The one decision that keeps replies with their requesters: only positive proof returns a
// connection.
constexpr bool may_return(const exchange_state& e) noexcept {
    return e.reusable && !e.failed &&  // mutant: may_return
           e.asked == e.replied &&     // mutant: all_replied
           e.unsent == 0 &&            // mutant: all_sent
           e.residual == 0;            // mutant: nothing_left
}

}  // namespace ice
