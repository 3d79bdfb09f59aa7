// errc: the errors of ice. Errors of sockets keep the code of the system.
// ice returns expected failures as such values, and never throws them.
#pragma once

#include <ice/detail/export.hpp>
#include <system_error>

namespace ice {

// The same type as asio::error_code.
using std::error_code;

enum class errc {
    // The peer ended the connection.
    closed = 1,  // between two messages: the usual end
    truncated,   // in the middle of a message
    // The bytes were wrong.
    bad_message,        // not what the protocol allows
    message_too_large,  // longer than limits::message or the protocol's own maximum
    unencodable,        // its protocol cannot express it, as a line with a line end in it
    // A limit or a timeout was reached.
    outbox_full,        // more unsent bytes than limits::outbox: the peer does not read
    handshake_timeout,  // timeouts::handshake
    message_timeout,    // timeouts::message: a message began, and was not whole in time
    idle_timeout,       // timeouts::idle
    write_timeout,      // timeouts::write: the peer took no byte for so long
    logic_timeout,      // timeouts::logic
    // Our side refused or ended the connection.
    handshake_failed,  // the protocol's handshake returned false
    draining,          // the server, or the pool, finishes its work and accepts no more
    stopped,           // the server was stopped
    // A request to a pool failed.
    pool_full,         // more callers are waiting than pool_limits::max_waiters
    acquire_timeout,   // no connection came free in time
    connect_timeout,   // pool_timeouts::connect
    request_timeout,   // the request's own time was over
    host_not_found,    // there is no such host, or it has no address (EAI_NONAME)
    upstream_closes,   // the upstream accepts a connection and closes it at once
    not_sent,          // the connection was lost before, and no time or no retry was left
    pipeline_stalled,  // pipelined: the connection was closed, as an earlier request had no reply
    breaker_open,      // breaker_limits::failures: the pool sends the upstream nothing for a while
    // No name server has answered (EAI_AGAIN), or one has failed: the host may exist.
    name_resolution_failed,
};

// A condition that any error can be compared with: `if (ec == ice::condition::not_executed)`.
enum class condition {
    // The request cannot have been executed, as no byte of it was sent: it may be sent again.
    // Every other error of a request means that it may have been executed.
    not_executed = 1,
};

ICE_API const std::error_category& category() noexcept;
ICE_API std::error_code make_error_code(errc) noexcept;
ICE_API std::error_condition make_error_condition(condition) noexcept;

// The error of a connection that could not be made because of `cause` (an errno). Its text begins
// with "cannot connect"; it compares equal to the std::errc of `cause`, and to
// condition::not_executed.
ICE_API std::error_code connect_error(std::error_code cause) noexcept;

}  // namespace ice

template <>
struct std::is_error_code_enum<ice::errc> : std::true_type {};
template <>
struct std::is_error_condition_enum<ice::condition> : std::true_type {};
