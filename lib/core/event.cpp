// An event is a timer that never expires: set() cancels its waits. The io_context owns the waits,
// so it destroys coroutines that still wait at its end.
#include <asio/steady_timer.hpp>
#include <ice/event.hpp>

#include "as_values.hpp"

namespace ice {

struct event::state {
    explicit state(const asio::any_io_executor& executor) : timer(executor, never) {}

    asio::steady_timer timer;
    std::uint64_t times = 0;  // calls of set(): tells a wait that it ended from a cancelled one
    bool set = false;
};

event::event(const asio::any_io_executor& executor) : state_(std::make_shared<state>(executor)) {}
event::event(event&&) noexcept = default;
event& event::operator=(event&& other) noexcept {
    // The waits own the old state, which nobody could set any more.
    if (state_) state_->timer.cancel();
    state_ = std::move(other.state_);
    return *this;
}
event::~event() {
    if (state_) state_->timer.cancel();
}

task<error_code> event::wait() { return wait(state_); }

// Static, with shared state: the event may be destroyed before the wait ends.
task<error_code> event::wait(std::shared_ptr<state> s) {
    if (s->set) co_return error_code();
    const std::uint64_t before = s->times;
    const auto waited = co_await s->timer.async_wait(as_values);
    // The error does not tell: set() and a cancelled coroutine both end the wait with
    // operation_aborted.
    if (s->times != before) co_return error_code();
    co_return std::get<0>(waited);
}

void event::set() {
    if (state_->set) return;
    state_->set = true;
    ++state_->times;
    state_->timer.cancel();
}

void event::clear() noexcept { state_->set = false; }

bool event::is_set() const noexcept { return state_->set; }

}  // namespace ice
