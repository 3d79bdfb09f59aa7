// Reading, writing and ending on a socket. A write is tried before anything waits for it; a read
// waits without an operation, a buffer or a system call of its own.
#include "socket_channel.hpp"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <cstring>
#include <ice/transport.hpp>
#include <utility>

#include "../asio_bridge.hpp"

namespace ice {
namespace {

constexpr std::size_t linger_bytes =
    1024 * 1024;                                // a peer that goes on sending is not read for ever
constexpr std::size_t moved_bytes = 64 * 1024;  // sent bytes are cut off when there are so many

// As Asio makes them, so that they equal asio::error::connection_reset and so on.
error_code system_error(int error) noexcept { return {error, asio::error::get_system_category()}; }

bool is_would_block(int error) noexcept { return error == EAGAIN; }  // EWOULDBLOCK, on Linux

struct read_result {
    ssize_t size;     // as recv(2) returns it
    bool is_drained;  // there was nothing more, and no end
};

#if ICE_POLLS_IN_ASIO

// The kernel counts what it has left: 1 at least after a FIN. Only for TCP: with this room for
// control data, the peer of a Unix socket could hand us descriptors.
read_result receive_counting(int fd, buffer::room r) noexcept {
    iovec into{r.data, r.size};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr m{};
    m.msg_iov = &into;
    m.msg_iovlen = 1;
    m.msg_control = control;
    m.msg_controllen = sizeof control;
    const ssize_t n = ::recvmsg(fd, &m, MSG_DONTWAIT);
    if (n <= 0) return {n, false};
    const cmsghdr* const c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_level != IPPROTO_TCP || c->cmsg_type != TCP_CM_INQ) return {n, false};
    int left = 0;
    std::memcpy(&left, CMSG_DATA(c), sizeof left);
    return {n, left == 0};
}

#endif

read_result receive(int fd, buffer::room r, [[maybe_unused]] bool is_tcp) noexcept {
#if ICE_POLLS_IN_ASIO
    if (is_tcp) return receive_counting(fd, r);
#endif
    return {::recv(fd, r.data, r.size, MSG_DONTWAIT), false};
}

}  // namespace

struct socket_channel::start_fill {
    void operator()(reader r) const { self->wait_for_bytes(std::move(r)); }
    socket_channel* self;
};

socket_channel::socket_channel(transport& net, poller& p, int fd,
                               asio::ip::tcp::endpoint peer) noexcept
    : channel(net), fd_(fd), peer_(std::move(peer)), poller_(p) {}

socket_channel::~socket_channel() {
    poller_.forget(fd_, *this);
    out_.clear();
    in_.consume(in_.size());
    poller_.take_back(in_, out_);
    if (!native_ || ICE_POLLS_IN_ASIO) ::close(fd_);
}

// -- receiving

task<outcome> socket_channel::fill() {
    if (cancelled_) return ice::ready(cancelled_);
    if (draining_) return fill_draining();
    asio::use_awaitable_t<> token;
    return asio::async_initiate<asio::use_awaitable_t<>, void(outcome)>(start_fill{this}, token);
}

void socket_channel::wait_for_bytes(reader r) {
    reader_.emplace(std::move(r));
    rest();
    auto slot = asio::get_associated_cancellation_slot(*reader_);
    if (slot.is_connected())
        slot.assign([this](asio::cancellation_type) {
            if (reader_) tell_reader_later(make_error_code(asio::error::operation_aborted));
        });
    poller_.hold(*this);
    if (cancelled_) tell_reader_later(cancelled_);
    else if (const error_code ec = watch_wanted()) tell_reader_later(ec);
}

socket_channel::reader socket_channel::take_reader() noexcept {
    reader r = std::move(*reader_);
    reader_.reset();
    if (!stalled_) poller_.let_go(*this);
    asio::get_associated_cancellation_slot(r).clear();
    return r;
}

void socket_channel::tell_reader_later(outcome o) {
    asio::post(net_.executor(), [this, r = take_reader(), o]() mutable {
        std::move(r)(cancelled_ ? outcome(cancelled_) : o);
    });
}

// Nothing if nothing has come.
std::optional<outcome> socket_channel::read_some() {
    poller_.lend(in_, out_);
    buffer::room r{};
    try {
        r = room();
    } catch (const std::bad_alloc&) { return outcome(system_error(ENOMEM)); }
    for (;;) {
        const read_result read = receive(fd_, r, peer_.port() != 0);
        if (read.size > 0) {
            if (read.is_drained) poller::drained(*this);
            received(static_cast<std::size_t>(read.size));
            return outcome();
        }
        if (read.size == 0) return ended();
        if (is_would_block(errno)) {
            poller::drained(*this);
            return std::nullopt;
        }
        if (errno != EINTR) return outcome(system_error(errno));
    }
}

