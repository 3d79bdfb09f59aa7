// duration, time_point: how long, and when, on the steady clock. What is too long for 64 bits of
// nanoseconds is for ever, and overflows nowhere.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <ratio>
#include <utility>

namespace ice {

// A std::chrono::nanoseconds in every respect but one: a duration that it cannot express (beyond
// 292 years: milliseconds::max(), hours::max()) becomes the longest, duration::max(), or the
// shortest; std::chrono's own conversion overflows there, which is undefined. So each function and
// each option of ice may be given any duration of any unit.
class duration : public std::chrono::steady_clock::duration {
    using base = std::chrono::steady_clock::duration;

public:
    constexpr duration() noexcept = default;
    explicit constexpr duration(rep nanoseconds) noexcept : base(nanoseconds) {}
    // From what std::chrono would convert: whole numbers of a unit that is no finer.
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

// Every wait of ice is measured on the steady clock: setting the system's date moves no timeout.
using time_point = std::chrono::steady_clock::time_point;

// For a timeout, an interval or a cap: there is none.
inline constexpr duration no_timeout = duration::max();

// The deadline of something that may take for ever.
inline constexpr time_point never = time_point::max();

// The sum and the product, or the nearest that there is.
constexpr duration add_sat(duration a, duration b) noexcept {
    duration::rep sum = 0;
    if (!__builtin_add_overflow(a.count(), b.count(), &sum)) return duration(sum);
    return a > duration() ? duration::max() : duration::min();  // both have the same sign
}
constexpr duration mul_sat(duration a, duration::rep n) noexcept {
    duration::rep product = 0;
    if (!__builtin_mul_overflow(a.count(), n, &product)) return duration(product);
    return (a < duration()) == (n < 0) ? duration::max() : duration::min();
}

// One of all durations from zero to `most`, by a `random` from all of 64 bits; zero if `most` is
// less.
constexpr duration any_up_to(duration most, std::uint64_t random) noexcept {
    if (most <= duration()) return duration();
    const auto all = static_cast<std::uint64_t>(most.count()) + 1;
    return duration(static_cast<duration::rep>(random % all));
}

// `span` after `now`; `never` for no_timeout, and if it lies beyond the clock's range.
constexpr time_point after(time_point now, duration span) noexcept {
    if (span == no_timeout) return never;
    return time_point(add_sat(now.time_since_epoch(), span));
}

}  // namespace ice
