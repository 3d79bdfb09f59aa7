// outsiders: peers and upstreams behind the kernel. They make raw system calls on non-blocking
// sockets, a few each time that they act; they use nothing of ice, and no threads.
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

class upstream;

// A place to connect to.
struct door {
    sockaddr_storage at{};
    socklen_t size = 0;
    std::uint16_t port() const noexcept;
};
door door_to(const std::string& unix_path);
door door_to(std::uint16_t port);  // of 127.0.0.1

// A socket of a peer or upstream. The destructor closes it.
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

    // Connecting continues without calls; buffers of 0 bytes have the size that the system chooses.
    static raw_socket connect(const door&, int send_buffer, int receive_buffer) noexcept;
    static raw_socket listen(const door&, int backlog) noexcept;
    raw_socket accept() noexcept;
    bool is_open() const noexcept { return fd_ >= 0; }
    std::uint16_t port() const noexcept;

    // Whether it is connected. A refused connect has ended.
    enum class progress { waiting, done, ended };
    progress connected() noexcept;

    // How many of the bytes the kernel took; -1 if the connection is lost.
    long send(std::string_view bytes) noexcept;
    void send_urgent(char byte) noexcept;
    // Appends at most `most` bytes to `to`; ended: by the peer, or lost.
    progress receive(std::string& to, std::size_t most) noexcept;
    // All that was sent has arrived at the other end's kernel.
    bool all_arrived() const noexcept;
    // Closes the copies of all open sockets, in a forked child.
    static void close_copies() noexcept;
    // How many calls of all sockets have had an effect.
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
    // Whether all polite peers have ended.
    bool polite_gone() const;

private:
    world& w_;
    std::vector<std::unique_ptr<outsider>> all_;
};

// A polite peer of a listener: it asks questions and reads all answers, in pieces. Of a listener
// that forwards, it gets the replies of `through`.
std::unique_ptr<outsider> make_polite(world&, const door&, speech,
                                      const upstream* through = nullptr);
// A hostile peer.
std::unique_ptr<outsider> make_hostile(world&, const door&, speech);

}  // namespace torture
