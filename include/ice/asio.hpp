// The real socket of a session, for Asio's own calls. ice.hpp does not include this header, as it
// includes Asio's sockets.
#pragma once

#include <asio/generic/stream_protocol.hpp>
#include <ice/detail/export.hpp>
#include <ice/session.hpp>

namespace ice {

// Returns a socket of the same connection. It has a duplicate of the session's descriptor (dup(2)),
// which the first call makes. Socket options and queries are safe at any time. Read and write only
// while the session does neither: in a handshake, or in a logic that has taken over the connection.
// Closing or releasing this socket leaves the session's descriptor open. The reference is valid as
// long as the session; a descriptor that was released from it stays open after the session.
// Throws std::logic_error if the transport has no sockets, and std::system_error if no descriptor
// is left.
ICE_API asio::generic::stream_protocol::socket& socket(session_base&);

}  // namespace ice
