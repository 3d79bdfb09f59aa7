// Coroutines with a deadline. Each has a cancellation signal of its own, which its completion
// handler keeps: the coroutine's slot refers to it until then.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>
#include <asio/this_coro.hpp>
#include <ice/detail/cancel_at.hpp>
#include <ice/detail/task_group.hpp>
#include <ice/detail/until_resumed.hpp>
#include <ice/event.hpp>
#include <optional>
#include <utility>

#include "emit_terminal.hpp"

namespace ice {
namespace {

// Coroutines with one caller and one deadline.
struct joint : std::enable_shared_from_this<joint> {
    struct branch {
        asio::cancellation_signal signal;
        bool has_begun = false, has_ended = false;
    };

    explicit joint(std::size_t n) : branches(n), ends(n) {}

    // An operation of the user's may complete within emit(), and with it all coroutines.
    void cancel() noexcept {
        const auto own = shared_from_this();
        is_cancelled = true;
        for (branch& b : branches) {
            if (b.has_begun && !b.has_ended) emit_terminal(b.signal);
        }
    }
    static void expire(void* self) {
        const auto own = static_cast<joint*>(self)->shared_from_this();
        own->ends.is_late = true;
        if (own->over) own->over->set();
        own->cancel();
    }
    void threw(std::exception_ptr e) noexcept {
        if (!ends.thrown && !(is_cancelled && is_aborted(e))) ends.thrown = std::move(e);
    }

    std::vector<branch> branches;
    std::size_t running = 0;
    std::shared_ptr<void> held;         // of abandon_at()
    std::optional<event> over;          // of abandon_at(): it has ended, or is late
    std::optional<resumption> waiting;  // of join_until()
    joined ends;
    bool is_cancelled = false;
};

task<> run(std::shared_ptr<joint> t, std::size_t i, task<bool> work) {
    bool is_enough = false;
    std::exception_ptr thrown;
    t->branches[i].has_begun = true;
    try {
        is_enough = co_await std::move(work);
        t->ends.in_time[i] = !t->ends.is_late;
    } catch (...) { thrown = std::current_exception(); }
    t->branches[i].has_ended = true;
    t->ends.last = i;
    if (thrown) t->threw(thrown);
    if (is_enough && t->ends.first == joined::none) t->ends.first = i;
    if (is_enough || thrown) t->cancel();
    if (--t->running != 0) co_return;
    if (t->over) t->over->set();
    if (t->waiting) resume(t->waiting);  // posting it could fail for want of memory
}

// A plain call: Asio 1.22.1 ends the process if co_spawn() throws within a co_await.
void start(const asio::any_io_executor& executor, const std::shared_ptr<joint>& t, std::size_t i,
           task<bool> work) {
    auto running = run(t, i, std::move(work));
    ++t->running;
    try {
        asio::co_spawn(
            executor, std::move(running),
            asio::bind_cancellation_slot(t->branches[i].signal.slot(), [t](std::exception_ptr) {}));
    } catch (...) {
        if (!t->branches[i].has_begun) --t->running;
        throw;
    }
}

// Begins each in its turn. After an exception those that run are cancelled, and waited for.
void start_all(const asio::any_io_executor& executor, const std::shared_ptr<joint>& t,
               std::vector<task<bool>>& work) noexcept {
    try {
        for (std::size_t i = 0; i < work.size() && !t->is_cancelled; ++i)
            start(executor, t, i, std::move(work[i]));
    } catch (...) {
        t->threw(std::current_exception());
        t->cancel();
    }
}

task<bool> never_enough(task<> work) {
    co_await std::move(work);
    co_return false;
}

}  // namespace

void joined::abort() { throw std::system_error(asio::error::operation_aborted); }

// The coroutines of `work` own this one, by `waiting`. If the loop is destroyed, their frames go
// first, and what they use after them. So no pointer of this frame owns `t` while it waits.
// Most that needs memory is done before `work` begins: nobody would wait for it after an exception.
task<joined> join_until(asio::any_io_executor executor, deadlines& queue, time_point until,
                        std::vector<task<bool>> work) {
    auto t = std::make_shared<joint>(work.size());
    joint* const running = t.get();
    auto ended = until_resumed(running->waiting);
    deadline timer(queue, joint::expire, running);
    timer.set(until);
    auto mine = co_await asio::this_coro::cancellation_state;
    if (mine.slot().is_connected())
        mine.slot().assign([weak = t->weak_from_this()](asio::cancellation_type) {
            const auto own = weak.lock();
            if (!own) return;
            own->ends.has_left = true;
            own->cancel();
        });
    // What begins may cancel the caller at once, and the co_await would throw for it.
    const bool throws = co_await asio::this_coro::throw_if_cancelled();
    co_await asio::this_coro::throw_if_cancelled(false);
    start_all(executor, t, work);
    if (t->running != 0) {
        t.reset();
        co_await std::move(ended);
        t = running->shared_from_this();
    }
    co_await asio::this_coro::throw_if_cancelled(throws);
    if (mine.slot().is_connected()) mine.slot().clear();
    co_return std::move(t->ends);
}

task<bool> cancel_at(asio::any_io_executor executor, deadlines& queue, time_point until,
                     task<> work) {
    std::vector<task<bool>> one;
    one.push_back(never_enough(std::move(work)));
    auto runs = join_until(std::move(executor), queue, until, std::move(one));
    const joined ends = co_await std::move(runs);
    if (ends.is_late) co_return false;
    if (ends.thrown) std::rethrow_exception(ends.thrown);
    if (!ends.in_time[0]) joined::abort();
    co_return true;
}

task<error_code> abandon_at(asio::any_io_executor executor, deadlines& queue, time_point until,
                            task<> work, std::shared_ptr<void> held) {
    const auto t = std::make_shared<joint>(1);
    t->held = std::move(held);
    t->over.emplace(executor);
    auto over = t->over->wait();
    deadline timer(queue, joint::expire, t.get());
    timer.set(until);
    start(executor, t, 0, never_enough(std::move(work)));
    if (t->running != 0) {
        const error_code cancelled = co_await std::move(over);
        if (t->running != 0 || t->ends.is_late) {
            t->cancel();
            co_return cancelled ? cancelled : make_error_code(errc::request_timeout);
        }
    }
    if (t->ends.thrown) std::rethrow_exception(t->ends.thrown);
    co_return error_code();
}

}  // namespace ice
