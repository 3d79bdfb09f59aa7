// poller: tells sockets of an io_context when they can be read or written, by an epoll of its own
// that is nested in Asio's. Level-triggered: a burst costs one recv and no EAGAIN, and no
// half-close is missed. One thread, like everything in ice.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <asio/any_io_executor.hpp>
#include <asio/execution_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <chrono>
#include <cstdint>
#include <ice/detail/buffer.hpp>
#include <ice/error.hpp>
#include <memory>
#include <optional>
#include <string>

namespace ice {

// One for each io_context, of which it is a service: coroutines that still wait end with it.
class poller final : public asio::execution_context::service {
    // A node of a ring, which it leaves when it is destroyed.
    struct link {
        link() = default;
        ~link() { unlink(); }
        link(const link&) = delete;
        link& operator=(const link&) = delete;
        void insert_before(link& other) noexcept;
        void unlink() noexcept;
        link* next = this;
        link* previous = this;
    };

public:
    // A socket, whose owner derives from this. The poller keeps pointers to it from its first
    // watch() or add_waiter() until deregister(); the destructor requires that to have happened.
    class client : private link {
    public:
        client() = default;
        virtual ~client();

    private:
        friend class poller;

        // `events` of epoll(7), reported again in each round until the client has dealt with them
        // or watch() no longer asks for them. May destroy the client. False: there were none.
        virtual bool ready(std::uint32_t events) = 0;
        // The io_context ends: the coroutine that waits for this socket is to be destroyed.
        virtual void abandon() noexcept = 0;
        // This process is the child of a fork(2): the connection stays with the parent.
        virtual void leave_to_parent() = 0;

        std::uint16_t watched_ = 0;
        bool has_waiter_ = false;
    };

    static poller& of(const asio::any_io_executor&);

    using key_type = poller;  // as Asio wants it
    inline static asio::execution_context::id id;
    explicit poller(asio::execution_context&);
    ~poller() override;

    // The poller knows the client from here to deregister(), which comes before its end.
    void enroll(client& c) noexcept { c.insert_before(clients_); }

    // Which events of `fd` the client is told of; none: not even errors.
    error_code watch(int fd, client&, std::uint32_t events) noexcept;

    // A coroutine waits for the client: while there is one, the io_context has work.
    void add_waiter(client&);
    void remove_waiter(client&) noexcept;

    // Before `fd` is closed: the client is told of nothing any more, and no pointer to it remains.
    void deregister(int fd, client&) noexcept;

    // How often this process has become the child of a fork(2). A descriptor that was made before
    // the last one is shared with the parent.
    unsigned forks() const noexcept { return forks_; }

    // Storage that sockets share, each from the arrival of bytes to the next wait. As a rule
    // one piece serves them all: it stays in the cache, and an idle connection has none.
    void acquire_buffers(buffer& in, std::string& out);
    void release_buffers(buffer& in, std::string& out);

private:
    static constexpr std::size_t spare_size = 64 * 1024;

    void shutdown() noexcept override;
    void notify_fork(asio::execution_context::fork_event) override;

    void wait();
    void round();
    bool read_speculatively();
    void check_thread();

    link clients_;             // the ring of all clients
    std::size_t waiters_ = 0;  // clients with a waiter
    int epoll_;
    unsigned forks_ = 0;
    asio::any_io_executor executor_;
    std::optional<asio::posix::stream_descriptor> outer_;  // epoll_, as Asio sees it
    bool waiting_ = false;                                 // for outer_
    bool in_round_ = false;

    std::array<epoll_event, 128> events_;  // of this round
    std::size_t count_ = 0, at_ = 0;
    client* only_ = nullptr;                       // of the last round that asked the kernel
    bool only_again_ = false;                      // and of the one before
    std::chrono::steady_clock::time_point asked_;  // when the kernel was asked, if only_again_

    std::weak_ptr<void> thread_;  // that ran the last round; in debug builds only
    buffer spare_in_;
    std::string spare_out_;
};

}  // namespace ice
