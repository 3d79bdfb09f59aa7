// System calls, and what the kernel would not take or did not have yet.
#include "connection.hpp"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ice::bench {

int connection::open(const endpoint& to, bool resets) {
    const int family = to.storage.ss_family;
    fd_ = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd_ < 0) return errno;
    if (family != AF_UNIX) {
        const int on = 1;
        ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        const linger reset{1, 0};
        if (resets) ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT;
    e.data.ptr = this;
    watches_writable_ = true;
    if (::epoll_ctl(poller_, EPOLL_CTL_ADD, fd_, &e) != 0) return errno;
    is = state::connecting;
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to.storage), to.size) == 0) return 0;
    return errno == EINPROGRESS ? 0 : errno;
}

int connection::result() const {
    int error = 0;
    socklen_t size = sizeof error;
    return ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : errno;
}

void connection::close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
    is = state::closed;
    talk.reset();
    asked.clear();
    out_.clear();
    out_done_ = 0;
    input_ = {};
    rest_.consume(rest_.size());
}

connection::moved connection::send(std::string_view bytes) {
    moved m;
    const auto some = [&](std::string_view part) {
        const ssize_t n = ::send(fd_, part.data(), part.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n < 0) m.error = errno;
        else m.bytes += static_cast<std::size_t>(n);
        return n < 0 ? 0 : static_cast<std::size_t>(n);
    };
    if (out_.empty() && !bytes.empty()) bytes.remove_prefix(some(bytes));  // seldom a rest
    if (!bytes.empty()) out_.append(bytes);
    while (out_done_ < out_.size() && (m.error == 0 || m.error == EINTR)) {
        m.error = 0;
        out_done_ += some(std::string_view(out_).substr(out_done_));
    }
    if (out_done_ == out_.size()) {
        out_.clear();
        out_done_ = 0;
    }
    if (m.error == EAGAIN) m.error = 0;
    watch(!out_.empty());
    return m;
}

connection::moved connection::receive(char* space, std::size_t size) {
    const bool behind = rest_.size() != 0;
    if (behind) {
        const auto room = rest_.prepare(64 * 1024);  // large replies come in few pieces
        space = room.data;
        size = room.size;
    }
    input_ = {};
    const ssize_t n = ::recv(fd_, space, size, MSG_DONTWAIT);
    if (n < 0) return {0, errno == EAGAIN || errno == EINTR ? 0 : errno};
    if (n == 0) return {0, ended};
    const auto got = static_cast<std::size_t>(n);
    if (behind) rest_.commit(got);
    input_ = behind ? rest_.data() : std::string_view(space, got);
    return {got, 0};
}

void connection::consume(std::size_t size) {
    if (rest_.size() != 0) rest_.consume(size);
    else if (size != input_.size()) rest_.append(input_.substr(size));
    input_ = {};
}

void connection::watch(bool writable) {
    if (watches_writable_ == writable) return;
    watches_writable_ = writable;
    epoll_event e{};
    e.events = writable ? EPOLLIN | EPOLLOUT : EPOLLIN;
    e.data.ptr = this;
    ::epoll_ctl(poller_, EPOLL_CTL_MOD, fd_, &e);
}

}  // namespace ice::bench
