// The threads that look host names up, which the process shares, and how they wake a loop.
#include "resolver.hpp"

#include <arpa/inet.h>
#include <netdb.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <asio/error.hpp>
#include <csignal>
#include <cstring>
#include <deque>
#include <map>
#include <mutex>

namespace ice {
namespace detail {

// An eventfd(2) by which a thread wakes a loop. The last owner closes it.
struct bell {
    bell() : fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
        if (fd < 0) throw std::system_error(errno, asio::error::get_system_category(), "eventfd");
    }
    ~bell() { ::close(fd); }
    bell(const bell&) = delete;
    bell& operator=(const bell&) = delete;

    void fire() const noexcept {
        const std::uint64_t one = 1;
        // It fails only if the counter is at its maximum, and then the bell is set (eventfd(2)).
        [[maybe_unused]] const auto written = ::write(fd, &one, sizeof one);
    }
    // Resets the bell. Returns false if it was not set.
    bool silence() const noexcept {
        std::uint64_t all = 0;
        return ::read(fd, &all, sizeof all) == sizeof all;
    }

    const int fd;
};

struct lookup {
    explicit lookup(std::string name) : host(std::move(name)) {}

    const std::string host;
    // Guarded by the mutex of lookups.
    std::vector<std::shared_ptr<bell>> bells;
    std::size_t queries = 0;
    bool queued = true, done = false;
    error_code why;
    addresses found;  // without a port
};

}  // namespace detail

namespace {

using detail::bell;
using detail::lookup;

address with_port(const address& a, std::uint16_t port) {
    return {a.host(), port};  // address::of() made it, so it does not throw
}

error_code meaning(int eai, int error) noexcept {
    // Every other error says that there is no such name, or that it has no address.
    switch (eai) {
        case EAI_AGAIN:  // no name server has answered
        case EAI_FAIL: return errc::name_resolution_failed;
        case EAI_MEMORY: return connect_error({ENOMEM, asio::error::get_system_category()});
        case EAI_SYSTEM: return connect_error({error, asio::error::get_system_category()});
        default: return errc::host_not_found;
    }
}

error_code look_up(const std::string& host, addresses& found) noexcept {
    addrinfo hints{};
    // Without it each address is listed once for every type of socket (getaddrinfo(3)).
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int eai = ::getaddrinfo(host.c_str(), nullptr, &hints, &list);
    if (eai != 0) return meaning(eai, errno);
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(list, ::freeaddrinfo);
    try {
        for (const addrinfo* a = list; a != nullptr; a = a->ai_next) {
            if (a->ai_family != AF_INET && a->ai_family != AF_INET6) continue;
            found.push_back(address::of(*a->ai_addr));
        }
    } catch (const std::bad_alloc&) { return meaning(EAI_MEMORY, 0); }
    if (found.empty()) return errc::host_not_found;
    return {};
}

// All lookups of the process. They are never destroyed, as a thread may use them until the process
// has ended.
struct lookups {
    std::mutex mutex;
    std::map<std::string, std::shared_ptr<lookup>> open;  // lookups without an answer, by name
    std::deque<std::shared_ptr<lookup>> queue;            // those that no thread has taken yet
    std::size_t threads = 0;

    static lookups& all();

    std::shared_ptr<lookup> join(const std::string& host, const std::shared_ptr<bell>& b);
    void leave(const std::shared_ptr<lookup>& l);

private:
    error_code start_thread();
    void serve() noexcept;
    void forget(const std::shared_ptr<lookup>& l);
};

// The child of a fork(2) has none of the threads, so it forgets their lookups; leave_to_parent()
// begins them again. The parent holds the mutex during the fork, so that the child can use it.
lookups& lookups::all() {
    static lookups* const made = [] {
        auto* l = new lookups;
        ::pthread_atfork([] { all().mutex.lock(); }, [] { all().mutex.unlock(); },
                         [] {
                             all().open.clear();
                             all().queue.clear();
                             all().threads = 0;
                             all().mutex.unlock();
                         });
        return l;
    }();
    return *made;
}

std::shared_ptr<lookup> lookups::join(const std::string& host, const std::shared_ptr<bell>& b) {
    const std::lock_guard lock(mutex);
    const auto known = open.find(host);
    const bool is_new = known == open.end();
    auto l = is_new ? std::make_shared<lookup>(host) : known->second;
    // A loop has one bell, however many of its queries ask for the name.
    if (std::ranges::find(l->bells, b) == l->bells.end()) l->bells.push_back(b);
    ++l->queries;
    if (!is_new) return l;
    // In both or in neither: the next query finds a lookup by `open`, a thread by `queue`.
    queue.push_back(l);
    try {
        open.emplace(host, l);
    } catch (...) {
        queue.pop_back();
        throw;
    }
    if (threads == resolver::most_lookups) return l;
    const error_code ec = start_thread();
    if (ec && threads == 0) {  // no thread would ever take it from the queue
        forget(l);
        l->why = connect_error(ec);
        l->done = true;
        b->fire();
    }
    return l;
}

// A lookup that has no query any more need not begin.
void lookups::leave(const std::shared_ptr<lookup>& l) {
    const std::lock_guard lock(mutex);
    if (--l->queries == 0 && l->queued && !l->done) forget(l);
}

void lookups::forget(const std::shared_ptr<lookup>& l) {
    std::erase(queue, l);
    const auto known = open.find(l->host);
    if (known != open.end() && known->second == l) open.erase(known);
}

// The thread blocks all signals: they are for the threads of the program.
error_code lookups::start_thread() {
    sigset_t all_signals, before;
    ::sigfillset(&all_signals);
    ::pthread_sigmask(SIG_SETMASK, &all_signals, &before);
    pthread_attr_t detached;
    ::pthread_attr_init(&detached);
    ::pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_t ignored{};
    const auto work = [](void*) -> void* {
        all().serve();
        return nullptr;
    };
    const int error = ::pthread_create(&ignored, &detached, work, nullptr);
    ::pthread_attr_destroy(&detached);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error == 0) ++threads;
    return {error, asio::error::get_system_category()};
}

