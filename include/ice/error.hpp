// errc: why something of ice ended. Errors of sockets stay as the system gives them.
// An expected failure is such a value; it is never thrown by ice itself.
#pragma once

#include <ice/export.hpp>
#include <system_error>

namespace ice {

// The same type as asio::error_code.
using std::error_code;

enum class errc {
    // The peer ended it.
    closed = 1,  // between two messages: the usual end of a conversation
    cut_short,   // in the middle of a message
    // The bytes were wrong.
    bad_message,        // not what the protocol allows
    message_too_large,  // longer than limits::message or the protocol's own maximum
    unpackable,  // a message that its protocol cannot express, such as a line with a line end in it
    // A bound was reached.
    outbox_full,        // more unsent bytes than limits::outbox: the peer does not read
    handshake_timeout,  // timeouts::handshake
    message_timeout,    // timeouts::message: begun, and not finished in time
    idle_timeout,       // timeouts::idle
    write_timeout,      // timeouts::write: the peer took no byte for so long
    logic_timeout,      // timeouts::logic
    // The conversation was refused or ended on our side.
    handshake_failed,  // the protocol's handshake said no
    draining,          // the server, or the pool, finishes what it has begun and takes nothing new
    stopped,           // the server was stopped
    // A pool's request failed.
    pool_full,          // more callers are waiting than pool_limits::waiters
    pool_wait_timeout,  // no connection came free in time
    connect_timeout,    // pool_timeouts::connect
    request_timeout,    // the request's own time was over
    host_not_found,     // there is no such host, or it has no address (EAI_NONAME)
    upstream_closes,    // it takes a connection and closes it at once
    not_sent,           // its connection was lost before, and no time or no retry was left
    upstream_stuck,     // pipelined: no reply to an earlier request, so the connection was closed
    breaker_open,       // breaker_limits::failures: nobody asks the upstream for a while
    // No name server has answered (EAI_AGAIN), or not well: whether the host exists is not known.
    name_resolution_failed,
};

// What can be asked of any error: `if (ec == ice::condition::not_executed)`.
enum class condition {
    // The request cannot have been executed, as no byte of it was sent: it may be sent again.
    // Every other error of a request means that it may have been executed.
    not_executed = 1,
};

ICE_API const std::error_category& category() noexcept;
ICE_API std::error_code make_error_code(errc) noexcept;
ICE_API std::error_condition make_error_condition(condition) noexcept;

// `cause` (an errno), said of a connection that could not be made: its text begins "cannot
// connect", it equals the same std::errc as `cause` does, and it is condition::not_executed.
ICE_API std::error_code connect_error(std::error_code cause) noexcept;

}  // namespace ice

template <>
struct std::is_error_code_enum<ice::errc> : std::true_type {};
template <>
struct std::is_error_condition_enum<ice::condition> : std::true_type {};
