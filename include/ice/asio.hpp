// The real socket of a session, for Asio's own calls. ice.hpp does not include this header, as it
// includes Asio's sockets.
#pragma once

#include <asio/generic/stream_protocol.hpp>
#include <ice/detail/export.hpp>
#include <ice/session.hpp>

namespace ice {

// A duplicate of the session's descriptor (dup(2)) for the same connection. Options and queries are
// safe at any time. Read and write only while the session does neither: in a handshake, or in a
// logic that has taken over the connection. Closing or releasing this socket leaves the session's
// descriptor open. The reference is valid as long as the session; a released descriptor stays open
// after it. Throws std::logic_error if the transport has no sockets.
ICE_API asio::generic::stream_protocol::socket& socket(session_base&);

}  // namespace ice
