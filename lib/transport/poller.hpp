// poller: reports to the sockets of an io_context when they can be read or written, by an epoll of
// its own that is nested in Asio's. It is level-triggered (epoll(7)): a burst costs one recv and no
// EAGAIN, and no half-close is missed. All calls are for the thread that runs the io_context.
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

// One for each io_context, as a service of it. At the end of the io_context it destroys the
// coroutines that still wait for a socket.
class poller final : public asio::execution_context::service {
    // A node of a ring. Its destructor takes it out of the ring.
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
    // The owner of a socket derives from this. The poller keeps pointers to it from enroll(),
    // watch() or add_waiter() until deregister(). The destructor requires that deregister() was
    // called.
    class client : private link {
    public:
        client() = default;
        virtual ~client();

    private:
        friend class poller;

        // Called with `events` of epoll(7), again in each round until the client has dealt with
        // them or watch() no longer asks for them. It may destroy the client. Returns false if
        // there was nothing to read or to write.
        virtual bool ready(std::uint32_t events) = 0;
        // The io_context ends: destroy the coroutine that waits for this socket.
        virtual void abandon() noexcept = 0;
        // This process is the child of a fork(2): leave the connection to the parent.
        virtual void leave_to_parent() = 0;

        std::uint16_t watched_ = 0;
        bool has_waiter_ = false;
    };

    // The poller of the executor's io_context, made by the first call. Throws std::system_error if
    // no descriptor is left.
    static poller& of(const asio::any_io_executor&);

    using key_type = poller;  // Asio requires it of a service
    inline static asio::execution_context::id id;
    explicit poller(asio::execution_context&);
    ~poller() override;

    // Makes the client known, so that fork(2) and the end of the io_context reach it.
    void enroll(client& c) noexcept { c.insert_before(clients_); }

    // Sets the events of `fd` that the poller reports to the client. With 0 it reports none, not
    // even errors. Returns the error of epoll_ctl(2).
    error_code watch(int fd, client&, std::uint32_t events) noexcept;

    // Counts a coroutine that waits for the client. While there is one, the io_context has work.
    void add_waiter(client&);
    void remove_waiter(client&) noexcept;

    // Removes the client: the poller reports nothing to it any more and keeps no pointer to it.
    // Call it before `fd` is closed.
    void deregister(int fd, client&) noexcept;

    // How often this process has become the child of a fork(2). The parent shares a descriptor
    // that was made before the last one.
    unsigned forks() const noexcept { return forks_; }

    // Memory that all sockets share, each from the arrival of bytes to its next wait. Usually one
    // piece serves them all: it stays in the cache, and an idle connection has none. Both functions
    // keep the content; release_buffers() frees what is empty, or keeps it for the next socket.
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

    // The events of this round. 128: more wait for the next round, which follows at once.
    std::array<epoll_event, 128> events_;
    std::size_t count_ = 0, at_ = 0;               // events, and the next one to report
    client* only_ = nullptr;                       // the one client of the last epoll_wait(2)
    bool only_again_ = false;                      // it was also the only one of the call before
    std::chrono::steady_clock::time_point asked_;  // the time of that call, if only_again_

    std::weak_ptr<void> thread_;  // the thread of the last round; in debug builds only
    buffer spare_in_;
    std::string spare_out_;
};

}  // namespace ice
