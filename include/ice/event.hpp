// event: one coroutine tells others that something has happened. No wake-up is lost.
#pragma once

#include <asio/any_io_executor.hpp>
#include <ice/error.hpp>
#include <ice/export.hpp>
#include <ice/task.hpp>
#include <memory>

namespace ice {

// Stays set until clear(): who comes late does not wait. One thread, like everything in ice.
class ICE_API event {
public:
    explicit event(const asio::any_io_executor& executor);
    ~event();  // whoever still waits gets asio::error::operation_aborted
    event(event&&) noexcept;
    event& operator=(event&&) noexcept;

    // Returns when the event is set, at once if it is already. Any number may wait. The error is
    // asio::error::operation_aborted if the wait was cancelled or the event destroyed.
    task<error_code> wait();

    // Wakes all who wait; they go on in the order in which they came, after the caller.
    void set();
    void clear() noexcept;
    bool is_set() const noexcept;

private:
    struct state;
    static task<error_code> wait(std::shared_ptr<state>);
    std::shared_ptr<state> state_;
};

}  // namespace ice
