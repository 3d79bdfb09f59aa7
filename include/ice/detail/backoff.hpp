// backoff: how long to wait before the next attempt. Growing, capped, with full jitter.
// Full jitter (any time from zero to the bound) spreads clients that lost one upstream together;
// growing by four, 2 s after it at most one in twenty of them tries in any 100 ms. No clock.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ice/duration.hpp>
#include <ice/limits.hpp>

namespace ice {

class backoff {
public:
    explicit backoff(const backoff_limits& limits) noexcept : limits_(limits) { reset(); }

    // The wait before the next attempt, with `random` from all of 64 bits; the bound then grows.
    duration next(std::uint64_t random) noexcept {
        const duration wait = any_up_to(bound_, random);
        bound_ = std::min(std::max(mul_sat(bound_, 4), least), limits_.cap);
        return wait;
    }

    // An attempt has succeeded.
    void reset() noexcept { bound_ = std::min(limits_.first, limits_.cap); }

    // The longest that next() would wait.
    duration bound() const noexcept { return bound_; }

private:
    // What a bound of zero grows to: else an upstream that is down would be tried without a pause.
    static constexpr duration least = std::chrono::milliseconds(1);

    backoff_limits limits_;
    duration bound_{};
};

}  // namespace ice
