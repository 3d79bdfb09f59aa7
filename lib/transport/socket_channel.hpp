// socket_channel: a channel over a TCP or Unix socket. It reads and writes without operations of
// Asio, so that an idle connection costs no memory for them. A channel that changes the bytes on
// their way, such as one that encrypts, derives from it: docs/transport.md.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/generic/stream_protocol.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/use_awaitable.hpp>
#include <ice/channel.hpp>
#include <memory>
#include <optional>

#include "poller.hpp"

namespace ice {

class socket_channel : public channel, private poller::client {
public:
    using socket = asio::generic::stream_protocol::socket;

    // Takes a connected, non-blocking descriptor. `peer` is unspecified for a Unix socket.
    socket_channel(transport& net, poller& p, int fd, asio::ip::tcp::endpoint peer) noexcept;
    ~socket_channel() override;

    task<io_status> fill() override;
    bool has_no_input() noexcept override;
    bool read_arrived() override;
    void end_with_peer() override;
    bool try_flush() override;
    std::size_t unsent() const noexcept override { return out_.size() - done_; }
    void release_buffers() override;
    void drain(error_code why) override;
    void cancel(error_code why) override;
    void shut() noexcept override;
    task<> linger(duration timeout) override;
    address peer() const override;
    ip_bytes peer_ip() const override;

    // A socket for Asio's own calls, made by the first call. It has a duplicate (dup(2)) of the
    // descriptor, so closing it leaves this channel open. Throws std::system_error (EMFILE).
    socket& native();

protected:
    // recv(2) and send(2) of at most `n` bytes, without waiting: both return what these return, set
    // errno, and fail with EAGAIN if nothing can be read or sent now. A channel that changes the
    // bytes overrides them. The bytes that it returns or takes are then those of data() and out().
    // receive() returns 0 only at the end of the stream. It is called again only when the kernel
    // has more bytes: see read_some().
    virtual ssize_t receive(char* to, std::size_t n) noexcept;
    virtual ssize_t transmit(const char* from, std::size_t n) noexcept;

    // Calls receive() once, and appends what it returns to data(). Returns nothing on EAGAIN.
    // A channel that may hold bytes that receive() has not returned yet overrides fill() to call
    // this first, and has_no_input(): the kernel reports only bytes that it has itself.
    std::optional<io_status> read_some();

    int descriptor() const noexcept { return fd_; }

private:
    // The completion handler that Asio makes for the coroutine that waits in fill().
    using reader = asio::async_result<asio::use_awaitable_t<>, void(io_status)>::handler_type;

    struct start_fill;
    void wait_for_bytes(reader);
    reader take_reader() noexcept;
    void tell_reader_later(io_status);
    task<io_status> wait_to_read();
    task<io_status> fill_draining();
    io_status ended() noexcept;
    void stall();
    void leave_poller() noexcept;  // if nothing waits

    bool ready(std::uint32_t events) override;
    void abandon() noexcept override;
    void leave_to_parent() override { cancel(errc::stopped); }
    std::uint64_t taken() const noexcept override;
    error_code watch_wanted() noexcept;

    int fd_;
    asio::ip::tcp::endpoint peer_;
    bool stalled_ = false;  // the send buffer is full; the poller reports when it has room
    bool ended_ = false;    // the peer has closed its side
    bool ends_with_peer_ = false;
    poller& poller_;
    std::optional<reader> reader_;  // the coroutine that waits in fill()
    std::size_t done_ = 0;          // the bytes of out_ that the kernel took already
    error_code draining_;           // the error of fill() when all that has arrived is read
    std::unique_ptr<socket> native_;
};

}  // namespace ice
