// connection: one socket to the server and the dialogue on it. It never waits; it moves bytes, and
// decides nothing: what follows from a reply or an error is the worker's.
#pragma once

#include <sys/socket.h>

#include <ice/bench.hpp>
#include <ice/detail/buffer.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "in_flight.hpp"

namespace ice::bench {

// The socket address of the server, resolved once.
struct endpoint {
    sockaddr_storage storage{};
    socklen_t size = 0;
};

class connection {
public:
    enum class state { closed, connecting, opening, ready };

    // `poller` is an epoll, whose events point to the connection.
    explicit connection(int poller) : poller_(poller) {}
    ~connection() { close(); }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;

    // Errors are those of the system (errno), 0 if there is none, or `ended`: the server has
    // closed the connection.
    static constexpr int ended = -1;

    // Begins to connect. That is over when the socket is writable: result() has the io_status.
    // `resets`: close() leaves no port in TIME_WAIT.
    int open(const endpoint& to, bool resets);
    int result() const;
    void close();

    // What a call has moved, also if it failed in the end.
    struct moved {
        std::size_t bytes = 0;
        int error = 0;
    };
    // Sends `bytes`, after what waits. What the kernel does not take waits, until the socket is
    // writable: then call it again.
    moved send(std::string_view bytes = {});
    // Sent by the next send(), before its bytes.
    std::string& waiting() { return out_; }

    // Reads once, into `space` if nothing of an earlier reading is left.
    moved receive(char* space, std::size_t size);
    // What was read and not consumed, until the next receive().
    std::string_view input() const { return input_; }
    void consume(std::size_t size);

    state is = state::closed;
    clock::time_point since;  // connecting or opening; closed: when to try again
    std::unique_ptr<dialogue> talk;
    in_flight asked;

private:
    void watch(bool writable);

    int fd_ = -1;
    int poller_;
    bool watches_writable_ = false;
    std::size_t out_done_ = 0;
    std::string out_;
    std::string_view input_;
    buffer rest_;  // the beginning of a reply
};

}  // namespace ice::bench
