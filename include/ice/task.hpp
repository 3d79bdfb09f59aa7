// task: a coroutine.
// A task is a plain Asio coroutine: whatever Asio's manual awaits can be awaited in it.
#pragma once

#include <asio/awaitable.hpp>
#include <ice/duration.hpp>

namespace ice {

// Starts when it is awaited (or spawned), ends with a T.
template <class T = void>
using task = asio::awaitable<T>;

}  // namespace ice
