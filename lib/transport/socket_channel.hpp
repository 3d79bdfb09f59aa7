// socket_channel: a channel over a TCP or Unix socket of Asio, on epoll.
#pragma once

#include <asio/generic/stream_protocol.hpp>
#include <asio/ip/tcp.hpp>
#include <ice/channel.hpp>
#include <ice/event.hpp>
#include <memory>

namespace ice {

class socket_channel final : public channel {
public:
    using socket = asio::generic::stream_protocol::socket;

    // Takes an open, connected socket. `peer` is unspecified for a Unix socket.
    socket_channel(transport& net, socket s, asio::ip::tcp::endpoint peer);
    ~socket_channel() override;

    task<outcome> fill() override;
    bool quiet() noexcept override;
    bool try_flush() override;
    task<outcome> flush(duration stall, time_point latest, errc why) override;
    std::size_t unsent() const noexcept override;
    void drain(error_code why) override;
    void cancel(error_code why) override;
    task<> linger(duration patience) override;
    address peer() const override;

    socket& native() noexcept { return socket_; }

private:
    template <class Handler>
    struct fill_op;
    struct start_fill;
    struct writer;

    template <class Handler>
    void read(fill_op<Handler> op);
    bool read_ended(error_code ec, std::size_t n, outcome& result);
    task<outcome> fill_draining();
    outcome read_now() noexcept;
    outcome ended() noexcept;
    void write_rest();
    void wrote(error_code ec, std::size_t n);
    void rest_input() override;

    socket socket_;
    asio::ip::tcp::endpoint peer_;
    std::shared_ptr<writer> writer_;  // made when the kernel first refuses bytes
    bool resting_ = false;            // the pending read was cancelled to give its buffer back
    error_code draining_;             // what fill() says when all that has arrived is read
    bool ended_ = false;              // the peer has closed its side
};

}  // namespace ice
