// upstream_health: whether an upstream can be reached, and who may try it next. No clock, no I/O.
#pragma once

#include <bit>
#include <cstdint>
#include <ice/detail/backoff.hpp>
#include <ice/duration.hpp>
#include <ice/error.hpp>
#include <ice/limits.hpp>
#include <utility>

namespace ice {

class upstream_health {
public:
    // `retry_interval` is between two attempts that callers cause: pool_timeouts::retry_interval.
    upstream_health(const backoff_limits& limits, duration retry_interval) noexcept
        : backoff_(limits), retry_interval_(retry_interval) {}

    // The last attempt to connect failed, and why.
    bool is_failing() const noexcept { return failing_; }
    error_code why() const noexcept { return why_; }

    // An attempt has failed. When to make the next one if nobody asks for it: see backoff.hpp.
    time_point failed(error_code why, time_point now, std::uint64_t random) noexcept {
        if (!std::exchange(failing_, true)) lost_ = now;
        why_ = why;
        const time_point soon = after(now, retry_interval_);
        next_attempt_ =
            soon < after(lost_, mul_sat(retry_interval_, 3)) ? soon : after(now, pause(random));
        return after(now, backoff_.next(random));
    }

    // While it is failing: whether a caller may cause an attempt. Then no other may for a while.
    bool may_try(time_point now) noexcept {
        if (now < next_attempt_) return false;
        next_attempt_ = after(now, retry_interval_);
        return true;
    }

    // An attempt has succeeded; true if those before had failed. The back-off goes on: there are
    // upstreams that accept, and close at once.
    bool connected() noexcept { return std::exchange(failing_, false); }

    // It has given a reply.
    void replied() noexcept { backoff_.reset(); }

private:
    // The pause once the upstream is away for longer than a restart takes: 4 to 14 retry intervals
    // at random, so that of a thousand pools with callers at most one in twenty connects in any
    // 100 ms.
    duration pause(std::uint64_t random) const noexcept {
        const auto tenth = static_cast<duration::rep>(std::rotl(random, 32) % 101);
        return add_sat(mul_sat(retry_interval_, 4), mul_sat(retry_interval_ / 10, tenth));
    }

    backoff backoff_;
    duration retry_interval_;
    time_point lost_{};          // when it began to fail
    time_point next_attempt_{};  // while failing, callers cause no attempt before
    error_code why_;
    bool failing_ = false;
};

}  // namespace ice
