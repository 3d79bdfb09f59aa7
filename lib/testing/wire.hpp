// wire: a simulated TCP connection, as the kernels at both ends see it.
#pragma once

#include <asio/error.hpp>
#include <functional>
#include <ice/address.hpp>
#include <ice/task.hpp>
#include <memory>
#include <string>
#include <string_view>

namespace ice::testing {

class network;

// Errors as the kernel's, so that they equal those of real sockets.
inline error_code system_error(int error) noexcept {
    return {error, asio::error::get_system_category()};
}

// A connection that is in flight or made. Its ends hold it; events that concern it do.
struct wire : std::enable_shared_from_this<wire> {
    struct end {
        std::string arrived;     // and not yet read
        std::size_t read = 0;    // of it
        bool finished = false;   // the other end sends no more, and all of it has arrived
        bool broken = false;     // by a reset
        error_code error;        // of the socket: told once
        std::string sent;        // and not yet arrived at the other end
        std::size_t unread = 0;  // sent, and not yet read by the other end
        bool shut = false;       // sends no more
        bool vanishing = false;  // what is sent comes nowhere
        bool full = false;       // told its user that it would block
        bool closed = false;
        time_point last{};              // when all that is sent has arrived
        std::function<void()> changed;  // there may be something to read, or room to write
        address where{"localhost", 0};
    };

    wire(network&, std::uint64_t number);

    // As send(2), recv(2), shutdown(2) and close(2); errors are EAGAIN, ECONNRESET, EPIPE.
    std::size_t send(int from, std::string_view bytes, error_code& ec);
    std::size_t receive(int at, char* to, std::size_t most, error_code& ec);
    bool readable(int at) const noexcept;
    bool quiet(int at) noexcept;  // as recv(2) with MSG_PEEK: it is told of an error, too
    void shut(int from);
    void close(int at);
    void reset(int from);  // `from` is gone at once; the other end hears of it

    network& net;
    std::uint64_t id;
    std::size_t window;
    end ends[2];  // 0 has connected, 1 has accepted

private:
    time_point arrival(int from);
    void arrive(int at, std::size_t n);
    void finish(int at);
    void fails(int at, int error);
    void break_end(int at, bool lossy);
    void tell(int at);
    void have_room(int from);
};

}  // namespace ice::testing
