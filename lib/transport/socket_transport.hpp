// socket_transport: the transport of TCP and Unix sockets. A transport that changes their bytes,
// such as one that encrypts, derives from it and makes channels of its own.
#pragma once

#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <ice/transport.hpp>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "poller.hpp"
#include "resolver.hpp"

namespace ice {

class socket_transport : public transport {
public:
    // Requires: one thread runs the io_context of the executor.
    explicit socket_transport(const asio::any_io_executor&);

    enum class side { accepted, connected };
    // Makes the channel of a connected, non-blocking descriptor: a socket_channel, or a class that
    // derives from it. The channel owns `fd`, unless this throws. `peer` is unspecified for a Unix
    // socket. Called once for each connection, before a byte was read or written.
    virtual std::unique_ptr<channel> make_channel(int fd, const asio::ip::tcp::endpoint& peer,
                                                  side);

    std::unique_ptr<acceptor> listen(const address&, std::optional<unsigned> socket_mode) override;
    time_point now() const override;
    task<> sleep(duration) override;
    std::uint64_t random() override { return chance_(); }
    std::size_t descriptors() const override;
    descriptor_budget& budget() noexcept override;
    void stop() override { timer_.reset(); }
    void release() override;

protected:
    task<result<std::vector<address>>> resolve(address, time_point until) override;
    result<std::unique_ptr<connect_attempt>> begin_connect(const address&,
                                                           connect_attempt::callback) override;

    poller& poller_;

private:
    void wake_at(time_point) override;
    void wake_for_next();

    resolver resolver_{poller_, executor()};
    std::optional<asio::steady_timer> timer_;  // none after stop()
    bool released_ = false;                    // after release() an idle timer is cancelled
    std::mt19937_64 chance_;
};

}  // namespace ice
