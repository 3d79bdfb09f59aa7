// task: a coroutine. It is a plain Asio coroutine: whatever Asio's manual awaits can be awaited in
// it.
#pragma once

#include <asio/awaitable.hpp>
#include <ice/duration.hpp>

namespace ice {

// A task starts when it is awaited or spawned, not at the call, and ends with a T or an exception.
// So what its parameters refer to must be valid until it ends: `co_await f(x)` in one expression is
// safe, a task that is stored and awaited later may not be. A task can be awaited once; one that is
// never awaited runs no code. docs/coroutine-traps.md lists what g++ 12 gets wrong.
//     ice::task<std::string> twice(std::string text) { co_return text + text; }
//     std::string four = co_await twice("ab");
template <class T = void>
using task = asio::awaitable<T>;

}  // namespace ice
