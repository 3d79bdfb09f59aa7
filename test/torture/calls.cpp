// The wrapped system calls. Each calls the kernel, except where the dice decide otherwise.
#include "calls.hpp"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <vector>

namespace torture {

std::chrono::steady_clock::time_point now() noexcept { return std::chrono::steady_clock::now(); }

namespace {

constexpr int descriptors = 1024;  // of which anything is known: more than a world has
// How many rounds in a row found an event and did nothing.
constexpr int idle_rounds = 200;
constexpr int rounds_of_a_timer = 8;
constexpr int reads_of_an_end = 10;  // of one connection: the first says all
constexpr auto longest_world = 15s;  // hundreds of times as long as usual

}  // namespace

struct meddler::state {
    world& w;
    meddling how;
    outsiders& others;
    std::chrono::steady_clock::time_point begin = now();
    bool acting = false;  // an outsider is: its calls are its own
    int idle = idle_rounds;
    std::vector<std::pair<pid_t, int>> children{};

    // Of each descriptor that ice has opened.
    enum class kind : std::uint8_t { none, socket, epoll };
    std::array<kind, descriptors> kinds{};
    std::array<bool, descriptors> is_inner{};   // an epoll within another: ice's own
    std::array<int, descriptors> watched_by{};  // by which of those it is watched; 0: none
    std::array<int, descriptors> ends{};        // how often recv() has said that nothing follows

    bool hits(double p) { return w.outside.hit(p); }
    void others_act() {
        if (!hits(how.acts)) return;
        acting = true;
        others.one_acts();
        acting = false;
    }
    bool all_act() {
        acting = true;
        const bool did = others.all_act();
        acting = false;
        return did;
    }
    void opened(int fd, kind k) {
        if (fd < 0 || fd >= descriptors) return;
        const auto at = static_cast<std::size_t>(fd);
        kinds[at] = k;
        is_inner[at] = false;
        watched_by[at] = 0;
        ends[at] = 0;
    }
    void did_something() { idle = idle_rounds; }
    void round(int events) {
        if (events > 0 && --idle < 0) fail("the loop turns for nothing");
        check(now() - begin < longest_world, "the world does not end");
    }
};

namespace {

meddler::state* running = nullptr;

meddler::state* meddled() { return running && !running->acting ? running : nullptr; }

// Notes after a call must not change its errno.
struct keeps_errno {
    int value = errno;
    ~keeps_errno() { errno = value; }
};

}  // namespace

meddler::meddler(world& w, const meddling& how, outsiders& others) {
    running = new state{w, how, others};
}

meddler::~meddler() {
    end_children();
    delete std::exchange(running, nullptr);
}

void meddler::let_act() { running->all_act(); }

bool meddler::fork(bool goes_on) {
    state& s = *running;
    int ends[2];
    if (::pipe(ends) != 0) return false;
    const pid_t child = ::fork();
    s.acting = true;
    if (child == 0) {
        ::close(ends[1]);
        s.others.leave_to_parent();
        if (goes_on) return true;
        char byte = 0;
        static_cast<void>(!::read(ends[0], &byte, 1));
        ::_exit(0);
    }
    ::close(ends[0]);
    s.acting = false;
    if (child > 0) s.children.emplace_back(child, ends[1]);
    else ::close(ends[1]);
    return false;
}

void meddler::end_children() {
    running->acting = true;
    for (const auto& [child, end] : running->children) ::close(end);
    for (const auto& [child, end] : running->children) {
        int how = 0;
        check(::waitpid(child, &how, 0) == child && how == 0, "a forked child has failed");
    }
}

}  // namespace torture

// -- the calls, by the linker's names

