// The yardstick for bytes: an echo server written by hand on epoll. It uses nothing of ice.
#include "raw_server.hpp"

bool readable(raw::connection* peer) {
    auto size = ::recv(peer->fd, raw::input, sizeof raw::input, 0);
    if (size > 0) return raw::send(peer, raw::input, static_cast<std::size_t>(size));
    return size < 0 && errno == EAGAIN;
}

int main(int argc, char** argv) { return raw::serve(argc, argv, readable); }