// What a thread does. It ends when the queue is empty: starting a thread costs little compared with
// a name server's answer.
void lookups::serve() noexcept {
    std::unique_lock lock(mutex);
    while (!queue.empty()) {
        const auto l = std::move(queue.front());
        queue.pop_front();
        l->queued = false;
        // getaddrinfo(3) may block for many seconds (resolv.conf(5): timeout, attempts), in which
        // the loop needs the lock.
        lock.unlock();
        addresses found;
        const error_code why = look_up(l->host, found);
        lock.lock();
        l->found = std::move(found);
        l->why = why;
        l->done = true;
        // The next query asks again: getaddrinfo(3) does not tell how long an answer is valid.
        forget(l);
        for (const auto& b : l->bells) b->fire();
    }
    --threads;
}

bool is_localhost(std::string_view host) {
    if (host.ends_with('.')) host.remove_suffix(1);
    constexpr std::string_view local = "localhost";
    if (host.size() < local.size()) return false;
    const auto tail = host.substr(host.size() - local.size());
    const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
    return std::equal(tail.begin(), tail.end(), local.begin(), same) &&
           (tail.size() == host.size() || host[host.size() - local.size() - 1] == '.');
}

bool is_unspecified(const std::string& host) {
    in6_addr v6{};
    return ::inet_pton(AF_INET6, host.substr(0, host.find('%')).c_str(), &v6) == 1;
}

}  // namespace

std::optional<addresses> resolve_locally(const address& a) {
    if (a.is_unix()) return addresses{a};
    if (is_localhost(a.host()))
        return addresses{address("127.0.0.1", a.port()), address("::1", a.port())};
    if (a.ip() == ip_bytes{} && !is_unspecified(a.host())) return std::nullopt;
    return addresses{a};
}

result<addresses> resolve_blocking(const address& a) {
    if (auto known = resolve_locally(a)) return *std::move(known);
    addresses found;
    if (const error_code ec = look_up(a.host(), found)) return ec;
    for (address& one : found) one = with_port(one, a.port());
    return found;
}

// -- queries, on the loop's thread

resolver::query::query(resolver& r, const address& name)
    : done(r.executor_), resolver_(r), name_(name) {
    if (!r.bell_) r.bell_ = std::make_shared<bell>();
    r.queries_.push_back(this);
    try {
        if (r.queries_.size() == 1) r.watch();
        lookup_ = lookups::all().join(name.host(), r.bell_);
    } catch (...) {
        // No destructor runs for an object whose constructor throws.
        r.leave(*this);
        throw;
    }
}

resolver::query::~query() {
    lookups::all().leave(lookup_);
    resolver_.leave(*this);
}

result<addresses> resolver::query::answer() const {
    const std::lock_guard lock(lookups::all().mutex);
    if (!lookup_->done) return errc::connect_timeout;
    if (lookup_->why) return lookup_->why;
    // A copy, as other queries of the name read it too, with other ports.
    addresses all = lookup_->found;
    for (address& one : all) one = with_port(one, name_.port());
    return all;
}

void resolver::watch() {
    poller_.enroll(*this);
    if (const error_code ec = poller_.watch(bell_->fd, *this, EPOLLIN)) throw std::system_error(ec);
    poller_.add_waiter(*this);
}

// Without queries the loop must not wait for an answer. A thread may still set the bell later. It
// holds the bell, so the descriptor stays open until then and its number is not reused.
void resolver::leave(query& q) noexcept {
    std::erase(queries_, &q);
    if (!queries_.empty()) return;
    poller_.deregister(bell_->fd, *this);
    bell_.reset();
}

bool resolver::ready(std::uint32_t) {
    if (!bell_->silence()) return false;
    const std::lock_guard lock(lookups::all().mutex);
    for (query* q : queries_) {
        if (q->lookup_->done) q->done.set();  // the query runs after this handler
    }
    return true;
}

// The lookups of the parent have no thread in the child, and the parent shares the bell: the child
// makes its own, and begins the lookups again.
void resolver::leave_to_parent() {
    if (queries_.empty()) return;
    bell_ = std::make_shared<bell>();
    if (const error_code ec = poller_.watch(bell_->fd, *this, EPOLLIN)) throw std::system_error(ec);
    for (query* q : queries_) q->lookup_ = lookups::all().join(q->name_.host(), bell_);
}

}  // namespace ice
