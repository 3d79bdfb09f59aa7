// poller: which sockets of an io_context can be read or written, by an epoll of ice's own inside
// that of Asio. Level-triggered: a burst costs one recv and no EAGAIN, and no half-close is missed.
// With ICE_TCP_INQ they are in Asio's epoll itself (poller_in_asio.cpp): a system call less.
#pragma once

#include <sys/epoll.h>

#include <array>
#include <asio/any_io_executor.hpp>
#include <asio/execution_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <ice/buffer.hpp>
#include <ice/error.hpp>
#include <optional>
#include <string>

#include "../asio_bridge.hpp"

#if ICE_POLLS_IN_ASIO
#include <asio/detail/reactor.hpp>
#include <asio/detail/scheduler.hpp>
#endif

namespace ice {

// One for each io_context, of which it is a service: so what still waits ends with it.
class poller final : public asio::execution_context::service {
    class registration;

public:
    struct link {
        link() = default;
        link(const link&) = delete;
        link& operator=(const link&) = delete;
        link* next = nullptr;
        link* previous = nullptr;
    };

    // A socket, whose owner derives from this.
    class client : private link {
    public:
        client() = default;
        virtual ~client() = default;

    private:
        friend class poller;

        // `events` of epoll(7). They are told again and again until they are dealt with, or
        // watch() says that nobody wants them. May destroy the client. False if they were not so.
        virtual bool ready(std::uint32_t events) = 0;
        // The io_context ends: whoever waits for this socket is destroyed.
        virtual void abandon() noexcept = 0;

        std::uint32_t watched_ = 0;
#if ICE_POLLS_IN_ASIO
        bool drained_ = false;
        registration* at_ = nullptr;  // in Asio's reactor
#endif
    };

    static poller& of(const asio::any_io_executor&);

    using key_type = poller;  // as Asio wants it
    inline static asio::execution_context::id id;
    explicit poller(asio::execution_context&);
    ~poller() override;

    // Which events of `fd` the client is told of; none: not even errors.
    error_code watch(int fd, client&, std::uint32_t events) noexcept;

    // Proof that nothing is left to read, found while dealing with EPOLLIN: what has come until now
    // need not be told again. Without proof say nothing.
    static void drained([[maybe_unused]] client& c) noexcept {
#if ICE_POLLS_IN_ASIO
        c.drained_ = true;
#endif
    }

    // Somebody waits for the client: while there is such a one, the io_context has work.
    void hold(client&);
    void let_go(client&) noexcept;

    // Before `fd` is closed: nothing is told any more.
    void forget(int fd, client&) noexcept;

    // Storage that sockets lend each other from the arrival of bytes to the next wait. As a rule
    // one piece serves them all: it stays in the cache, and a connection at rest has none.
    void lend(buffer& in, std::string& out);
    void take_back(buffer& in, std::string& out);

private:
    static constexpr std::size_t spare_size = 64 * 1024;

    void shutdown() noexcept override;

    link held_;  // the ring of clients for which somebody waits

#if ICE_POLLS_IN_ASIO
    void arm(client&, bool registered_just_now = false);

    asio::detail::epoll_reactor& reactor_;
    asio::detail::scheduler& scheduler_;
#else
    void wait();
    void round();

    int epoll_;
    std::optional<asio::posix::stream_descriptor> outer_;  // epoll_, as Asio sees it
    bool waiting_ = false;                                 // for outer_
    bool in_round_ = false;

    std::array<epoll_event, 128> events_;  // of this round
    std::size_t count_ = 0, at_ = 0;
    client* only_ = nullptr;   // of the last round that asked the kernel
    bool only_again_ = false;  // of the one before too
    int guesses_ = 0;          // rounds since
#endif

    buffer spare_in_;
    std::string spare_out_;
};

}  // namespace ice
