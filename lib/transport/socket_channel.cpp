// Reading, writing and ending on a socket. A write is tried before anything waits for it; a read
// is one operation of Asio, without a coroutine frame of its own while a connection is idle.
#include "socket_channel.hpp"

#include <sys/socket.h>

#include <asio/associated_allocator.hpp>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/associated_executor.hpp>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <ice/transport.hpp>
#include <utility>

#include "../asio_bridge.hpp"

namespace ice {
namespace {

constexpr std::size_t linger_bytes =
    1024 * 1024;                               // a peer that goes on sending is not read for ever
constexpr std::size_t kept_bytes = 64 * 1024;  // of the writer's buffer, after a stall

// As Asio makes them, so that they equal asio::error::connection_reset and so on.
error_code system_error(int error) noexcept { return {error, asio::error::get_system_category()}; }

bool is_would_block(int error) noexcept { return error == EAGAIN; }  // EWOULDBLOCK, on Linux

}  // namespace

// The rest of a flush that the kernel did not take at once. It owns its bytes: out() can be
// appended to meanwhile.
struct socket_channel::writer {
    writer(socket_channel* c, const asio::any_io_executor& executor)
        : owner(c), progress(executor) {}

    socket_channel* owner;  // null once the channel is gone
    event progress;         // set whenever the kernel took bytes, and at the end
    std::string bytes;
    std::size_t done = 0;
    bool busy = false;
};

// What Asio calls when the read has ended: wraps the coroutine that waits, and shares its
// executor, allocator and cancellation.
template <class Handler>
struct socket_channel::fill_op {
    using executor_type = asio::associated_executor_t<Handler>;
    using allocator_type = asio::associated_allocator_t<Handler>;
    using cancellation_slot_type = asio::associated_cancellation_slot_t<Handler>;

    executor_type get_executor() const noexcept { return asio::get_associated_executor(handler); }
    allocator_type get_allocator() const noexcept {
        return asio::get_associated_allocator(handler);
    }
    cancellation_slot_type get_cancellation_slot() const noexcept {
        return asio::get_associated_cancellation_slot(handler);
    }

    void operator()(error_code ec, std::size_t n) {
        outcome result;
        if (self->read_ended(ec, n, result)) std::move(handler)(result);
        else self->read(std::move(*this));
    }

    socket_channel* self;
    Handler handler;
};

struct socket_channel::start_fill {
    template <class Handler>
    void operator()(Handler&& handler) const {
        self->read(fill_op<std::decay_t<Handler>>{self, std::forward<Handler>(handler)});
    }

    socket_channel* self;
};

socket_channel::socket_channel(transport& net, socket s, asio::ip::tcp::endpoint peer)
    : channel(net), socket_(std::move(s)), peer_(std::move(peer)) {}

socket_channel::~socket_channel() {
    if (writer_) writer_->owner = nullptr;
}

// -- receiving

task<outcome> socket_channel::fill() {
    if (cancelled_) return ready(cancelled_);
    if (draining_) return fill_draining();
    asio::use_awaitable_t<> token;
    return asio::async_initiate<asio::use_awaitable_t<>, void(outcome)>(start_fill{this}, token);
}

template <class Handler>
void socket_channel::read(fill_op<Handler> op) {
    const auto r = room();
    filling_ = true;
    socket_.async_read_some(asio::buffer(r.data, r.size), std::move(op));
}

// False if the read is to be started again.
bool socket_channel::read_ended(error_code ec, std::size_t n, outcome& result) {
    filling_ = false;
    const bool was_resting = std::exchange(resting_, false);
    received(n);
    if (cancelled_) {
        result = cancelled_;
    } else if (ec == asio::error::eof) {
        result = ended();
    } else if (ec == asio::error::operation_aborted && draining_) {
        result = read_now();
    } else if (ec == asio::error::operation_aborted && was_resting) {
        channel::rest_input();
        return false;
    } else {
        result = ec;
    }
    return true;
}

// Gives way first: a peer that never stops sending must not keep the loop from all else.
task<outcome> socket_channel::fill_draining() {
    co_await net_.yield();
    if (cancelled_) co_return cancelled_;
    co_return read_now();
}

outcome socket_channel::ended() noexcept {
    ended_ = true;
    return in_.size() == 0 ? errc::closed : errc::cut_short;
}

outcome socket_channel::read_now() noexcept {
    const auto r = room();
    for (;;) {
        const ssize_t n = ::recv(socket_.native_handle(), r.data, r.size, MSG_DONTWAIT);
        if (n > 0) {
            received(static_cast<std::size_t>(n));
            return {};
        }
        if (n == 0) return ended();
        if (is_would_block(errno)) return draining_;
        if (errno != EINTR) return system_error(errno);
    }
}

bool socket_channel::quiet() noexcept {
    if (cancelled_ || in_.size() != 0) return false;
    char byte = 0;
    const ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_DONTWAIT | MSG_PEEK);
    return n < 0 && is_would_block(errno);
}