// Gives way first: a peer that never stops sending must not keep the loop from all else.
task<outcome> socket_channel::fill_draining() {
    co_await net_.yield();
    if (cancelled_) co_return cancelled_;
    const std::optional<outcome> read = read_some();
    co_return read.value_or(outcome(draining_));
}

outcome socket_channel::ended() noexcept {
    ended_ = true;
    return in_.size() == 0 ? errc::closed : errc::cut_short;
}

bool socket_channel::quiet() noexcept {
    if (cancelled_ || in_.size() != 0) return false;
    char byte = 0;
    const ssize_t n = ::recv(fd_, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n < 0 && is_would_block(errno);
}

void socket_channel::rest() { poller_.take_back(in_, out_); }

// -- sending

bool socket_channel::try_flush() {
    if (cancelled_ || stalled_) return false;
    while (done_ < out_.size()) {
        const ssize_t n =
            ::send(fd_, out_.data() + done_, out_.size() - done_, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n > 0) {
            done_ += static_cast<std::size_t>(n);
            sent_ += static_cast<std::size_t>(n);
        } else if (is_would_block(errno)) {
            if (done_ > moved_bytes) out_.erase(0, std::exchange(done_, 0));
            stalled_ = true;
            poller_.hold(*this);
            if (const error_code ec = watch_wanted()) cancel(ec);
            return false;
        } else if (errno != EINTR) {
            cancel(system_error(errno));
            return false;
        }
    }
    out_.clear();
    done_ = 0;
    return true;
}

task<outcome> socket_channel::flush(duration stall, time_point latest, errc why) {
    while (!try_flush()) {
        if (cancelled_) co_return cancelled_;
        const time_point end = after(net_.now(), stall);
        if (latest < end) deadline(latest, why);
        else deadline(end, errc::write_timeout);
        if (!progress_) progress_ = std::make_unique<event>(net_.executor());
        progress_->clear();
        const error_code cancelled = co_await progress_->wait();
        if (cancelled) co_return cancelled;
    }
    co_return outcome();
}

// -- what the poller says

bool socket_channel::ready(std::uint32_t events) {
    constexpr std::uint32_t broken = EPOLLERR | EPOLLHUP;
    if (stalled_ && (events & (EPOLLOUT | broken)) != 0) {
        stalled_ = false;
        if (!reader_) poller_.let_go(*this);
        try_flush();  // what was pushed meanwhile, too
        if (progress_) progress_->set();
    }
    if (reader_ && (events & (EPOLLIN | broken)) != 0) {
        const std::optional<outcome> read = cancelled_ ? outcome(cancelled_) : read_some();
        if (read) {
            take_reader()(*read);  // may be the end of this channel
            return true;
        }
        poller_.take_back(in_, out_);
    }
    watch_wanted();
    return (events & EPOLLOUT) != 0;
}

// Of what nobody waits for, the poller would tell again and again.
error_code socket_channel::watch_wanted() noexcept {
    const std::uint32_t in = EPOLLIN, out = EPOLLOUT;
    return poller_.watch(fd_, *this, (reader_ ? in : 0) | (stalled_ ? out : 0));
}

void socket_channel::abandon() noexcept {
    if (reader_) take_reader();
}

// -- the end

void socket_channel::drain(error_code why) {
    if (draining_) return;
    draining_ = why;
    if (reader_ && !cancelled_) tell_reader_later(read_some().value_or(outcome(draining_)));
}

void socket_channel::cancel(error_code why) {
    if (cancelled_) return;
    cancelled_ = why;
    stalled_ = false;
    if (reader_) tell_reader_later(why);
    poller_.let_go(*this);
    if (progress_) progress_->set();
}

task<> socket_channel::linger(duration patience) {
    if (cancelled_ || ended_) co_return;
    ::shutdown(fd_, SHUT_WR);
    draining_.clear();
    deadline(after(net_.now(), patience), errc::closed);
    for (std::size_t discarded = 0; discarded < linger_bytes;) {
        discarded += in_.size();
        in_.consume(in_.size());
        const error_code ec = co_await fill();
        if (ec) break;
    }
}

address socket_channel::peer() const {
    if (peer_.port() == 0) return address("unix:(peer)");
    return address(peer_.address().to_string(), peer_.port());
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
        // Asio's epoll takes each descriptor once.
        const int fd = ICE_POLLS_IN_ASIO ? ::fcntl(fd_, F_DUPFD_CLOEXEC, 0) : fd_;
        if (fd < 0) throw std::system_error(system_error(errno));
        native_ = std::make_unique<socket>(net_.executor(),
                                           asio::generic::stream_protocol(family, 0), fd);
    }
    return *native_;
}

}  // namespace ice
