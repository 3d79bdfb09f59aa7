// The one place that knows which Asio this is: names that moved between 1.22.1 and today's.
#pragma once

#include <asio/use_awaitable.hpp>
#include <asio/version.hpp>

#if ASIO_VERSION >= 102300
#include <asio/as_tuple.hpp>
#else
#include <asio/experimental/as_tuple.hpp>
#endif

// Whether ICE_TCP_INQ can have its way: it works inside Asio's reactor, which is not documented. It
// is as we know it in these versions; elsewhere the option does nothing.
#if defined(ICE_TCP_INQ) && defined(ASIO_HAS_EPOLL) && !defined(ASIO_HAS_IO_URING_AS_DEFAULT) && \
    ASIO_VERSION >= 102201 && ASIO_VERSION <= 103802
#define ICE_POLLS_IN_ASIO 1
#else
#define ICE_POLLS_IN_ASIO 0
#endif

namespace ice {

// Hands errors over as values: std::get<0>(co_await timer.async_wait(as_values)).
#if ASIO_VERSION >= 102300
inline constexpr asio::as_tuple_t<asio::use_awaitable_t<>> as_values{};
#else
inline constexpr asio::experimental::as_tuple_t<asio::use_awaitable_t<>> as_values{};
#endif

}  // namespace ice
