// Raw sockets, and the choice of the peer that acts next.
#include "outsiders.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <set>

#include "arrival.hpp"

namespace torture {
namespace {

void set(int fd, int option, int value) noexcept {
    if (value != 0) ::setsockopt(fd, SOL_SOCKET, option, &value, sizeof value);
}

// Segments of 64 KiB, as on the loopback, would wait for a timer if the window is small.
void send_small_segments(int fd) noexcept {
    const int most = 536;
    ::setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &most, sizeof most);
}

std::uint64_t moved = 0;
std::set<int> open;

bool would_block() noexcept { return errno == EAGAIN || errno == EINTR || errno == ENOTCONN; }

}  // namespace

raw_socket::raw_socket(int fd) noexcept : fd_(fd) {
    if (fd >= 0) open.insert(fd);
}

void raw_socket::close_copies() noexcept {
    for (const int fd : open) ::close(fd);
}

std::uint64_t raw_socket::moves() noexcept { return moved; }

door door_to(const std::string& unix_path) {
    door d;
    auto* const at = reinterpret_cast<sockaddr_un*>(&d.at);
    at->sun_family = AF_UNIX;
    unix_path.copy(at->sun_path, sizeof at->sun_path - 1);
    d.size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + unix_path.size() + 1);
    return d;
}

door door_to(std::uint16_t port) {
    door d;
    auto* const at = reinterpret_cast<sockaddr_in*>(&d.at);
    at->sin_family = AF_INET;
    at->sin_port = htons(port);
    at->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    d.size = sizeof *at;
    return d;
}

std::uint16_t door::port() const noexcept {
    return ntohs(reinterpret_cast<const sockaddr_in*>(&at)->sin_port);
}

raw_socket raw_socket::connect(const door& to, int send_buffer, int receive_buffer) noexcept {
    const int fd = ::socket(to.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    set(fd, SO_SNDBUF, send_buffer);
    set(fd, SO_RCVBUF, receive_buffer);
    send_small_segments(fd);
    raw_socket made(fd);
    if (::connect(fd, reinterpret_cast<const sockaddr*>(&to.at), to.size) != 0 &&
        errno != EINPROGRESS)
        made.close();
    return made;
}

raw_socket raw_socket::listen(const door& at, int backlog) noexcept {
    raw_socket made(::socket(at.at.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    set(made.fd_, SO_REUSEADDR, 1);
    send_small_segments(made.fd_);
    if (::bind(made.fd_, reinterpret_cast<const sockaddr*>(&at.at), at.size) != 0 ||
        ::listen(made.fd_, backlog) != 0)
        made.close();
    return made;
}

raw_socket raw_socket::accept() noexcept {
    raw_socket made(::accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (made.is_open()) ++moved;
    return made;
}

std::uint16_t raw_socket::port() const noexcept {
    sockaddr_in at{};
    socklen_t size = sizeof at;
    ::getsockname(fd_, reinterpret_cast<sockaddr*>(&at), &size);
    return ntohs(at.sin_port);
}

raw_socket::progress raw_socket::connected() noexcept {
    if (fd_ < 0) return progress::ended;
    pollfd p{fd_, POLLOUT, 0};
    if (::poll(&p, 1, 0) != 1) return progress::waiting;
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
    ++moved;
    if (error == 0) return progress::done;
    close();
    return progress::ended;
}

long raw_socket::send(std::string_view bytes) noexcept {
    const long n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    note("  outside sends", fd_, n < 0 ? -errno : n);
    if (n > 0) ++moved;
    if (n >= 0) return n;
    return would_block() ? 0 : -1;
}

void raw_socket::send_urgent(char byte) noexcept {
    note("  outside sends urgently", fd_);
    static_cast<void>(::send(fd_, &byte, 1, MSG_NOSIGNAL | MSG_OOB));
}

raw_socket::progress raw_socket::receive(std::string& to, std::size_t most) noexcept {
    std::array<char, 16 * 1024> bytes;
    const long n = ::recv(fd_, bytes.data(), std::min(most, bytes.size()), 0);
    if (n >= 0 || errno != EAGAIN) note("  outside receives", fd_, n < 0 ? -errno : n);
    if (n > 0) {
        ++moved;
        to.append(bytes.data(), static_cast<std::size_t>(n));
        return progress::done;
    }
    if (n < 0 && would_block()) return progress::waiting;
    return progress::ended;
}

bool raw_socket::all_arrived() const noexcept { return torture::all_arrived(fd_); }

void raw_socket::half_close() noexcept {
    note("  outside half-closes", fd_);
    ::shutdown(fd_, SHUT_WR);
}

void raw_socket::reset() noexcept {
    if (fd_ < 0) return;
    note("  outside resets", fd_);
    const linger hard{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
    open.erase(fd_);
    ::close(std::exchange(fd_, -1));
}

void raw_socket::close() noexcept {
    if (fd_ < 0) return;
    note("  outside closes", fd_);
    open.erase(fd_);
    ::close(std::exchange(fd_, -1));
}

// -- whose turn it is

bool crowd::all_act() noexcept {
    const std::uint64_t before = moved;
    for (auto& o : all_) {
        if (!o->is_gone() && w_.outside.hit(0.5)) o->act();
    }
    return moved != before;
}

void crowd::one_acts() noexcept {
    if (all_.empty()) return;
    auto& o = all_[w_.outside.below(all_.size())];
    if (!o->is_gone()) o->act();
}

bool crowd::polite_gone() const {
    return std::all_of(all_.begin(), all_.end(),
                       [](const auto& o) { return !o->is_polite() || o->is_gone(); });
}

}  // namespace torture
