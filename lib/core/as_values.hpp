// The one place that knows which Asio this is: names that moved between 1.22.1 and today's.
#pragma once

#include <asio/use_awaitable.hpp>
#include <asio/version.hpp>

#if ASIO_VERSION >= 102300
#include <asio/as_tuple.hpp>
#else
#include <asio/experimental/as_tuple.hpp>
#endif

namespace ice {

// Hands errors over as values: std::get<0>(co_await timer.async_wait(as_values)).
#if ASIO_VERSION >= 102300
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<>> as_values{};
#else
inline constexpr asio::experimental::as_tuple_t<asio::use_awaitable_t<>> as_values{};
#endif

}  // namespace ice
