// cancel_at, abandon_at: a coroutine with a deadline, whatever it waits for. cancel_at() waits for
// its end; abandon_at() does not. No clock: the queue of deadlines calls.
#pragma once

#include <asio/any_io_executor.hpp>
#include <ice/detail/deadline.hpp>
#include <ice/detail/export.hpp>
#include <ice/error.hpp>
#include <ice/task.hpp>
#include <memory>

namespace ice {

// Both run `work` on `executor`, begin it at once, and cancel it at `until`
// (asio::cancellation_type::terminal): what it waits for then, and every later co_await of an Asio
// operation or a task, ends with asio::error::operation_aborted. If the caller is cancelled, they
// cancel `work` too. `work` stores its result in a place that lives as long as it. An exception of
// `work` leaves them, unless it was late. Call them on the thread of the executor, with
// the queue of its transport. With `never` there is no deadline.

// Returns when `work` has ended: true if that was before `until`. A `work` that disables its
// cancellation holds the caller until it ends. Its frame is destroyed before that of the caller.
ICE_API task<bool> cancel_at(asio::any_io_executor executor, deadlines& queue, time_point until,
                             task<> work);

// Returns no error when `work` has ended, errc::request_timeout at `until`, or
// asio::error::operation_aborted if the caller is cancelled. After an error `work` may still run;
// `held` lives until it has ended, and what `work` throws is dropped.
ICE_API task<error_code> abandon_at(asio::any_io_executor executor, deadlines& queue,
                                    time_point until, task<> work, std::shared_ptr<void> held);

}  // namespace ice