extern "C" {

using torture::check;
using torture::keeps_errno;
using torture::meddled;
using torture::note;
using state = torture::meddler::state;

// NOLINTBEGIN(bugprone-reserved-identifier)
ssize_t __real_recv(int, void*, std::size_t, int);
ssize_t __real_send(int, const void*, std::size_t, int);
int __real_accept4(int, sockaddr*, socklen_t*, int);
int __real_connect(int, const sockaddr*, socklen_t);
int __real_socket(int, int, int);
int __real_listen(int, int);
int __real_shutdown(int, int);
int __real_close(int);
int __real_epoll_create1(int);
int __real_epoll_ctl(int, int, int, epoll_event*);
int __real_epoll_wait(int, epoll_event*, int, int);
int __real_timerfd_settime(int, int, const itimerspec*, itimerspec*);

ssize_t __wrap_recv(int fd, void* to, std::size_t size, int flags) {
    state* const s = meddled();
    if (s == nullptr) return __real_recv(fd, to, size, flags);
    s->others_act();
    if (size > 1 && s->hits(s->how.short_recv)) {
        size = s->w.outside.between(1, std::min<std::size_t>(size - 1, 64));
        s->w.saw("kernel: short recv");
    }
    const ssize_t n = __real_recv(fd, to, size, flags);
    const keeps_errno kept;
    note((flags & MSG_PEEK) != 0 ? "peek" : "recv", fd, n < 0 ? -errno : n);
    check(n >= 0 || errno != EBADF, "recv() on a closed descriptor");
    if (n > 0 && (flags & MSG_PEEK) == 0) s->did_something();
    const bool is_end = n == 0 || (n < 0 && kept.value != EAGAIN);
    if (is_end && (flags & MSG_PEEK) == 0 && fd < torture::descriptors)
        check(++s->ends[static_cast<std::size_t>(fd)] < torture::reads_of_an_end,
              "the end of a connection is read again and again");
    return n;
}

ssize_t __wrap_send(int fd, const void* from, std::size_t size, int flags) {
    state* const s = meddled();
    if (s == nullptr) return __real_send(fd, from, size, flags);
    s->others_act();
    if (s->hits(s->how.stalls)) {
        s->w.saw("kernel: send stalls");
        note("send stalls", fd);
        errno = EAGAIN;
        return -1;
    }
    if (size > 1 && s->hits(s->how.short_send)) {
        size = s->w.outside.between(1, size - 1);
        s->w.saw("kernel: short send");
    }
    const ssize_t n = __real_send(fd, from, size, flags);
    const keeps_errno kept;
    note("send", fd, n < 0 ? -errno : n);
    check(n >= 0 || errno != EBADF, "send() on a closed descriptor");
    if (n > 0) s->did_something();
    if (n < 0 && errno == EAGAIN) s->w.saw("kernel: send buffer full");
    return n;
}

int __wrap_accept4(int fd, sockaddr* from, socklen_t* size, int flags) {
    state* const s = meddled();
    if (s == nullptr) return __real_accept4(fd, from, size, flags);
    s->others_act();
    for (const auto& [p, error, what] :
         {std::tuple(s->how.aborts, ECONNABORTED, "kernel: accept aborted"),
          std::tuple(s->how.no_descriptors, EMFILE, "kernel: no descriptors")}) {
        if (!s->hits(p)) continue;
        s->w.saw(what);
        errno = error;
        return -1;
    }
    const int made = __real_accept4(fd, from, size, flags);
    const keeps_errno kept;
    note("accept", fd, made < 0 ? -errno : made);
    if (made < 0) return made;
    s->did_something();
    s->opened(made, state::kind::socket);
    s->w.saw("connections accepted");
    if (from->sa_family == AF_INET && s->hits(s->how.stranger)) {
        auto* const ip = reinterpret_cast<sockaddr_in*>(from);
        ip->sin_addr.s_addr =
            htonl(0x0a000001U + static_cast<std::uint32_t>(s->w.outside.below(2)));
    }
    return made;
}

int __wrap_socket(int family, int type, int protocol) {
    const int fd = __real_socket(family, type, protocol);
    if (state* const s = meddled()) {
        s->opened(fd, state::kind::socket);
        // Accepted sockets inherit these from the listening socket.
        const auto set = [&](int option, int bytes) {
            if (bytes != 0) ::setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes);
        };
        set(SO_SNDBUF, s->how.send_buffer);
        set(SO_RCVBUF, s->how.receive_buffer);
    }
    return fd;
}

int __wrap_connect(int fd, const sockaddr* to, socklen_t size) {
    state* const s = meddled();
    if (s == nullptr) return __real_connect(fd, to, size);
    s->others_act();
    s->did_something();
    const int made = __real_connect(fd, to, size);
    const keeps_errno kept;
    note("connect", fd, made < 0 ? -errno : 0);
    return made;
}

int __wrap_shutdown(int fd, int how) {
    state* const s = meddled();
    if (s == nullptr) return __real_shutdown(fd, how);
    s->others_act();
    s->did_something();
    note("shutdown", fd, how);
    return __real_shutdown(fd, how);
}

int __wrap_close(int fd) {
    state* const s = meddled();
    if (s == nullptr) return __real_close(fd);
    s->others_act();
    note("close", fd);
    if (fd >= 0 && fd < torture::descriptors) {
        const auto at = static_cast<std::size_t>(fd);
        check(s->watched_by[at] == 0, "a descriptor was closed that the poller still watches");
        if (s->is_inner[at]) std::replace(s->watched_by.begin(), s->watched_by.end(), fd, 0);
        s->opened(fd, state::kind::none);
    }
    s->did_something();
    const int failed = __real_close(fd);
    check(failed == 0, "a descriptor was closed twice");
    return failed;
}

int __wrap_epoll_create1(int flags) {
    const int fd = __real_epoll_create1(flags);
    if (state* const s = meddled()) s->opened(fd, state::kind::epoll);
    return fd;
}

int __wrap_epoll_ctl(int epoll, int how, int fd, epoll_event* e) {
    state* const s = meddled();
    if (s == nullptr) return __real_epoll_ctl(epoll, how, fd, e);
    s->others_act();
    const int failed = __real_epoll_ctl(epoll, how, fd, e);
    const keeps_errno kept;
    note("epoll_ctl", fd, failed ? -errno : how);
    if (fd < 0 || fd >= torture::descriptors || epoll >= torture::descriptors) return failed;
    const auto at = static_cast<std::size_t>(fd);
    if (s->kinds[at] == state::kind::epoll && how == EPOLL_CTL_ADD) s->is_inner[at] = true;
    if (!s->is_inner[static_cast<std::size_t>(epoll)]) return failed;
    check(failed == 0, "the poller watches what is not there");
    s->watched_by[at] = how == EPOLL_CTL_DEL ? 0 : epoll;
    return failed;
}

int __wrap_epoll_wait(int epoll, epoll_event* events, int most, int timeout) {
    state* const s = meddled();
    if (s == nullptr) return __real_epoll_wait(epoll, events, most, timeout);
    const auto until = torture::now() + std::chrono::milliseconds(timeout);
    for (;;) {
        const bool goes_on = s->all_act();
        const bool last = timeout == 0 || (timeout > 0 && torture::now() >= until);
        const int n = __real_epoll_wait(epoll, events, most, last || goes_on ? 0 : 1);
        s->round(n);
        if (n == 0 && !last) continue;
        note("epoll_wait", epoll, n);
        return n;
    }
}

int __wrap_timerfd_settime(int fd, int flags, const itimerspec* to, itimerspec* before) {
    if (state* const s = meddled())
        s->idle = std::min(s->idle + torture::rounds_of_a_timer, torture::idle_rounds);
    return __real_timerfd_settime(fd, flags, to, before);
}
// NOLINTEND(bugprone-reserved-identifier)

}  // extern "C"
