// join_until, cancel_at, abandon_at: coroutines with a deadline, whatever they wait for. The first
// two wait for their end; abandon_at() does not. No clock: the queue of deadlines calls.
#pragma once

#include <asio/any_io_executor.hpp>
#include <cstddef>
#include <exception>
#include <ice/detail/deadline.hpp>
#include <ice/detail/export.hpp>
#include <ice/error.hpp>
#include <ice/task.hpp>
#include <memory>
#include <vector>

namespace ice {

// All run `work` on `executor`, begin it at once, and cancel it at `until`
// (asio::cancellation_type::terminal): what it waits for then, and every later co_await of an Asio
// operation or a task, ends with asio::error::operation_aborted. If the caller is cancelled, they
// cancel `work` too. `work` stores its result in a place that lives as long as it. Call them on the
// thread of the executor, with the queue of its transport. With `never` there is no deadline.

// How the work of join_until() has ended.
struct ICE_API joined {
    static constexpr auto none = static_cast<std::size_t>(-1);

    explicit joined(std::size_t n) : in_time(n) {}
    // Throws asio::error::operation_aborted.
    [[noreturn]] static void abort();

    std::vector<bool> in_time;  // which have returned before `until`
    std::size_t first = none;   // the first that has returned true
    std::size_t last = none;    // the one that has ended last
    // The first exception, other than operation_aborted of what was cancelled.
    std::exception_ptr thrown;
    bool is_late = false;   // `until` was reached
    bool has_left = false;  // the caller was cancelled
};

// Runs all of `work` side by side, and returns when each has ended. One that returns true before
// `until`, or throws, cancels the others, and those that have not begun never begin. One that
// disables its cancellation holds the caller until it ends. The frames of all are destroyed before
// that of the caller, so they may refer to what the caller has. Throws std::bad_alloc only if none
// has begun; if memory runs out later, that is `thrown`.
ICE_API task<joined> join_until(asio::any_io_executor executor, deadlines& queue, time_point until,
                                std::vector<task<bool>> work);

// The same for one: true if it has ended before `until`. An exception of `work` leaves it, unless
// it was late.
ICE_API task<bool> cancel_at(asio::any_io_executor executor, deadlines& queue, time_point until,
                             task<> work);

// Returns no error when `work` has ended, errc::request_timeout at `until`, or
// asio::error::operation_aborted if the caller is cancelled. After an error `work` may still run;
// `held` lives until it has ended, and what `work` throws is dropped.
ICE_API task<error_code> abandon_at(asio::any_io_executor executor, deadlines& queue,
                                    time_point until, task<> work, std::shared_ptr<void> held);

}  // namespace ice
