// The yardstick for ice-bench: load of lines in a closed loop, by hand on epoll, one thread. No two
// lines are alike, and every reply is compared; there are no latencies and no second tries.
// epoll_generator 127.0.0.1:PORT [-c CONNECTIONS] [-P IN_FLIGHT_ON_EACH] [-d SECONDS]: prints JSON
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t LINE = 32;    // bytes, with CR LF
constexpr std::size_t DEPTH = 512;  // the most: what is in flight fits into a socket's buffers
constexpr std::size_t DIGITS = 11;  // 66 bits
constexpr int EVENTS = 1024;        // of one epoll_wait
constexpr int TIMEOUT = 3000;       // ms; for a server on a busy machine

struct connection {
    int fd;
    std::size_t at = 0;   // the byte of `lines` that is to come back next
    std::size_t end = 0;  // of what is in flight; before `at` it has come back
    std::vector<char> lines;
};

char input[64 * 1024];
std::uint64_t lines_sent = 0;
std::uint64_t replies = 0;

[[noreturn]] void die(const char* what) {
    std::perror(what);
    ::_exit(1);
}

[[noreturn]] void fail(const char* why) {
    std::fprintf(stderr, "%s\n", why);
    ::_exit(1);
}

void write_line(char* to) {
    constexpr char alphabet[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz+-";
    auto n = lines_sent++;
    for (auto i = DIGITS; i-- > 0; n >>= 6) to[i] = alphabet[n & 63];
    std::memcpy(to + DIGITS, "abcdefghijklmnopqrs\r\n", LINE - DIGITS);
}

void ask(connection& c, std::size_t count) {
    const auto size = count * LINE;
    if (c.at == c.end) c.at = c.end = 0;
    if (c.end + size > c.lines.size()) {
        const auto from = c.at / LINE * LINE;
        std::memmove(c.lines.data(), &c.lines[from], c.end - from);
        c.at -= from;
        c.end -= from;
    }
    char* const first = &c.lines[c.end];
    for (std::size_t i = 0; i < size; i += LINE) write_line(first + i);
    c.end += size;
    // The socket blocks, but what may be in flight always has room.
    if (::send(c.fd, first, size, MSG_NOSIGNAL) != static_cast<ssize_t>(size)) die("send");
}

void readable(connection& c) {
    const auto got = ::recv(c.fd, input, sizeof input, 0);
    if (got <= 0) die("recv");
    const auto size = static_cast<std::size_t>(got);
    if (size > c.end - c.at || std::memcmp(input, &c.lines[c.at], size) != 0) {
        fail("a wrong reply");
    }
    const auto whole = (c.at + size) / LINE - c.at / LINE;
    c.at += size;
    replies += whole;
    if (whole != 0) ask(c, whole);
}

void connect(connection& c, int poller, const sockaddr_in& to) {
    const int on = 1;
    c.fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c.fd < 0 || ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        ::connect(c.fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
        die("connect");
    epoll_event event{EPOLLIN, {&c}};
    if (::epoll_ctl(poller, EPOLL_CTL_ADD, c.fd, &event) != 0) die("epoll_ctl");
}

double cpu_seconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

}  // namespace

int main(int argc, char** argv) {
    std::size_t connections = 50, depth = 1;
    double length = 10;
    for (int i = 2; i + 1 < argc; i += 2) {
        const std::string_view option = argv[i];
        if (option == "-c") connections = std::strtoul(argv[i + 1], nullptr, 10);
        else if (option == "-P") depth = std::strtoul(argv[i + 1], nullptr, 10);
        else if (option == "-d") length = std::strtod(argv[i + 1], nullptr);
        else argc = 0;
    }
    const std::string_view address = argc % 2 == 0 && argc != 0 ? argv[1] : "";
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(static_cast<std::uint16_t>(
        std::strtoul(address.substr(address.find(':') + 1).data(), nullptr, 10)));
    if (connections == 0 || depth == 0 || depth > DEPTH || to.sin_port == 0) {
        std::fputs("epoll_generator 127.0.0.1:PORT [-c N] [-P 1..512] [-d SECONDS]\n", stderr);
        return 2;
    }

    using clock = std::chrono::steady_clock;
    const int poller = ::epoll_create1(EPOLL_CLOEXEC);
    std::vector<connection> all(connections, connection{-1, 0, 0, {}});
    for (auto& c : all) {
        c.lines.resize(2 * depth * LINE);
        connect(c, poller, to);
    }
    const double cpu = cpu_seconds();
    const auto begin = clock::now();
    const auto end =
        begin + std::chrono::duration_cast<clock::duration>(std::chrono::duration<double>(length));
    auto now = begin;
    for (auto& c : all) ask(c, depth);
    static epoll_event events[EVENTS];
    for (; now < end; now = clock::now()) {
        const int count = ::epoll_wait(poller, events, EVENTS, TIMEOUT);
        if (count < 0) die("epoll_wait");
        if (count == 0) fail("nothing came for three seconds");
        for (int i = 0; i < count; ++i) readable(*static_cast<connection*>(events[i].data.ptr));
    }
    std::printf("{\"replies\": %llu, \"seconds\": %.6f, \"cpu_seconds\": %.6f}\n",
                static_cast<unsigned long long>(replies),
                std::chrono::duration<double>(now - begin).count(), cpu_seconds() - cpu);
    if (std::fflush(stdout) != 0) die("stdout");
}
