// backoff: the pause before the next attempt. It grows, is capped, and has full jitter. No clock.
// Full jitter (any time from zero to the bound) spreads clients that lost one upstream together.
// As the bound grows fourfold, 2 s later at most one in twenty clients tries in any 100 ms.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ice/duration.hpp>
#include <ice/limits.hpp>

namespace ice {

class backoff {
public:
    explicit backoff(const backoff_limits& limits) noexcept : limits_(limits) { reset(); }

    // Returns the pause before the next attempt, and lets the bound grow. `random` is 64 random
    // bits: transport::random().
    duration next(std::uint64_t random) noexcept {
        const duration wait = any_up_to(bound_, random);
        bound_ = std::min(std::max(mul_sat(bound_, 4), least), limits_.cap);
        return wait;
    }

    // An attempt has succeeded: the next pause begins at backoff_limits::first again.
    void reset() noexcept { bound_ = std::min(limits_.first, limits_.cap); }

    // The longest pause that next() can return.
    duration bound() const noexcept { return bound_; }

private:
    // A bound of zero grows to this. Otherwise the pool would try an upstream that is down without
    // a pause.
    static constexpr duration least = std::chrono::milliseconds(1);

    backoff_limits limits_;
    duration bound_{};
};

}  // namespace ice
