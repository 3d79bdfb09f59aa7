// breaker: whether an upstream that takes connections is worth a request. No clock, no I/O.
// After some failures in a row nobody asks it for a while; then one request does, the trial, and
// its end decides.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ice/duration.hpp>
#include <ice/error.hpp>
#include <ice/limits.hpp>
#include <utility>

namespace ice {

class breaker {
public:
    enum class states : std::uint8_t {
        closed,     // requests pass
        open,       // none does
        half_open,  // the trial does, and no other
    };
    // Which trial it is: one of an earlier pause has no say in this one. 0: none.
    using trial = std::uint32_t;

    explicit breaker(const breaker_limits& limits) noexcept : limits_(limits) {}

    states state() const noexcept { return state_; }
    bool is_closed() const noexcept { return state_ == states::closed; }
    std::size_t failures() const noexcept { return failures_; }  // in a row, until now
    error_code why() const noexcept { return why_; }             // what has opened it
    // While it is not closed: when a trial may begin.
    time_point due() const noexcept {
        return state_ == states::half_open ? given_up_ : due_;  // mutant: one_trial
    }

    // A request was answered. Whichever it was, and however long it was in flight: the upstream
    // answers. True if that has closed it.
    bool succeeded() noexcept {
        failures_ = 0;
        return std::exchange(state_, states::closed) != states::closed;
    }

    // A request has failed: the trial, or (0) any other. True if that has opened it. While it is
    // not closed the failures of others are old news: they began before. The pause is any time up
    // to breaker_limits::first, or up to what it has been broken for: it at most doubles an outage.
    bool failed(error_code why, trial p, time_point now, std::uint64_t random) noexcept {
        if (is_closed() ? ++failures_ < limits_.failures : !is_current(p)) return false;
        if (is_closed()) since_ = now;
        why_ = why;
        state_ = states::open;
        const duration outage = now - since_;
        const duration most = std::min(std::max(outage, limits_.first), limits_.cap);
        due_ = after(now, any_up_to(most, random));
        return true;
    }

    // For who comes first after the pause, or after the trial before has been given up, which then
    // decides nothing more; 0 for everybody else.
    trial begin_trial(time_point now) noexcept {
        if (is_closed() || now < due()) return 0;
        state_ = states::half_open;
        given_up_ = never;
        return ++last_ == 0 ? ++last_ : last_;
    }
    // Its request has begun, and has until `at`; or (`never`) it waits for one.
    void give_up(trial p, time_point at) noexcept {
        if (is_current(p)) given_up_ = at;
    }

    // It ended without a verdict: its caller left, or its connection was lost before. Who comes
    // next is the trial.
    void left(trial p) noexcept {
        if (is_current(p)) state_ = states::open;
    }

    // Whether that trial still decides: not after a newer one, nor after a reply to any request,
    // even if the breaker has opened again since.
    bool is_current(trial p) const noexcept {
        return state_ == states::half_open && p != 0 && p == last_;
    }

private:
    breaker_limits limits_;
    std::size_t failures_ = 0;
    time_point since_{};     // when it was closed last
    time_point due_{};       // the end of the pause
    time_point given_up_{};  // when the trial is waited for no longer
    error_code why_;
    trial last_ = 0;
    states state_ = states::closed;
};

}  // namespace ice
