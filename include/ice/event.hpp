// event: one coroutine tells others that something has happened. No wake-up is lost: an event that
// was set before the wait ends the wait at once.
#pragma once

#include <asio/any_io_executor.hpp>
#include <ice/detail/export.hpp>
#include <ice/error.hpp>
#include <ice/task.hpp>
#include <memory>

namespace ice {

// An event is set or not. It stays set until clear(). Use it only on the executor's thread:
// an event has no lock, and does not wake other threads. A queue between two coroutines:
//     jobs.push_back(job);                       // the producer
//     has_jobs.set();
//     while (jobs.empty()) {                     // the consumer
//         has_jobs.clear();
//         if (co_await has_jobs.wait()) co_return;  // cancelled
//     }
class ICE_API event {
public:
    // Not set. In a server: event(srv.executor()).
    explicit event(const asio::any_io_executor& executor);
    // Pending waits return asio::error::operation_aborted, after the destructor.
    ~event();
    // An event that was moved from has no state: only destroy it, or assign to it. Pending waits
    // follow the state. Assignment ends those of the event assigned to, as its destructor would.
    event(event&&) noexcept;
    event& operator=(event&&) noexcept;

    // Returns no error when the event is set, at once if it is set already. Any number of
    // coroutines may wait. There is no timeout. Returns asio::error::operation_aborted if the
    // waiting coroutine was cancelled or the event destroyed. A wait that set() has ended returns
    // no error even if clear() follows before it runs, so check what you waited for again.
    task<error_code> wait();

    // Sets the event, and ends all pending waits. The waits return in the order in which they
    // began, after the caller has returned to the loop, never within set(). So any code on the
    // thread may call it, also a destructor. No effect if the event is set.
    void set();
    // From now on wait() waits for the next set().
    void clear() noexcept;
    bool is_set() const noexcept;

private:
    struct state;
    static task<error_code> wait(std::shared_ptr<state>);
    std::shared_ptr<state> state_;
};

}  // namespace ice
