// duration, time_point: lengths and points of time on the steady clock. A length that 64 bits of
// nanoseconds cannot express saturates, and never overflows.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <ratio>
#include <utility>

namespace ice {

// A number of nanoseconds, as std::chrono::nanoseconds, but its conversion saturates: a length
// beyond 292 years, such as milliseconds::max() or hours::max(), becomes duration::max(), and a
// negative one duration::min(). The conversion of std::chrono overflows there, which is undefined
// behaviour. So every function and option of ice accepts an integral duration of any unit:
//     listener_action.timeouts({.message = 500ms, .idle = std::chrono::hours(1)})
class duration : public std::chrono::steady_clock::duration {
    using base = std::chrono::steady_clock::duration;

public:
    // Zero.
    constexpr duration() noexcept = default;
    explicit constexpr duration(rep nanoseconds) noexcept : base(nanoseconds) {}
    // Converts from integral durations of units that are not finer, as std::chrono does. Others,
    // such as duration<double>, need a duration_cast, which shows that they are rounded.
    template <std::integral Rep, class Period>
        requires std::convertible_to<std::chrono::duration<Rep, Period>, base>
    constexpr duration(std::chrono::duration<Rep, Period> d) noexcept
        : base(saturated(d.count(), std::ratio_divide<Period, period>::num)) {}

private:
    template <class Rep>
    static constexpr rep saturated(Rep count, rep unit) noexcept {
        rep product = 0;
        if (!__builtin_mul_overflow(count, unit, &product)) return product;
        return std::cmp_less(count, 0) ? base::min().count() : base::max().count();
    }
};

// An instant on the steady clock (CLOCK_MONOTONIC). ice measures every wait on it, so setting the
// system's date moves no timeout. transport::now() reads it.
using time_point = std::chrono::steady_clock::time_point;

// As the value of a timeout, an interval or a cap it switches that off. Every option that takes a
// duration accepts it.
inline constexpr duration no_timeout = duration::max();

// The deadline that never comes. after(now, no_timeout) returns it.
inline constexpr time_point never = time_point::max();

// The sum and the product, saturated at duration::max() and duration::min(). Use them for values of
// users, whose sum may overflow: that is undefined behaviour with operator+.
constexpr duration add_sat(duration a, duration b) noexcept {
    duration::rep sum = 0;
    if (!__builtin_add_overflow(a.count(), b.count(), &sum)) return duration(sum);
    return a > duration() ? duration::max() : duration::min();  // both have the same sign
}
// `n` may be negative.
constexpr duration mul_sat(duration a, duration::rep n) noexcept {
    duration::rep product = 0;
    if (!__builtin_mul_overflow(a.count(), n, &product)) return duration(product);
    return (a < duration()) == (n < 0) ? duration::max() : duration::min();
}

// Maps 64 random bits to a duration from zero to `most`, both included. Returns zero if `most` is
// negative.
constexpr duration any_up_to(duration most, std::uint64_t random) noexcept {
    if (most <= duration()) return duration();
    const auto all = static_cast<std::uint64_t>(most.count()) + 1;
    return duration(static_cast<duration::rep>(random % all));
}

// The instant `span` after `now`. Returns `never` for no_timeout, and if the instant lies beyond
// the clock's range. A negative span gives an instant before `now`.
constexpr time_point after(time_point now, duration span) noexcept {
    if (span == no_timeout) return never;
    return time_point(add_sat(now.time_since_epoch(), span));
}

}  // namespace ice
