// event: one coroutine tells others that something has happened. No wake-up is lost.
#pragma once

#include <asio/any_io_executor.hpp>
#include <ice/detail/export.hpp>
#include <ice/error.hpp>
#include <ice/task.hpp>
#include <memory>

namespace ice {

// Stays set until clear(), so a coroutine that calls wait() later does not wait. All calls are for
// the thread of the executor.
class ICE_API event {
public:
    explicit event(const asio::any_io_executor& executor);
    ~event();  // pending waits return asio::error::operation_aborted
    event(event&&) noexcept;
    event& operator=(event&&) noexcept;

    // Returns when the event is set, at once if it is set already. Any number of coroutines may
    // wait. The error is asio::error::operation_aborted if the wait was cancelled or the event
    // destroyed.
    task<error_code> wait();

    // Wakes all pending waits. They return in the order in which they began, after the caller has
    // returned to the loop.
    void set();
    void clear() noexcept;
    bool is_set() const noexcept;

private:
    struct state;
    static task<error_code> wait(std::shared_ptr<state>);
    std::shared_ptr<state> state_;
};

}  // namespace ice
