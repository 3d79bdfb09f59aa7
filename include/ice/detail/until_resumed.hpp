// until_resumed: a coroutine waits until another one resumes it in place, without a turn of the
// loop. Neither the wait nor its end goes through an event, so resuming takes no memory.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/async_result.hpp>
#include <asio/post.hpp>
#include <asio/use_awaitable.hpp>
#include <ice/task.hpp>
#include <new>
#include <optional>
#include <utility>

namespace ice {

// Owns the coroutine that waits: its destruction destroys that.
using resumption = asio::async_result<asio::use_awaitable_t<>, void()>::handler_type;

// Begins the wait of until_resumed().
struct keep_resumption {
    void operator()(resumption r) const { to->emplace(std::move(r)); }
    std::optional<resumption>* to;
};

// Waits until resume(at). Requires: `at` is empty, and is valid until then.
inline task<> until_resumed(std::optional<resumption>& at) {
    asio::use_awaitable_t<> token;
    return asio::async_initiate<asio::use_awaitable_t<>, void()>(keep_resumption{&at}, token);
}

// Returns when the coroutine waits again, or has ended. Within a handler of the loop it throws
// nothing: Asio rethrows what completion handlers have thrown at the end of that handler, several
// as one asio::multiple_exceptions. Requires: `at` is not empty.
inline void resume(std::optional<resumption>& at) {
    auto waits = std::exchange(at, std::nullopt);
    (*std::move(waits))();
}

// Resumes it in a turn of the loop; destroys it if memory has run out. No effect if `at` is empty.
inline void resume_later(std::optional<resumption>& at,
                         const asio::any_io_executor& executor) noexcept {
    if (!at) return;
    auto waits = std::exchange(at, std::nullopt);
    try {
        asio::post(executor, *std::move(waits));
    } catch (const std::bad_alloc&) {}
}

}  // namespace ice
