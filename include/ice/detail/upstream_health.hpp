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
    // `probe` is between two attempts that callers cause: pool_timeouts::probe.
    upstream_health(const backoff_limits& limits, duration probe) noexcept
        : backoff_(limits), probe_(probe) {}

    // The last attempt to connect failed, and why.
    bool is_failing() const noexcept { return failing_; }
    error_code why() const noexcept { return why_; }

    // An attempt has failed. When to make the next one if nobody asks for it: see backoff.hpp.
    time_point failed(error_code why, time_point now, std::uint64_t random) noexcept {
        if (!std::exchange(failing_, true)) lost_ = now;
        why_ = why;
        const time_point soon = after(now, probe_);
        probe_at_ = soon < after(lost_, mul_sat(probe_, 3)) ? soon : after(now, pause(random));
        return after(now, backoff_.next(random));
    }

    // While it is failing: whether a caller may cause an attempt. Then no other may for a while.
    bool may_probe(time_point now) noexcept {
        if (now < probe_at_) return false;
        probe_at_ = after(now, probe_);
        return true;
    }

    // An attempt has succeeded; true if those before had failed. The back-off goes on: there are
    // upstreams that accept, and close at once.
    bool connected() noexcept { return std::exchange(failing_, false); }

    // It has given a reply.
    void replied() noexcept { backoff_.reset(); }

private:
    // Once it is lost for longer than a restart takes: 4 to 14 probe times, by chance, so that of a
    // thousand pools with callers one in twenty at most tries in any 100 ms.
    duration pause(std::uint64_t random) const noexcept {
        const auto tenth = static_cast<duration::rep>(std::rotl(random, 32) % 101);
        return add_sat(mul_sat(probe_, 4), mul_sat(probe_ / 10, tenth));
    }

    backoff backoff_;
    duration probe_;
    time_point lost_{};      // when it began to fail
    time_point probe_at_{};  // while failing, callers cause no attempt before
    error_code why_;
    bool failing_ = false;
};

}  // namespace ice