// -- sending

bool socket_channel::try_flush() {
    if (cancelled_) return false;
    if (writer_ && writer_->busy) return false;
    std::size_t done = 0;
    while (done < out_.size()) {
        const ssize_t n = ::send(socket_.native_handle(), out_.data() + done, out_.size() - done,
                                 MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            done += static_cast<std::size_t>(n);
        } else if (is_would_block(errno)) {
            break;
        } else if (errno != EINTR) {
            cancel(system_error(errno));
            return false;
        }
    }
    sent_ += done;
    if (done == out_.size()) {
        out_.clear();
        return true;
    }
    if (!writer_) writer_ = std::make_shared<writer>(this, net_.executor());
    writer_->bytes.swap(out_);
    writer_->done = done;
    writer_->busy = true;
    write_rest();
    return false;
}

void socket_channel::write_rest() {
    writer& w = *writer_;
    auto wrote = [held = writer_](error_code ec, std::size_t n) {
        if (held->owner) held->owner->wrote(ec, n);
    };
    socket_.async_write_some(asio::buffer(w.bytes.data() + w.done, w.bytes.size() - w.done),
                             std::move(wrote));
}

void socket_channel::wrote(error_code ec, std::size_t n) {
    writer& w = *writer_;
    sent_ += n;
    w.done += n;
    const bool only_disturbed =
        ec == asio::error::operation_aborted && !cancelled_;  // drain() or rest()
    if (ec && !only_disturbed) {
        cancel(ec);
        w.busy = false;
    } else if (w.done < w.bytes.size()) {
        write_rest();
    } else {
        w.busy = false;
        w.bytes.clear();
        w.done = 0;  // or unsent() would count less than nothing
        if (w.bytes.capacity() > kept_bytes) w.bytes.shrink_to_fit();
        try_flush();  // what was pushed meanwhile
    }
    w.progress.set();
}

task<outcome> socket_channel::flush(duration stall, time_point latest, errc why) {
    while (!try_flush()) {
        if (cancelled_) co_return cancelled_;
        const time_point now = net_.now();
        if (latest < now + stall) deadline(now, latest, why);
        else deadline(now, now + stall, errc::write_timeout);
        event& progress = writer_->progress;
        progress.clear();
        const error_code cancelled = co_await progress.wait();
        if (cancelled) co_return cancelled;
    }
    co_return outcome();
}

std::size_t socket_channel::unsent() const noexcept {
    return out_.size() + (writer_ ? writer_->bytes.size() - writer_->done : 0);
}

// -- the end

void socket_channel::drain(error_code why) {
    if (draining_) return;
    draining_ = why;
    error_code ignored;
    if (filling_) socket_.cancel(ignored);
}

void socket_channel::cancel(error_code why) {
    if (cancelled_) return;
    cancelled_ = why;
    error_code ignored;
    socket_.cancel(ignored);
    if (writer_) writer_->progress.set();
}

task<> socket_channel::linger(duration patience) {
    if (cancelled_ || ended_) co_return;
    error_code ignored;
    socket_.shutdown(socket::shutdown_send, ignored);
    draining_.clear();
    const time_point now = net_.now();
    deadline(now, now + patience, errc::closed);
    for (std::size_t discarded = 0; discarded < linger_bytes;) {
        discarded += in_.size();
        in_.consume(in_.size());
        if (co_await fill()) break;
    }
}

// The read that is pending points into the buffer: it is ended first, and begun again after.
void socket_channel::rest_input() {
    resting_ = true;
    error_code ignored;
    socket_.cancel(ignored);
}

address socket_channel::peer() const {
    if (peer_.port() == 0) return address("unix:(peer)");
    return address(peer_.address().to_string(), peer_.port());
}

}  // namespace ice
