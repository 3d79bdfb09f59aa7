// as_values: Asio's as_tuple. Only this file depends on the version of Asio, for names that moved
// after 1.22.1.
#pragma once

#include <asio/use_awaitable.hpp>
#include <asio/version.hpp>

#if ASIO_VERSION >= 102300
#include <asio/as_tuple.hpp>
#else
#include <asio/experimental/as_tuple.hpp>
#endif

namespace ice {

// Makes an operation return its error instead of throwing it:
//     auto ec = std::get<0>(co_await timer.async_wait(as_values));
#if ASIO_VERSION >= 102300
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<>> as_values{};
#else
inline constexpr asio::experimental::as_tuple_t<asio::use_awaitable_t<>> as_values{};
#endif

}  // namespace ice
