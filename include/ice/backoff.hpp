// backoff: how long to wait before the next attempt. Doubling, capped, with full jitter. No clock.
// Full jitter (any time from zero to the bound) spreads clients that lost one upstream together.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ice/limits.hpp>
#include <ice/task.hpp>

namespace ice {

class backoff {
public:
    explicit backoff(const backoff_limits& limits) noexcept : limits_(limits) { reset(); }

    // The wait before the next attempt, with `random` from all of 64 bits; the bound then doubles.
    duration next(std::uint64_t random) noexcept {
        const auto most = static_cast<std::uint64_t>(duration(bound_).count());
        bound_ = bound_ < limits_.cap / 2 ? std::max(bound_ * 2, least) : limits_.cap;
        return duration(static_cast<duration::rep>(random % (most + 1)));
    }

    // An attempt has succeeded.
    void reset() noexcept { bound_ = limits_.first < limits_.cap ? limits_.first : limits_.cap; }

    // The longest that next() would wait.
    duration bound() const noexcept { return bound_; }

private:
    // What a bound of zero grows to: else an upstream that is down would be tried without a pause.
    static constexpr std::chrono::milliseconds least{1};

    backoff_limits limits_;
    std::chrono::milliseconds bound_{};
};

}  // namespace ice
