// on_thread: runs a call that blocks on another thread. The loop's thread serves others meanwhile.
#pragma once

#include <asio/bind_cancellation_slot.hpp>
#include <asio/error_code.hpp>
#include <asio/post.hpp>
#include <asio/redirect_error.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/thread_pool.hpp>
#include <asio/use_awaitable.hpp>
#include <exception>
#include <ice/task.hpp>
#include <memory>
#include <optional>
#include <type_traits>
#include <utility>

template <class F>
struct blocking_call {
    blocking_call(const asio::any_io_executor& loop, F f)
        : work(std::move(f)), ended(loop, asio::steady_timer::time_point::max()) {}

    void run() noexcept {
        try {
            made.emplace(work());
        } catch (...) { thrown = std::current_exception(); }
    }

    F work;
    asio::steady_timer ended;  // used on the loop's thread only
    std::optional<std::invoke_result_t<F&>> made;
    std::exception_ptr thrown;
};

// Returns what `work` returns, and throws what it throws, on the loop's thread. Nothing can cancel
// such a call, so it needs a timeout of its own. A caller that is cancelled waits for its end: what
// it has leased stays leased, so that no more calls run or queue than there are leases. `work` owns
// what it uses, for run() of the server may end before it.
// Requires: `threads` is destroyed before the server. Its destructor waits for the calls.
template <class F>
ice::task<std::invoke_result_t<F&>> on_thread(asio::thread_pool& threads, F work) {
    const asio::any_io_executor loop = co_await asio::this_coro::executor;
    const auto call = std::make_shared<blocking_call<F>>(loop, std::move(work));
    asio::post(threads, [mine = call, loop]() mutable {
        mine->run();
        asio::post(loop, [mine = std::move(mine)] { mine->ended.cancel(); });
    });
    asio::error_code cancelled;
    const auto token = asio::redirect_error(asio::use_awaitable, cancelled);
    co_await call->ended.async_wait(asio::bind_cancellation_slot(asio::cancellation_slot(), token));
    if (call->thrown) std::rethrow_exception(call->thrown);
    co_return *std::move(call->made);
}
