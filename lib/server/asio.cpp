// Gets the socket of a session.
#include <ice/asio.hpp>
#include <stdexcept>

#include "../transport/socket_channel.hpp"

namespace ice {

asio::generic::stream_protocol::socket& socket(session_base& s) {
    if (auto* c = dynamic_cast<socket_channel*>(&s.bytes())) return c->native();
    throw std::logic_error("this session has no socket: its transport is not made of sockets");
}

}  // namespace ice
