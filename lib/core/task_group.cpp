// Supervised coroutines: one cancellation signal for each, which lives as long as its coroutine.
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <ice/detail/task_group.hpp>
#include <ice/event.hpp>
#include <list>
#include <optional>
#include <system_error>
#include <utility>

#include "emit_terminal.hpp"

namespace ice {
bool is_aborted(const std::exception_ptr& thrown) noexcept {
    try {
        std::rethrow_exception(thrown);
    } catch (const std::system_error& e) {
        return e.code() == asio::error::operation_aborted;
    } catch (...) { return false; }
}

struct task_group::member {
    asio::cancellation_signal signal;
    bool cancelled = false;
};

struct task_group::state {
    state(asio::any_io_executor e, std::function<void()> empty)
        : executor(std::move(e)), when_empty(std::move(empty)) {}

    asio::any_io_executor executor;
    std::function<void()> when_empty;
    std::optional<event> none_left;  // since the first join()
    std::list<std::shared_ptr<member>> members;
    std::uint64_t removals = 0;
    bool cancelled = false;
};

// The completion handler. The coroutine's frame is still there when it is called, so it keeps the
// signal: the group's list has let go of it by then. A frame that is destroyed where it waits
// destroys its handler: then cancel() must not reach for it any more.
struct task_group::ended {
    using cancellation_slot_type = asio::cancellation_slot;
    cancellation_slot_type get_cancellation_slot() const noexcept { return own->signal.slot(); }

    ended(std::shared_ptr<state> of, std::shared_ptr<member> m, failed f)
        : group(std::move(of)), own(std::move(m)), threw(std::move(f)) {}
    ended(ended&&) noexcept = default;
    ended& operator=(ended&&) = delete;
    ~ended() { remove(); }

    void operator()(const std::exception_ptr& thrown) {
        remove();
        if (thrown && !(own->cancelled && is_aborted(thrown))) threw(thrown);
    }

    void remove() noexcept {
        const auto of = std::exchange(group, nullptr);
        if (!of) return;
        // Leaves the list first: the functions called below may ask for size(), or spawn.
        of->members.remove(own);
        ++of->removals;
        if (!of->members.empty()) return;
        if (of->none_left) of->none_left->set();
        if (of->when_empty) of->when_empty();
    }

    std::shared_ptr<state> group;  // none when it was moved from, or called
    std::shared_ptr<member> own;
    failed threw;
};

task_group::task_group(const asio::any_io_executor& executor, std::function<void()> when_empty)
    : state_(std::make_shared<state>(executor, std::move(when_empty))) {}

task_group::~task_group() {
    state_->when_empty = nullptr;
    cancel();
}

// co_spawn begins at once when it is called on the loop: `work` must not run within its caller.
task<> task_group::run(asio::any_io_executor executor, task<> work) {
    co_await asio::post(executor, asio::use_awaitable);
    co_await std::move(work);
}

void task_group::spawn(task<> work, failed threw) {
    start(run(state_->executor, std::move(work)), std::move(threw));
}

void task_group::start(task<> work, failed threw) {
    if (state_->cancelled) return;
    auto own = std::make_shared<member>();
    // In the list before co_spawn(): if that throws, the destructor of the handler takes it out
    // again.
    state_->members.push_back(own);
    ended handler(state_, own, std::move(threw));
    // A join() that waits already waits for this coroutine, too.
    if (state_->none_left) state_->none_left->clear();
    asio::co_spawn(state_->executor, std::move(work), std::move(handler));
}

// An operation of the user's may complete within emit(), and take members out of the list.
void task_group::cancel() noexcept {
    state_->cancelled = true;
    // A handler that runs within emit() may destroy this group, but not the state.
    const auto group = state_;
    for (auto at = group->members.begin(); at != group->members.end();) {
        const auto own = *at;
        if (std::exchange(own->cancelled, true)) {
            ++at;
            continue;
        }
        const auto before = group->removals;
        emit_terminal(own->signal);
        // After a removal `at` may dangle, so the loop begins again and skips those that are
        // cancelled.
        if (group->removals == before) ++at;
        else at = group->members.begin();
    }
}

task<> task_group::join() { return join(state_); }

// Static, with shared state: the group may be gone when the wait ends.
task<> task_group::join(std::shared_ptr<state> s) {
    // Between set() and the end of the wait another coroutine may have been spawned.
    while (!s->members.empty()) {
        if (!s->none_left) s->none_left.emplace(s->executor);
        const error_code cancelled = co_await s->none_left->wait();
        if (cancelled) throw std::system_error(cancelled);
    }
}

std::size_t task_group::size() const noexcept { return state_->members.size(); }

}  // namespace ice
