// upstream: the other end of a pool's connections, over real sockets. The test does each of its
// steps.
#pragma once

#include <list>

#include "world.hpp"

namespace test {

// An upstream that does nothing by itself: the test accepts, reads and answers.
class upstream {
public:
    explicit upstream(world& w)
        : world_(w), acceptor_(w.io, {asio::ip::address_v4::loopback(), 0}) {
        acceptor_.non_blocking(true);
    }

    ice::address where() const { return {"127.0.0.1", acceptor_.local_endpoint().port()}; }

    // The next connection.
    peer& accept() {
        tcp::socket s(world_.io);
        std::error_code ec;
        world_.until(
            [&] {
                acceptor_.accept(s, ec);
                return !ec;
            },
            "a connection of the pool");
        return peers_.emplace_back(world_, std::move(s));
    }

    // Whether one has come that is not accepted yet.
    bool has_connection() {
        tcp::socket s(world_.io);
        std::error_code ec;
        acceptor_.accept(s, ec);
        if (!ec) peers_.emplace_back(world_, std::move(s));
        return !ec;
    }

    void close() { acceptor_.close(); }
    std::list<peer>& peers() { return peers_; }

private:
    world& world_;
    tcp::acceptor acceptor_;
    std::list<peer> peers_;
};

}  // namespace test
