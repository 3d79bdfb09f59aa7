// Reads, writes and closes a socket. A write is tried at once and waits only if the kernel takes no
// more. A read waits without an operation of Asio, a buffer or a system call of its own.
#include "socket_channel.hpp"

#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <cassert>
#include <ice/transport.hpp>
#include <utility>

#include "../core/as_values.hpp"

namespace ice {
namespace {

// linger() ends after this many bytes, as a peer may send for ever. 1 MiB: more than a socket
// buffer usually holds.
constexpr std::size_t linger_bytes = 1024 * 1024;

// Of Asio's category, so that it equals asio::error::connection_reset and so on.
error_code system_error(int error) noexcept { return {error, asio::error::get_system_category()}; }

bool is_would_block(int error) noexcept { return error == EAGAIN; }  // EWOULDBLOCK, on Linux

}  // namespace

struct socket_channel::start_fill {
    void operator()(reader r) const { self->wait_for_bytes(std::move(r)); }
    socket_channel* self;
};

socket_channel::socket_channel(transport& net, poller& p, int fd,
                               asio::ip::tcp::endpoint peer) noexcept
    : channel(net), fd_(fd), peer_(std::move(peer)), poller_(p) {
    poller_.enroll(*this);
}

socket_channel::~socket_channel() {
    poller_.deregister(fd_, *this);  // mutant: leave_poller
    // Gives the storage back to the poller, which keeps it for other channels.
    out_.clear();
    in_.consume(in_.size());
    poller_.release_buffers(in_, out_);
    ::close(fd_);  // mutant: close
}

// -- receiving

task<io_status> socket_channel::fill() {
    if (cancelled_) return ice::ready(cancelled_);
    return draining_ ? fill_draining() : wait_to_read();
}

task<io_status> socket_channel::wait_to_read() {
    asio::use_awaitable_t<> token;
    return asio::async_initiate<asio::use_awaitable_t<>, void(io_status)>(start_fill{this}, token);
}

// Registers the coroutine that waits. It releases the buffers first: an idle connection has none.
void socket_channel::wait_for_bytes(reader r) {
    assert(!reader_ && "one fill() at a time");
    reader_.emplace(std::move(r));
    release_buffers();
    auto slot = asio::get_associated_cancellation_slot(*reader_);
    if (slot.is_connected())
        slot.assign([this](asio::cancellation_type) {
            if (reader_) tell_reader_later(make_error_code(asio::error::operation_aborted));
        });
    poller_.add_waiter(*this);
    // cancel() may have come after fill() was called and before its task was awaited.
    if (cancelled_) tell_reader_later(cancelled_);
    else if (const error_code ec = watch_wanted()) tell_reader_later(ec);
}

socket_channel::reader socket_channel::take_reader() noexcept {
    reader r = std::move(*reader_);
    reader_.reset();  // mutant: reader_leaves
    leave_poller();
    asio::get_associated_cancellation_slot(r).clear();
    return r;
}

// Posts the result, as the coroutine may destroy this channel while the caller still uses it.
void socket_channel::tell_reader_later(io_status o) {
    asio::post(net_.executor(), [this, r = take_reader(), o]() mutable {
        std::move(r)(cancelled_ ? io_status(cancelled_) : o);
    });
}

ssize_t socket_channel::receive(char* to, std::size_t n) noexcept {
    return ::recv(fd_, to, n, MSG_DONTWAIT);
}

ssize_t socket_channel::transmit(const char* from, std::size_t n) noexcept {
    return ::send(fd_, from, n, MSG_DONTWAIT | MSG_NOSIGNAL);
}

std::optional<io_status> socket_channel::read_some() {
    poller_.acquire_buffers(in_, out_);
    buffer::room r{};
    try {
        r = room();
    } catch (const std::bad_alloc&) { return io_status(system_error(ENOMEM)); }
    for (;;) {
        const ssize_t n = receive(r.data, r.size);
        if (n > 0) {
            received(static_cast<std::size_t>(n));
            return io_status();
        }
        if (n == 0) return ended();  // mutant: end_of_stream
        if (is_would_block(errno)) return std::nullopt;
        if (errno != EINTR) {
            ends_with_peer_ = false;
            return io_status(system_error(errno));
        }
    }
}

// Yields first: a peer that sends without a pause must not keep the loop from other work.
task<io_status> socket_channel::fill_draining() {
    co_await net_.yield();
    if (cancelled_) co_return cancelled_;
    const std::optional<io_status> read = read_some();
    if (read || !in_message_) co_return read.value_or(io_status(draining_));
    waited_in_drain_ = true;
    const io_status rest = co_await wait_to_read();
    co_return rest;
}

io_status socket_channel::ended() noexcept {
    ended_ = true;
    ends_with_peer_ = false;  // whoever reads has learnt of it
    return in_.size() == 0 ? errc::closed : errc::truncated;
}

// MSG_PEEK leaves the byte in the kernel. The end of the stream (0) and errors count as input.
bool socket_channel::has_no_input() noexcept {
    if (cancelled_ || in_.size() != 0) return false;
    char byte = 0;
    const ssize_t n = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && is_would_block(errno);
}

bool socket_channel::read_arrived() {
    if (cancelled_) return false;
    const std::optional<io_status> read = read_some();
    return read && !*read;
}

// The poller waits for the peer's end although no coroutine waits for this channel.
void socket_channel::end_with_peer() {
    ends_with_peer_ = true;
    poller_.add_waiter(*this);
    if (const error_code ec = watch_wanted()) cancel(ec);
}

void socket_channel::leave_poller() noexcept {
    if (!reader_ && !stalled_ && !ends_with_peer_) poller_.remove_waiter(*this);
}

void socket_channel::release_buffers() { poller_.release_buffers(in_, out_); }

// -- sending

bool socket_channel::try_flush() {
    if (cancelled_ || stalled_) return false;
    while (done_ < out_.size()) {
        const ssize_t n = transmit(out_.data() + done_, out_.size() - done_);
        if (n > 0) {
            done_ += static_cast<std::size_t>(n);  // mutant: count_part
            sent_ += static_cast<std::size_t>(n);
        } else if (is_would_block(errno)) {
            stall();
            return false;
        } else if (errno != EINTR) {
            cancel(system_error(errno));
            return false;
        }
    }
    out_.clear();
    done_ = 0;  // mutant: write_is_done
    return true;
}

// The kernel takes no more bytes until the poller reports room. The sent bytes are erased when they
// are the larger part: so no more bytes are moved than were sent, however often the peer stalls.
void socket_channel::stall() {
    if (done_ >= out_.size() - done_) out_.erase(0, std::exchange(done_, 0));  // mutant: cut_sent
    error_code ec;
    try {
        begin_stall();
        poller_.add_waiter(*this);  // mutant: writer_waits
        stalled_ = true;
        ec = watch_wanted();
    } catch (const std::bad_alloc&) { ec = system_error(ENOMEM); }
    if (ec) cancel(ec);
}

// SIOCOUTQ counts the bytes that a TCP peer has not acknowledged (tcp(7)). For a Unix socket it
// counts the memory of what the peer has not read: that changes when the peer reads, too.
std::uint64_t socket_channel::taken() const noexcept {
    int unacknowledged = 0;
    ::ioctl(fd_, SIOCOUTQ, &unacknowledged);
    return sent_ - static_cast<std::uint64_t>(unacknowledged);
}

// -- events of the poller

bool socket_channel::ready(std::uint32_t events) {
    constexpr std::uint32_t broken = EPOLLERR | EPOLLHUP;
    // Writes first, as the coroutine that is resumed for reading may destroy this channel.
    if (stalled_ && (events & (EPOLLOUT | broken)) != 0) {
        stalled_ = false;
        leave_poller();
        end_stall();
        try_flush();  // also what was pushed since
    }
    if (reader_ && (events & (EPOLLIN | broken)) != 0) {
        const std::optional<io_status> read = cancelled_ ? io_status(cancelled_) : read_some();
        if (read) {
            take_reader()(*read);  // may destroy this channel
            return true;
        }
        poller_.release_buffers(in_, out_);
    } else if (ends_with_peer_ && (events & (EPOLLRDHUP | broken)) != 0) {
        ends_with_peer_ = false;
        watch_wanted();
        leave_poller();   // cancel() does not, if it was called before
        ended_by_peer();  // may destroy this channel
        return true;
    }
    watch_wanted();  // mutant: watch_again
    return (events & EPOLLOUT) != 0;
}

// The poller reports an event in every round until it is dealt with, so it watches only those that
// a coroutine waits for.
error_code socket_channel::watch_wanted() noexcept {
    const std::uint32_t in = EPOLLIN, out = EPOLLOUT, end = EPOLLRDHUP;
    const std::uint32_t wanted = (reader_ ? in : 0) | (stalled_ ? out : 0);  // mutant: wanted
    return poller_.watch(fd_, *this, wanted | (ends_with_peer_ ? end : 0));
}

void socket_channel::abandon() noexcept {
    if (reader_) take_reader();
}

// -- the end

// Reads what has arrived at once, so that a fill() that waits ends, unless it waits for the rest of
// a message.
void socket_channel::drain(error_code why) {
    if (draining_) return;
    draining_ = why;
    if (!reader_ || cancelled_) return;
    const std::optional<io_status> read = read_some();  // mutant: drain_reads
    if (read) return tell_reader_later(*read);
    if (!in_message_) return tell_reader_later(draining_);
    waited_in_drain_ = true;
    release_buffers();
}

void socket_channel::cancel(error_code why) {
    if (cancelled_) return;
    cancelled_ = why;
    stalled_ = false;
    std::string().swap(out_);  // it is never sent, and a logic may run on for long
    done_ = 0;
    if (reader_) tell_reader_later(why);
    leave_poller();
    end_stall();
}

void socket_channel::shut() noexcept { ::shutdown(fd_, SHUT_RDWR); }

task<> socket_channel::linger(duration timeout) {
    if (cancelled_ || ended_) co_return;
    assert(unsent() == 0);
    ::shutdown(fd_, SHUT_WR);
    // fill() has to read on, although the session was drained.
    draining_.clear();
    deadline(after(net_.now(), timeout), errc::closed);
    for (std::size_t discarded = 0; discarded < linger_bytes;) {
        discarded += in_.size();
        in_.consume(in_.size());
        const error_code ec = co_await fill();
        if (ec) break;
    }
}

address socket_channel::peer() const {
    // No TCP peer has port 0: the endpoint was never set, as for each Unix socket.
    if (peer_.port() == 0) return address("unix:(peer)");
    return address::of(*peer_.data());
}

ip_bytes socket_channel::peer_ip() const {
    ip_bytes ip{};
    if (peer_.port() == 0) return ip;
    if (peer_.address().is_v6()) return peer_.address().to_v6().to_bytes();
    const auto v4 = peer_.address().to_v4().to_bytes();
    ip[10] = ip[11] = 0xff;
    std::copy(v4.begin(), v4.end(), ip.begin() + 12);
    return ip;
}

socket_channel::socket& socket_channel::native() {
    if (!native_) {
        int family = 0;
        socklen_t size = sizeof family;
        ::getsockopt(fd_, SOL_SOCKET, SO_DOMAIN, &family, &size);
        const int fd = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
        if (fd < 0) throw std::system_error(system_error(errno));
        native_ = std::make_unique<socket>(net_.executor(),
                                           asio::generic::stream_protocol(family, 0), fd);
    }
    return *native_;
}

}  // namespace ice
