// errc: the errors of ice. Errors of sockets keep the code of the system (std::errc compares).
// ice returns expected failures as such values, and does not throw them. Exceptions mean that the
// program is wrong, cannot be set up, or has no memory.
#pragma once

#include <ice/detail/export.hpp>
#include <string_view>
#include <system_error>

namespace ice {

// The same type as asio::error_code, so functions of Asio and of ice take each other's errors.
using std::error_code;

// Compare an error_code with them directly:
//     if (ec == ice::errc::closed) ..                // an error of ice
//     if (ec == std::errc::connection_refused) ..    // an error of a socket
enum class errc {
    // The peer ended the connection.
    closed = 1,  // between two messages: the usual end
    truncated,   // in the middle of a message

    // The bytes were wrong.
    bad_message,        // the protocol does not allow them
    message_too_large,  // longer than limits::message or the protocol's own maximum
    unencodable,        // the protocol cannot express the message, as a line with a line end in it

    // A limit or a timeout was reached.
    outbox_full,        // the message and the unsent bytes before it exceed limits::outbox
    handshake_timeout,  // timeouts::handshake
    message_timeout,    // timeouts::message: a message began, and was not whole in time
    idle_timeout,       // timeouts::idle: no message began
    write_timeout,      // timeouts::write: the peer took no byte for that long
    logic_timeout,      // timeouts::logic: the logic has not returned an answer

    // This side refused or ended the connection.
    handshake_failed,  // the protocol's handshake returned false, or threw
    draining,          // the server, or the pool, finishes its work and accepts no more
    stopped,           // the server was stopped, or session::close() was called

    // A request to a pool failed.
    pool_full,         // pool_limits::max_waiters callers wait already
    acquire_timeout,   // no connection came free within pool_timeouts::acquire or the timeout
    connect_timeout,   // pool_timeouts::connect
    request_timeout,   // no reply within the timeout of the request, or a time_limit
    host_not_found,    // there is no such host, or it has no address (EAI_NONAME)
    upstream_closes,   // the upstream accepts a connection and closes it at once
    not_sent,          // the connection was lost before a byte was sent; no time or retry was left
    pipeline_stalled,  // the shared connection was closed, as an earlier request had no reply
    breaker_open,      // breaker_limits::failures: the pool sends the upstream nothing for a while
    // The logic of replies, or the protocol, returned an error that means condition::not_executed,
    // but the request was sent. failure::cause() is that error.
    reply_refused,
    // No name server has answered (EAI_AGAIN), or one has failed: the host may exist.
    name_resolution_failed,

    // A message to a link was refused.
    not_connected,  // the link has no connection, and its queue is full or it has none

    // A request over a broker failed: nobody has subscribed to its subject.
    no_responders,
};

// Conditions that any error can be compared with: `if (ec == ice::condition::not_executed)`.
enum class condition {
    // The upstream cannot have executed the request, as no byte of it was sent, or as nobody has
    // received it (errc::no_responders). Sending it again is safe, also if the request is not
    // idempotent. Another error alone does not show that:
    // failure::may_have_been_executed() also knows whether a byte of the request was sent.
    not_executed = 1,
};

// The category of errc. error_code::message() gives a text in English for logs.
ICE_API const std::error_category& category() noexcept;
// These functions make `ec == errc::closed` and `ec == condition::not_executed` work. No call
// allocates.
ICE_API std::error_code make_error_code(errc) noexcept;
ICE_API std::error_condition make_error_condition(condition) noexcept;

// The error of a connection that could not be made because of `cause`, which holds an errno. Its
// text begins with "cannot connect". It compares equal to the std::errc of `cause`, such as
// std::errc::connection_refused, and to condition::not_executed.
ICE_API std::error_code connect_error(std::error_code cause) noexcept;

// The error of an upstream that refuses with a text of its own, for the result of a handshake: a
// failure and the log show the text. It has the first 256 bytes, and '?' for each byte that is not
// printable ASCII. The process keeps each text for ever, but at most 64 of them, as the upstream
// chooses them: each further one is errc::handshake_failed. Any thread may call it.
ICE_API std::error_code refusal_error(std::string_view text) noexcept;

}  // namespace ice

// These let an errc convert to an error_code, and error_codes compare with an ice::condition.
template <>
struct std::is_error_code_enum<ice::errc> : std::true_type {};
template <>
struct std::is_error_condition_enum<ice::condition> : std::true_type {};
