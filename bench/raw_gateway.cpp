// The yardstick for gateways: passes lines to an upstream by four shared connections, and replies
// to the client whose turn it is. Written by hand on epoll; it uses nothing of ice.
//     raw_gateway UPSTREAM_PORT PORT
// What one read brings leaves with one send for each connection that gets some of it.
#include <cstring>
#include <deque>
#include <string_view>
#include <vector>
#include "raw_server.hpp"

namespace {

constexpr int UPSTREAMS = 4;

struct request {
    int fd;                    // of the client
    std::uint32_t generation;  // of that descriptor: a later client is another one
};
struct end {
    std::uint32_t generation = 0;
    raw::connection* peer = nullptr;
    std::string out;  // for the client, gathered until the upstream's burst is read
};

std::vector<end> clients;  // by descriptor
std::deque<request> waiting[UPSTREAMS];
raw::connection* upstreams[UPSTREAMS];

end& client(int fd) {
    if (clients.size() <= static_cast<std::size_t>(fd))
        clients.resize(static_cast<std::size_t>(fd) + 1);
    return clients[static_cast<std::size_t>(fd)];
}

// What waits already goes first.
bool send(raw::connection* to, std::string_view bytes) {
    if (to->unsent.empty()) return raw::send(to, bytes.data(), bytes.size());
    to->unsent.append(bytes);
    return true;
}

bool from_client(raw::connection* peer, std::string_view bytes) {
    const int line = peer->fd % UPSTREAMS;
    end& me = client(peer->fd);
    me.peer = peer;
    const std::size_t whole = bytes.rfind('\n') + 1;  // 0: none
    for (std::size_t at = 0; (at = bytes.find('\n', at)) != bytes.npos; ++at)
        waiting[line].push_back({peer->fd, me.generation});
    if (whole != 0) {
        std::string_view ready = bytes.substr(0, whole);
        if (!peer->rest.empty()) ready = peer->rest.append(ready);
        if (!send(upstreams[line], ready)) raw::die("the upstream");
        peer->rest.clear();
    }
    peer->rest.append(bytes.substr(whole));
    return peer->rest.size() < sizeof raw::input;
}

bool from_upstream(raw::connection* peer, int line, std::string_view bytes) {
    static std::vector<int> touched;
    touched.clear();
    for (std::size_t end_of = 0; (end_of = bytes.find('\n')) != bytes.npos;) {
        if (waiting[line].empty()) raw::die("a reply that answers nothing");
        const request r = waiting[line].front();
        waiting[line].pop_front();
        end& to = client(r.fd);
        if (to.generation == r.generation) {
            if (to.out.empty()) touched.push_back(r.fd);
            to.out.append(peer->rest).append(bytes.substr(0, end_of + 1));
        }
        peer->rest.clear();
        bytes.remove_prefix(end_of + 1);
    }
    peer->rest.append(bytes);
    for (const int fd : touched) {
        end& to = client(fd);
        if (!send(to.peer, to.out)) ::shutdown(fd, SHUT_RDWR);  // epoll reports it
        to.out.clear();
    }
    return true;
}

bool readable(raw::connection* peer) {
    auto size = ::recv(peer->fd, raw::input, sizeof raw::input, 0);
    if (size < 0 && errno == EAGAIN) return true;
    int line = 0;
    while (line < UPSTREAMS && upstreams[line] != peer) ++line;
    if (size <= 0) {
        if (line < UPSTREAMS) raw::die("the upstream has closed");
        return false;
    }
    const std::string_view bytes(raw::input, static_cast<std::size_t>(size));
    return line < UPSTREAMS ? from_upstream(peer, line, bytes) : from_client(peer, bytes);
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) return std::fputs("raw_gateway UPSTREAM_PORT PORT\n", stderr), 2;
    raw::closing = [](raw::connection* peer) { ++client(peer->fd).generation; };
    raw::ready = [argv] {
        sockaddr_in at{};
        at.sin_family = AF_INET;
        at.sin_port = htons(static_cast<std::uint16_t>(std::atoi(argv[1])));
        at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int on = 1;
        for (auto& one : upstreams) {
            auto fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
            if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) != 0 ||
                ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
                ::fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
                raw::die("connect");
            one = new raw::connection{fd, {}, {}};
            raw::watch(EPOLL_CTL_ADD, fd, EPOLLIN, one);
        }
    };
    return raw::serve(argc - 1, argv + 1, readable);
}
