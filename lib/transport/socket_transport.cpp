// The transport of real sockets: only this file opens them, and only it reads the clock. It calls
// accept4(2) and socket(2) itself, as they set close-on-exec and non-blocking in the same call,
// which Asio does not.
#include <fmt/format.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <asio/error.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <charconv>
#include <cstring>
#include <ice/detail/server_context.hpp>
#include <ice/event.hpp>
#include <stdexcept>
#include <utility>

#include "../core/as_values.hpp"
#include "socket_channel.hpp"
#include "socket_transport.hpp"
#include "unix_file.hpp"

namespace ice {
namespace {

using asio::ip::tcp;
using side = socket_transport::side;
using any_endpoint = asio::generic::stream_protocol::endpoint;

// Deadlines that are nearer to each other than this fire together: fewer timers, and no timeout
// needs to be more exact.
constexpr auto coarseness = std::chrono::milliseconds(1);

error_code last_error() noexcept { return {errno, asio::error::get_system_category()}; }

// Errors of name resolution begin with "cannot connect", which a listener does not do.
std::string without_prefix(std::string text) {
    constexpr std::string_view prefix = "cannot connect: ";
    if (text.starts_with(prefix)) text.erase(0, prefix.size());
    return text;
}

unique_fd open_socket(int family) noexcept {
    return unique_fd(::socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

void switch_on(int fd, int level, int option) noexcept {
    // Errors are ignored: a connection works without the option.
    const int on = 1;
    ::setsockopt(fd, level, option, &on, sizeof on);
}

// Answers are written whole, so Nagle's algorithm would only delay them. An urgent byte stays in
// the stream (RFC 6093 section 6): telnet needs it there. Connections that are accepted inherit all
// options from the listening socket (Linux).
void prepare_tcp(int fd) noexcept {
    switch_on(fd, IPPROTO_TCP, TCP_NODELAY);
    switch_on(fd, SOL_SOCKET, SO_KEEPALIVE);
    switch_on(fd, SOL_SOCKET, SO_OOBINLINE);
}

any_endpoint unix_endpoint(const std::string& path) {
    sockaddr_un where{};
    where.sun_family = AF_UNIX;
    path.copy(where.sun_path, sizeof where.sun_path - 1);
    // The length includes the NUL behind the path (unix(7)).
    return {&where, static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1)};
}

tcp::endpoint to_tcp(const sockaddr_storage& from, socklen_t size) {
    tcp::endpoint to;
    if (from.ss_family != AF_INET && from.ss_family != AF_INET6) return {};
    std::copy_n(reinterpret_cast<const char*>(&from), size, reinterpret_cast<char*>(to.data()));
    return to;
}

// Turns a numeric address into an endpoint. An error if its zone is no interface of this host.
result<any_endpoint> to_endpoint(const address& a) {
    const std::size_t percent = a.host().find('%');
    error_code ec;
    auto ip = asio::ip::make_address(a.host().substr(0, percent), ec);
    if (ec) return ec;
    if (percent == std::string::npos) return any_endpoint(tcp::endpoint(ip, a.port()));
    const std::string zone = a.host().substr(percent + 1);
    // The name comes first, as an interface may have digits for a name.
    unsigned index = ::if_nametoindex(zone.c_str());
    if (index == 0) {  // a number
        const char* const end = zone.data() + zone.size();
        char name[IF_NAMESIZE];
        if (std::from_chars(zone.data(), end, index).ptr != end || !::if_indextoname(index, name))
            index = 0;
    }
    if (index == 0) return error_code(ENODEV, asio::error::get_system_category());
    auto v6 = ip.to_v6();
    v6.scope_id(index);
    return any_endpoint(tcp::endpoint(v6, a.port()));
}

class socket_acceptor final : public acceptor {
public:
    socket_acceptor(socket_transport& net, unique_fd fd, address local)
        : net_(net), listening_(net.executor(), fd.release()), local_(std::move(local)) {}
    ~socket_acceptor() override { close(); }

    task<io_status> ready() override {
        const auto r =
            co_await listening_.async_wait(asio::posix::stream_descriptor::wait_read, as_values);
        co_return io_status(std::get<0>(r));
    }

    result<std::unique_ptr<channel>> accept() override {
        sockaddr_storage from{};
        socklen_t size = sizeof from;
        unique_fd fd(::accept4(listening_.native_handle(), reinterpret_cast<sockaddr*>(&from),
                               &size, SOCK_CLOEXEC | SOCK_NONBLOCK));
        if (fd.get() < 0) return last_error();
        std::unique_ptr<channel> made =
            net_.make_channel(fd.get(), to_tcp(from, size), side::accepted);
        fd.release();  // mutant: accepted
        return made;
    }

    void cancel() override { close(); }
    address local() const override { return local_; }

private:
    void close() {
        if (!listening_.is_open()) return;
        // Another server may have replaced the file by rename(2): its file stays.
        // Compares while the socket is open: after that the kernel may reuse its inode.
        const file_id now = local_.is_unix() ? id_of(local_.path()) : file_id();
        if (now.inode != 0 && now == file_) ::unlink(local_.path().c_str());
        error_code ignored;
        listening_.close(ignored);
    }

    socket_transport& net_;
    asio::posix::stream_descriptor listening_;
    address local_;
    file_id file_ = local_.is_unix() ? id_of(local_.path()) : file_id();
};

// If no server listens on a port of the ephemeral range, the kernel may give that very port to the
// socket that connects to it. The socket then connects to itself (simultaneous open, RFC 9293,
// 3.5). This sets it to close with a reset: otherwise the port would stay in TIME_WAIT, and the
// real upstream could not start.
bool is_connected_to_itself(int fd) noexcept {
    sockaddr_storage own{}, peer{};
    socklen_t own_size = sizeof own, peer_size = sizeof peer;
    if (::getsockname(fd, reinterpret_cast<sockaddr*>(&own), &own_size) != 0 ||
        ::getpeername(fd, reinterpret_cast<sockaddr*>(&peer), &peer_size) != 0)
        return false;
    if (own.ss_family == AF_UNIX || own_size != peer_size ||
        std::memcmp(&own, &peer, own_size) != 0)
        return false;
    const linger reset{1, 0};
    ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return true;
}

// Asio's operation shares the state, as it may complete after the attempt was destroyed.
class socket_attempt final : public connect_attempt {
public:
    socket_attempt(socket_transport& net, poller& p, socket_channel::socket s, any_endpoint to)
        : state_(
              std::make_shared<state>(state{net, p, std::move(s), std::move(to), {}, p.forks()})) {}
    ~socket_attempt() override {
        // Closing ends async_connect(), whose handler must find no callback.
        state_->done = {};
        error_code ignored;
        state_->socket.close(ignored);
    }

    void begin(callback done) {
        state_->done = std::move(done);
        state_->socket.async_connect(state_->to, [s = state_](error_code ec) {
            if (!s->done) return;
            result<std::unique_ptr<channel>> made = connect_error(ec);
            try {
                made = s->connected(ec);
            } catch (const std::bad_alloc&) {
                made = connect_error(asio::error::make_error_code(asio::error::no_memory));
            }
            s->done(std::move(made));
        });
    }

private:
    struct state {
        result<std::unique_ptr<channel>> connected(error_code ec) {
            if (!ec && forks != polls.forks()) ec = asio::error::connection_aborted;
            if (ec) {
                error_code ignored;
                socket.close(ignored);
                return connect_error(ec);
            }
            if (is_connected_to_itself(socket.native_handle())) {
                socket.close(ec);
                return connect_error({ECONNREFUSED, asio::error::get_system_category()});
            }
            tcp::endpoint peer;
            if (to.data()->sa_family != AF_UNIX)
                std::copy_n(reinterpret_cast<const char*>(to.data()), to.size(),
                            reinterpret_cast<char*>(peer.data()));
            unique_fd fd(socket.release(ec));
            if (ec) return connect_error(ec);
            std::unique_ptr<channel> made = net.make_channel(fd.get(), peer, side::connected);
            fd.release();  // mutant: connected
            return made;
        }

        socket_transport& net;
        poller& polls;
        socket_channel::socket socket;
        any_endpoint to;
        callback done;
        unsigned forks;  // if poller::forks() differs later, the parent owns the connection
    };
    std::shared_ptr<state> state_;
};

// Whether the file is a socket on which no server listens. Never true for another kind of file.
bool is_left_behind(const std::string& path, const any_endpoint& at) {
    struct stat file {};
    if (::lstat(path.c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return false;
    const unique_fd probe = open_socket(AF_UNIX);
    // A server with a full backlog gives EAGAIN, so only ECONNREFUSED proves that none listens.
    return ::connect(probe.get(), at.data(), static_cast<socklen_t>(at.size())) != 0 &&
           errno == ECONNREFUSED;
}

address bound_to(int fd) {
    sockaddr_storage at{};
    socklen_t size = sizeof at;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
    return address::of(reinterpret_cast<const sockaddr&>(at));
}

}  // namespace

socket_transport::socket_transport(const asio::any_io_executor& executor)
    : transport(executor), poller_(poller::of(executor)), timer_(executor),
      chance_(std::random_device()()) {}

std::unique_ptr<acceptor> socket_transport::listen(const address& where,
                                                   std::optional<unsigned> socket_mode) {
    const auto fail = [&](std::string_view why) {
        throw std::runtime_error(fmt::format("cannot listen on {}: {}", where, why));
    };
    const bool has_mode = where.is_unix() && socket_mode.has_value();
    if (has_mode && *socket_mode > 0777) fail("limits::socket_mode has bits beyond 0777");
    any_endpoint at;
    if (where.is_unix()) {
        at = unix_endpoint(where.path());
    } else {
        auto found = resolve_blocking(where);
        if (!found) fail(without_prefix(found.error().message()));
        const auto v4 = std::ranges::find_if(
            *found, [](const address& a) { return a.host().find(':') == std::string::npos; });
        const auto first = to_endpoint(v4 != found->end() ? *v4 : found->front());
        if (!first) fail(without_prefix(first.error().message()));
        at = *first;
    }
    // Held until listen(2): before that the file looks like one of a dead server to others.
    const unique_fd alone = where.is_unix() ? locked_directory(where.path()) : unique_fd(-1);
    unique_fd fd = open_socket(at.data()->sa_family);
    if (fd.get() < 0) fail(last_error().message());
    if (!where.is_unix()) {
        // Otherwise connections of an earlier server in TIME_WAIT keep a new one from the port.
        switch_on(fd.get(), SOL_SOCKET, SO_REUSEADDR);
        prepare_tcp(fd.get());
        // "[::]" accepts IPv4 too, whatever net.ipv6.bindv6only says.
        if (at.data()->sa_family == AF_INET6) {
            const int off = 0;
            ::setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
        }
    } else if (is_left_behind(where.path(), at)) {
        ::unlink(where.path().c_str());  // the file of a server that was killed
    }
    // The file never allows more than `socket_mode`: Linux makes it with the mode of the socket
    // less the umask, and no peer can connect before listen(2).
    if ((has_mode && ::fchmod(fd.get(), *socket_mode) != 0) ||
        ::bind(fd.get(), at.data(), static_cast<socklen_t>(at.size())) != 0 ||
        (has_mode &&
         ::fchmodat(AT_FDCWD, where.path().c_str(), *socket_mode, AT_SYMLINK_NOFOLLOW) != 0) ||
        ::listen(fd.get(), SOMAXCONN) != 0)
        fail(last_error().message());
    address local = where.is_unix() ? where : bound_to(fd.get());
    return std::make_unique<socket_acceptor>(*this, std::move(fd), std::move(local));
}

// Waits for the lookup until the deadline; the lookup itself may go on.
task<result<std::vector<address>>> socket_transport::resolve(address a, time_point until) {
    if (auto known = resolve_locally(a)) co_return *std::move(known);
    resolver::query asked(resolver_, a);
    deadline late(
        deadlines(), [](void* q) { static_cast<resolver::query*>(q)->done.set(); }, &asked);
    late.set(until);
    const error_code cancelled = co_await asked.done.wait();
    if (cancelled) co_return connect_error(cancelled);
    co_return asked.answer();
}

result<std::unique_ptr<connect_attempt>> socket_transport::begin_connect(
    const address& to, connect_attempt::callback done) {
    const result<any_endpoint> found =
        to.is_unix() ? result(unix_endpoint(to.path())) : to_endpoint(to);
    if (!found) return connect_error(found.error());
    const any_endpoint& at = *found;
    unique_fd fd = open_socket(at.data()->sa_family);
    if (fd.get() < 0) return connect_error(last_error());
    if (!to.is_unix()) prepare_tcp(fd.get());
    error_code ec;
    socket_channel::socket s(executor());
    s.assign(at.protocol(), fd.get(), ec);
    if (ec) return connect_error(ec);
    fd.release();
    auto begun = std::make_unique<socket_attempt>(*this, poller_, std::move(s), at);
    begun->begin(std::move(done));
    return std::unique_ptr<connect_attempt>(std::move(begun));
}

std::unique_ptr<channel> socket_transport::make_channel(int fd, const tcp::endpoint& peer, side) {
    return std::make_unique<socket_channel>(*this, poller_, fd, peer);
}

time_point socket_transport::now() const { return std::chrono::steady_clock::now(); }

task<> socket_transport::sleep(duration span) {
    asio::steady_timer timer(executor(), after(now(), span));
    co_await timer.async_wait(asio::use_awaitable);
}

std::size_t socket_transport::descriptors() const {
    rlimit r{};
    return ::getrlimit(RLIMIT_NOFILE, &r) == 0 ? static_cast<std::size_t>(r.rlim_cur) : 1024;
}

descriptor_budget& socket_transport::budget() noexcept {
    static descriptor_budget of_process;
    return of_process;
}

void socket_transport::release() {
    deadlines().forget_cleared();
    if (!timer_) return;
    released_ = true;
    if (deadlines().next() == never) timer_->cancel();
    else wake_at(deadlines().next());
}

void socket_transport::wake_at(time_point at) {
    if (!timer_) return;
    if (at == never) {  // a timer that fires for nothing costs less than cancelling each one
        if (released_) timer_->cancel();
        return;
    }
    // This cancels the wait before, whose handler gets an error. A handler holds no transport:
    // one that is gone for its server must not live until its timer fires.
    timer_->expires_at(std::max(at, now() + coarseness));
    timer_->async_wait([weak = weak_from_this()](error_code ec) {
        const auto self = weak.lock();
        if (ec || !self) return;
        auto& me = static_cast<socket_transport&>(*self);
        try {
            me.deadlines().expire(me.now());
        } catch (const std::bad_alloc&) {  // one callback failed; the others must still fire
        } catch (...) {                    // an exception of the user's, as of any handler
            me.wake_for_next();
            throw;
        }
        me.wake_for_next();
    });
}

void socket_transport::wake_for_next() {
    if (deadlines().next() != never) wake_at(deadlines().next());
}

std::shared_ptr<transport> make_socket_transport(asio::any_io_executor executor) {
    return std::make_shared<socket_transport>(executor);
}

}  // namespace ice
