// What both yardsticks on epoll share: one thread, level-triggered, written by hand. A yardstick
// adds what it does with a connection that can be read. A burst costs three system calls:
// epoll_wait, recv, send.
#pragma once
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

namespace raw {

constexpr int ACCEPTS = 64;   // in one wake-up, so that a flood of connects cannot starve the rest
constexpr int EVENTS = 1024;  // of one epoll_wait

inline char input[64 * 1024];  // one for all: a connection at rest holds no buffer
inline int poller = -1;

struct connection {
    int fd;
    std::string rest;    // the start of a message whose end has not come
    std::string unsent;  // while there is any, nothing more is read: that is the back-pressure
};

[[noreturn]] inline void die(const char* what) {
    std::perror(what);
    std::exit(1);
}

inline void watch(int operation, int fd, std::uint32_t events, connection* peer) {
    epoll_event event{events, {peer}};
    if (::epoll_ctl(poller, operation, fd, &event) != 0) die("epoll_ctl");
}

// What a yardstick adds: before the first connection is accepted, and before one is closed.
inline std::function<void()> ready;
inline void (*closing)(connection*) = nullptr;

inline void close(connection* peer) {
    if (closing) closing(peer);
    ::close(peer->fd);  // this also takes it out of the poller
    delete peer;
}

// How much of it the kernel took, or -1 if the peer has gone.
inline ssize_t send_some(const connection& peer, const char* data, std::size_t size) {
    auto sent = ::send(peer.fd, data, size, MSG_NOSIGNAL);
    return sent < 0 && errno == EAGAIN ? 0 : sent;
}

// False if the peer has gone. What the kernel does not take is kept until it does.
inline bool send(connection* peer, const char* data, std::size_t size) {
    auto sent = send_some(*peer, data, size);
    if (sent < 0) return false;
    auto done = static_cast<std::size_t>(sent);
    if (done == size) return true;
    peer->unsent.assign(data + done, size - done);
    watch(EPOLL_CTL_MOD, peer->fd, EPOLLOUT, peer);
    return true;
}

inline bool writable(connection* peer) {
    auto sent = send_some(*peer, peer->unsent.data(), peer->unsent.size());
    if (sent < 0) return false;
    peer->unsent.erase(0, static_cast<std::size_t>(sent));
    if (!peer->unsent.empty()) return true;
    peer->unsent = std::string();  // gives its memory back
    watch(EPOLL_CTL_MOD, peer->fd, EPOLLIN, peer);
    return true;
}

inline void accept_some(int listener) {
    for (int i = 0; i < ACCEPTS; ++i) {
        auto fd = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) watch(EPOLL_CTL_ADD, fd, EPOLLIN, new connection{fd, {}, {}});
        else if (errno == EAGAIN) return;
        else if (errno != ECONNABORTED) die("accept4");
    }
}

inline int listen_on(std::uint16_t port) {
    auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    const int on = 1;
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* address = reinterpret_cast<sockaddr*>(&at);
    // What is accepted inherits TCP_NODELAY (Linux).
    if (fd < 0 || ::setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        ::bind(fd, address, size) != 0 || ::listen(fd, SOMAXCONN) != 0 ||
        ::getsockname(fd, address, &size) != 0)
        die("listen");
    std::printf("listening on 127.0.0.1:%d\n", ntohs(at.sin_port));
    std::fflush(stdout);
    return fd;
}

// Serves until a signal ends the process. `readable(peer)` reads once; false: close the connection.
template <class Readable>
int serve(int argc, char** argv, Readable readable) {
    const auto port = static_cast<std::uint16_t>(argc > 1 ? std::atoi(argv[1]) : 9999);
    for (int number : {SIGINT, SIGTERM}) std::signal(number, [](int) { ::_exit(0); });
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;  // for runs with thousands of idle connections
    ::setrlimit(RLIMIT_NOFILE, &files);

    poller = ::epoll_create1(EPOLL_CLOEXEC);
    if (ready) ready();
    auto listener = listen_on(port);
    watch(EPOLL_CTL_ADD, listener, EPOLLIN, nullptr);
    static epoll_event events[EVENTS];
    for (;;) {
        auto count = ::epoll_wait(poller, events, EVENTS, -1);
        if (count < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < count; ++i) {
            auto* peer = static_cast<connection*>(events[i].data.ptr);
            if (!peer) accept_some(listener);
            else if (!(peer->unsent.empty() ? readable(peer) : writable(peer))) close(peer);
        }
    }
}

}  // namespace raw
