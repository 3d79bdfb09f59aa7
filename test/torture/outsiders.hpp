// outsiders: who is on the other side of the kernel. Raw system calls on non-blocking sockets, one
// or a few each time that it is somebody's turn; nothing of ice, and no thread of their own.
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "calls.hpp"
#include "words.hpp"

namespace torture {

// A place to connect to.
struct door {
    sockaddr_storage at{};
    socklen_t size = 0;
    std::uint16_t port() const noexcept;
};
door door_to(const std::string& unix_path);
door door_to(std::uint16_t port);  // of 127.0.0.1

// A socket of the outside, closed in the end.
class raw_socket {
public:
    raw_socket() = default;
    explicit raw_socket(int fd) noexcept;
    raw_socket(raw_socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    raw_socket& operator=(raw_socket&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    ~raw_socket() { close(); }

    // Connecting goes on by itself; buffers of 0 bytes are as the system has them.
    static raw_socket connect(const door&, int send_buffer, int receive_buffer) noexcept;
    static raw_socket listen(const door&, int backlog) noexcept;
    raw_socket accept() noexcept;
    bool is_open() const noexcept { return fd_ >= 0; }
    std::uint16_t port() const noexcept;

    // Is it connected? Refused and the like are an end.
    enum class progress { waiting, done, ended };
    progress connected() noexcept;

    // How many bytes the kernel took of these; -1: the connection is lost.
    long send(std::string_view bytes) noexcept;
    void send_urgent(char byte) noexcept;
    // Appends at most `most` bytes to `to`; ended: by the peer, or lost.
    progress receive(std::string& to, std::size_t most) noexcept;
    // All that was sent has arrived at the other end's kernel.
    bool all_arrived() const noexcept;
    // Of all that are open, in a forked child.
    static void close_copies() noexcept;
    // How often anything has come of a call, of any of them.
    static std::uint64_t moves() noexcept;

    void half_close() noexcept;
    void reset() noexcept;
    void close() noexcept;

private:
    int fd_ = -1;
};

class outsider {
public:
    virtual ~outsider() = default;
    virtual void act() = 0;  // a little
    virtual bool is_gone() const = 0;
    // The server will be told to drain at once: what has arrived by now must be answered.
    virtual void before_drain() {}
    virtual bool is_polite() const { return false; }
};

class crowd final : public outsiders {
public:
    explicit crowd(world& w) : w_(w) {}
    void add(std::unique_ptr<outsider> o) { all_.push_back(std::move(o)); }
    bool all_act() noexcept override;
    void one_acts() noexcept override;
    void leave_to_parent() noexcept override { raw_socket::close_copies(); }
    void before_drain() {
        for (auto& o : all_) o->before_drain();
    }
    // No peer that behaves well is there any more.
    bool polite_gone() const;

private:
    world& w_;
    std::vector<std::unique_ptr<outsider>> all_;
};

// A peer of a listener that asks `questions` and reads all answers, in whatever pieces.
std::unique_ptr<outsider> make_polite(world&, const door&, speech);
// One of those whom no server can trust.
std::unique_ptr<outsider> make_hostile(world&, const door&, speech);

}  // namespace torture
