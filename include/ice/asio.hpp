// The real socket of a session, for those who want Asio's own calls. Opt-in: it includes sockets.
#pragma once

#include <asio/generic/stream_protocol.hpp>
#include <ice/export.hpp>
#include <ice/session.hpp>

namespace ice {

// Options and queries are safe at any time; read and write only when ice does neither (in a
// handshake, or a logic that took over the conversation). It is a duplicate of the session's
// descriptor, dup(2): both are one connection, but closing or releasing this one leaves the
// session's open, and a released one goes on after the session. It lives as long as the session.
// Throws std::logic_error if the session's transport has no sockets.
ICE_API asio::generic::stream_protocol::socket& socket(session_base&);

}  // namespace ice
