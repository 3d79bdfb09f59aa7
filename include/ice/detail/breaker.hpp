// breaker: whether to send requests to an upstream that accepts connections. No clock, no I/O.
// After breaker_limits::failures failures in a row the breaker opens: no request passes for a
// pause. Then one request passes, the trial. Its result closes the breaker or opens it again.
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
        closed,     // all requests pass
        open,       // no request passes
        half_open,  // the trial passes, and no other request
    };
    // The number of a trial; 0 is no trial. Only the current trial changes the state: the result of
    // a trial that was given up may arrive after a newer one has begun.
    using trial = std::uint32_t;

    explicit breaker(const breaker_limits& limits) noexcept : limits_(limits) {}

    states state() const noexcept { return state_; }
    bool is_closed() const noexcept { return state_ == states::closed; }
    // Requests that failed in a row, until now.
    std::size_t failures() const noexcept { return failures_; }
    // The error that opened the breaker last.
    error_code why() const noexcept { return why_; }
    // When the next trial may begin: at the end of the pause, or when the current trial is given
    // up. Meaningless while the breaker is closed.
    time_point due() const noexcept {
        return state_ == states::half_open ? given_up_ : due_;  // mutant: one_trial
    }

    // Reports a reply to any request: the upstream answers, so the breaker closes. Returns whether
    // the breaker was not closed before.
    bool succeeded() noexcept {
        failures_ = 0;
        return std::exchange(state_, states::closed) != states::closed;
    }

    // Reports the failure of the trial `t`, or of any other request (0). Returns whether that
    // opened the breaker. While the breaker is not closed only the current trial counts, as other
    // requests began before it opened. The pause is drawn from zero to breaker_limits::first or, if
    // that is longer, to the length of the outage so far. So a pause at most doubles an outage.
    bool failed(error_code why, trial t, time_point now, std::uint64_t random) noexcept {
        if (is_closed() ? ++failures_ < limits_.failures : !is_current(t)) return false;
        if (is_closed()) since_ = now;
        why_ = why;
        state_ = states::open;
        const duration outage = now - since_;
        const duration most = std::min(std::max(outage, limits_.first), limits_.cap);
        due_ = after(now, any_up_to(most, random));
        return true;
    }

    // Begins a trial if one is due, and returns its number. Returns 0 if no trial is due or the
    // breaker is closed. A trial before it that was given up changes nothing any more.
    trial begin_trial(time_point now) noexcept {
        if (is_closed() || now < due()) return 0;
        state_ = states::half_open;
        given_up_ = never;
        return ++last_ == 0 ? ++last_ : last_;
    }
    // Sets when the trial is given up, so that another may begin: at the end of its request, or
    // `never` while its connection waits for a request.
    void give_up(trial t, time_point at) noexcept {
        if (is_current(t)) given_up_ = at;
    }

    // The trial ended without a result: its caller was cancelled, or its connection was lost before
    // a request. The breaker is open again, and the next trial is due at once.
    void left(trial t) noexcept {
        if (is_current(t)) state_ = states::open;
    }

    // Whether the result of that trial counts: not after a newer trial has begun, nor after a reply
    // to any request, even if the breaker has opened again since.
    bool is_current(trial t) const noexcept {
        return state_ == states::half_open && t != 0 && t == last_;
    }

private:
    breaker_limits limits_;
    std::size_t failures_ = 0;
    time_point since_{};     // when the outage began: the breaker was closed until then
    time_point due_{};       // the end of the pause
    time_point given_up_{};  // when another trial may replace the current one
    error_code why_;
    trial last_ = 0;
    states state_ = states::closed;
};

}  // namespace ice
