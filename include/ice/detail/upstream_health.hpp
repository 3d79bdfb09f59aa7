// upstream_health: whether an upstream accepts connections, and when to try again if not. No clock,
// no I/O.
#pragma once

#include <bit>
#include <cassert>
#include <cstdint>
#include <ice/detail/backoff.hpp>
#include <ice/duration.hpp>
#include <ice/error.hpp>
#include <ice/limits.hpp>
#include <utility>

namespace ice {

class upstream_health {
public:
    // `retry_interval` is the least time between two attempts that callers cause:
    // pool_timeouts::retry_interval.
    upstream_health(const backoff_limits& limits, duration retry_interval) noexcept
        : backoff_(limits), retry_interval_(retry_interval) {}

    // Whether the last attempt to connect failed, and with which error.
    bool is_failing() const noexcept { return failing_; }
    error_code why() const noexcept { return why_; }

    // Reports a failed attempt. Returns when the pool makes the next attempt by itself, without a
    // caller (backoff.hpp). `random` is 64 random bits.
    time_point failed(error_code why, time_point now, std::uint64_t random) noexcept {
        if (!std::exchange(failing_, true)) lost_ = now;
        why_ = why;
        const time_point soon = after(now, retry_interval_);
        next_attempt_ =
            soon < after(lost_, mul_sat(retry_interval_, 3)) ? soon : after(now, pause(random));
        return after(now, backoff_.next(random));
    }

    // Whether a caller may cause an attempt now. If so, the next one may not before another
    // `retry_interval`. Requires: is_failing().
    bool may_try(time_point now) noexcept {
        assert(failing_);
        if (now < next_attempt_) return false;
        next_attempt_ = after(now, retry_interval_);
        return true;
    }

    // Reports a successful attempt. Returns whether the attempt before it had failed. It does not
    // reset the back-off, as an upstream may accept connections and close them at once.
    bool connected() noexcept { return std::exchange(failing_, false); }

    // Reports a reply, which resets the back-off.
    void replied() noexcept { backoff_.reset(); }

private:
    // The pause between attempts of callers once the upstream is away for longer than a restart
    // takes. It is 4 to 14 retry intervals, at random: then of a thousand pools with callers at
    // most one in twenty connects in any 100 ms.
    duration pause(std::uint64_t random) const noexcept {
        const auto tenth = static_cast<duration::rep>(std::rotl(random, 32) % 101);
        return add_sat(mul_sat(retry_interval_, 4), mul_sat(retry_interval_ / 10, tenth));
    }

    backoff backoff_;
    duration retry_interval_;
    time_point lost_{};          // when attempts began to fail
    time_point next_attempt_{};  // callers cause no attempt before it
    error_code why_;
    bool failing_ = false;
};

}  // namespace ice
