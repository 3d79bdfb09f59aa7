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

// An errno as sockets return it, in Asio's category: it equals the errors of real sockets.
inline error_code system_error(int error) noexcept {
    return {error, asio::error::get_system_category()};
}

// A connection, made or in its handshake. Its channels and its pending events share it.
struct wire : std::enable_shared_from_this<wire> {
    struct end {
        std::string arrived;     // bytes that have arrived, until all of them are read
        std::size_t read = 0;    // bytes of `arrived` that were read
        bool finished = false;   // the end of the other end's stream has arrived
        bool broken = false;     // a reset has broken this end
        error_code error;        // the pending error of the socket, which is reported once
        std::string sent;        // bytes that have not arrived at the other end yet
        std::size_t unread = 0;  // bytes sent that the other end has not read
        bool shut = false;       // this end sends no more
        bool vanishing = false;  // fault::end: sent bytes arrive nowhere
        bool full = false;       // the last send would have blocked
        bool closed = false;
        time_point last{};              // when all sent bytes will have arrived
        std::function<void()> changed;  // called when reading or writing may be possible again
        address where{"localhost", 0};
    };

    wire(network&, std::uint64_t number);

    // These work as send(2), recv(2), shutdown(2) and close(2) on end `from` or `at`, 0 or 1. Their
    // errors are EAGAIN, ECONNRESET and EPIPE.
    std::size_t send(int from, std::string_view bytes, error_code& ec);
    std::size_t receive(int at, char* to, std::size_t most, error_code& ec);
    bool readable(int at) const noexcept;
    bool quiet(int at) noexcept;  // as recv(2) with MSG_PEEK, which also takes a pending error
    void shut(int from);
    void close(int at);
    void reset(int from);  // breaks end `from` at once, and the other one after a latency

    network& net;
    std::uint64_t id;    // the number of the connection, for history()
    std::size_t window;  // faults::window when it was made
    end ends[2];         // 0 has connected, 1 has accepted

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
