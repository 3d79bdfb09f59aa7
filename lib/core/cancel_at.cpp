// Coroutines with a deadline. Each has a cancellation signal of its own, which its completion
// handler keeps: the coroutine's slot refers to it until then.
#include <asio/async_result.hpp>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <exception>
#include <ice/detail/cancel_at.hpp>
#include <ice/event.hpp>
#include <optional>
#include <utility>

namespace ice {
namespace {

struct timed : std::enable_shared_from_this<timed> {
    using caller = asio::async_result<asio::use_awaitable_t<>, void()>::handler_type;

    // An operation of the user's may complete within emit(), and with it both coroutines.
    void cancel() noexcept {
        const auto own = shared_from_this();
        try {
            signal.emit(asio::cancellation_type::terminal);
        } catch (...) {  // no memory to wake it: its next co_await ends it
        }
    }
    static void expire(void* self) {
        const auto own = static_cast<timed*>(self)->shared_from_this();
        own->is_late = true;
        if (own->over) own->over->set();
        own->cancel();
    }

    std::shared_ptr<void> held;
    std::optional<event> over;      // of abandon_at(): it has ended, or is late
    std::optional<caller> waiting;  // of cancel_at()
    asio::cancellation_signal signal;
    std::exception_ptr thrown;
    bool has_ended = false, is_late = false;
};

task<> run(std::shared_ptr<timed> t, task<> work) {
    try {
        co_await std::move(work);
    } catch (...) { t->thrown = std::current_exception(); }
    t->has_ended = true;
    if (t->over) t->over->set();
    if (!t->waiting) co_return;
    auto resume = *std::move(t->waiting);
    t->waiting.reset();
    std::move(resume)();  // posting it could fail for want of memory
}

// A plain call: Asio 1.22.1 ends the process if co_spawn() throws within a co_await.
void start(const asio::any_io_executor& executor, const std::shared_ptr<timed>& t, task<> work) {
    auto running = run(t, std::move(work));
    asio::co_spawn(executor, std::move(running),
                   asio::bind_cancellation_slot(t->signal.slot(), [t](std::exception_ptr) {}));
}

struct start_waiting {
    void operator()(timed::caller c) const { t->waiting.emplace(std::move(c)); }
    timed* t;
};

task<> end_of(timed* t) {
    asio::use_awaitable_t<> token;
    return asio::async_initiate<asio::use_awaitable_t<>, void()>(start_waiting{t}, token);
}

}  // namespace

// The coroutine of `work` owns this one, by `waiting`. If the loop is destroyed, its frame goes
// first, and what it uses after it. So no pointer of this frame owns `t` while it waits.
// All that needs memory is done before `work` begins: nobody would wait for it after an exception.
task<bool> cancel_at(asio::any_io_executor executor, deadlines& queue, time_point until,
                     task<> work) {
    auto t = std::make_shared<timed>();
    timed* const running = t.get();
    auto ended = end_of(running);
    deadline timer(queue, timed::expire, running);
    timer.set(until);
    auto mine = co_await asio::this_coro::cancellation_state;
    if (mine.slot().is_connected())
        mine.slot().assign([weak = t->weak_from_this()](asio::cancellation_type) {
            if (const auto own = weak.lock()) own->cancel();
        });
    start(executor, t, std::move(work));
    if (!t->has_ended) {
        t.reset();
        co_await std::move(ended);
        t = running->shared_from_this();
    }
    if (mine.slot().is_connected()) mine.slot().clear();
    if (t->thrown && !t->is_late) std::rethrow_exception(t->thrown);
    co_return !t->is_late;
}

task<error_code> abandon_at(asio::any_io_executor executor, deadlines& queue, time_point until,
                            task<> work, std::shared_ptr<void> held) {
    const auto t = std::make_shared<timed>();
    t->held = std::move(held);
    t->over.emplace(executor);
    auto over = t->over->wait();
    deadline timer(queue, timed::expire, t.get());
    timer.set(until);
    start(executor, t, std::move(work));
    if (!t->has_ended) {
        const error_code cancelled = co_await std::move(over);
        if (!t->has_ended) {
            t->cancel();
            co_return cancelled ? cancelled : make_error_code(errc::request_timeout);
        }
    }
    if (t->thrown) std::rethrow_exception(t->thrown);
    co_return error_code();
}

}  // namespace ice
