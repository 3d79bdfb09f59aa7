// task: a coroutine, and the clock by which ice waits.
// A task is a plain Asio coroutine: whatever Asio's manual awaits can be awaited in it.
#pragma once

#include <asio/awaitable.hpp>
#include <chrono>

namespace ice {

// Starts when it is awaited (or spawned), ends with a T.
template <class T = void>
using task = asio::awaitable<T>;

// Every wait of ice is measured on the steady clock: setting the system's date moves no timeout.
using duration = std::chrono::steady_clock::duration;
using time_point = std::chrono::steady_clock::time_point;

// The deadline of something that may take for ever.
inline constexpr time_point never = time_point::max();

// `span` after `now`; `never` if that lies beyond the clock's range.
template <class Rep, class Period>
constexpr time_point after(time_point now, std::chrono::duration<Rep, Period> span) noexcept {
    using coarse = std::chrono::duration<Rep, Period>;
    if (span >= std::chrono::duration_cast<coarse>(never - now)) return never;
    return now + span;
}

}  // namespace ice
