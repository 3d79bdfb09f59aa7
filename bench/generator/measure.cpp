// Finds the server, runs the workers on their threads, and adds up what they counted.
#include "measure.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <system_error>
#include <thread>

namespace ice::bench {
namespace {

using namespace std::chrono_literals;

double seconds(nanoseconds ns) { return static_cast<double>(ns.count()) / 1e9; }

bool is_loopback(const endpoint& e) {
    if (e.storage.ss_family == AF_UNIX) return true;
    if (e.storage.ss_family == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(&e.storage);
        return ntohl(v4->sin_addr.s_addr) >> 24 == 127;
    }
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(&e.storage);
    return IN6_IS_ADDR_LOOPBACK(&v6->sin6_addr);
}

[[noreturn]] void refuse(const options& o, std::string_view why) {
    throw cannot_connect(fmt::format("cannot connect to {}: {}", o.target, why));
}

sample sample_of(const tally& t, double span) {
    const auto us = [&](double percent) {
        return static_cast<double>(t.latency.percentile(percent)) / 1e3;
    };
    return {static_cast<double>(t.completed) / span, us(50), us(99),
            static_cast<double>(t.latency.max()) / 1e3, t.failed()};
}

void print_progress(double at, const sample& s, std::uint64_t failed) {
    print_to(stderr, "{:>5.0f} s  {:>7}/s  p50 {:>8}  p99 {:>8}  max {:>8}  errors {}\n", at,
             shown_count(s.rate), shown_time(s.p50_us * 1e3), shown_time(s.p99_us * 1e3),
             shown_time(s.max_us * 1e3), failed);
}

std::uint64_t part_of(std::uint64_t whole, std::size_t parts, std::size_t i) {
    return whole / parts + (i < whole % parts ? 1 : 0);
}

// Connects in flight; their sockets are closed with it.
struct attempts {
    attempts() = default;
    ~attempts() {
        for (const pollfd& p : polled) ::close(p.fd);
    }
    attempts(const attempts&) = delete;
    attempts& operator=(const attempts&) = delete;

    // One to all[i]. Returns why it has failed at once.
    int begin(const std::vector<endpoint>& all, std::size_t i) {
        const endpoint& to = all[i];
        const int fd =
            ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
        if (fd < 0) return errno;
        polled.push_back({fd, POLLOUT, 0});
        at.push_back(i);
        if (::connect(fd, reinterpret_cast<const sockaddr*>(&to.storage), to.size) == 0) return 0;
        if (errno == EINPROGRESS) return 0;
        const int error = errno;
        end(polled.size() - 1);
        return error;
    }
    int error_of(std::size_t i) const {
        int error = 0;
        socklen_t size = sizeof error;
        ::getsockopt(polled[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
        return error;
    }
    void end(std::size_t i) {
        ::close(polled[i].fd);
        polled.erase(polled.begin() + static_cast<std::ptrdiff_t>(i));
        at.erase(at.begin() + static_cast<std::ptrdiff_t>(i));
    }

    std::vector<pollfd> polled;
    std::vector<std::size_t> at;  // of each: the number of its address
};

}  // namespace

std::vector<endpoint> find_server(const options& o) {
    if (o.target.is_unix()) {
        endpoint e;
        auto* at = reinterpret_cast<sockaddr_un*>(&e.storage);
        at->sun_family = AF_UNIX;
        o.target.path().copy(at->sun_path, sizeof at->sun_path - 1);
        e.size = sizeof *at;
        return {e};
    }
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    const int error = ::getaddrinfo(o.target.host().c_str(),
                                    std::to_string(o.target.port()).c_str(), &hints, &found);
    if (error != 0) refuse(o, ::gai_strerror(error));
    std::vector<endpoint> v4, v6, all;
    for (const addrinfo* a = found; a != nullptr; a = a->ai_next) {
        endpoint e;
        std::memcpy(&e.storage, a->ai_addr, a->ai_addrlen);
        e.size = a->ai_addrlen;
        if (o.allow_remote || is_loopback(e)) (a->ai_family == AF_INET ? v4 : v6).push_back(e);
    }
    ::freeaddrinfo(found);
    for (std::size_t i = 0; i < std::max(v4.size(), v6.size()); ++i) {
        if (i < v4.size()) all.push_back(v4[i]);
        if (i < v6.size()) all.push_back(v6[i]);
    }
    if (all.empty())
        throw std::invalid_argument(fmt::format(
            "{} is not on this machine: load on somebody else's server needs --allow-remote",
            o.target));
    return all;
}

endpoint try_server(const options& o, const std::vector<endpoint>& all) {
    constexpr auto next_attempt = 250ms;
    attempts open;
    int first_error = 0;
    const auto failed = [&](int error) {
        if (first_error == 0) first_error = error;
    };
    const auto end = clock::now() + o.timeout;
    auto due = clock::now();
    for (std::size_t next = 0; next < all.size() || !open.polled.empty();) {
        const auto now = clock::now();
        if (now >= end) break;
        if (next < all.size() && (now >= due || open.polled.empty())) {
            due = now + next_attempt;
            if (const int error = open.begin(all, next++)) failed(error);
            continue;
        }
        const auto until = next < all.size() ? std::min(due, end) : end;
        const auto ms = std::chrono::ceil<std::chrono::milliseconds>(until - now).count();
        if (::poll(open.polled.data(), open.polled.size(), static_cast<int>(ms)) <= 0) continue;
        for (std::size_t i = open.polled.size(); i-- != 0;) {
            if (open.polled[i].revents == 0) continue;
            const int error = open.error_of(i);
            if (error == 0) return all[open.at[i]];
            failed(error);
            open.end(i);
            due = clock::now();
        }
    }
    refuse(o, std::generic_category().message(first_error != 0 ? first_error : ETIMEDOUT));
}

report measure(const options& o, const mode& m, const endpoint& at) {
    report r;
    r.asked = o;
    const auto start = clock::now() + 20ms;  // until then all threads are there
    const auto begin = start + o.warm_up;
    const auto end = o.length == 0ns ? begin + 24h * 365 : begin + o.length;

    std::vector<std::unique_ptr<worker>> workers;
    for (std::size_t i = 0; i < o.threads; ++i) {
        const share part{i,
                         static_cast<std::size_t>(part_of(o.connections, o.threads, i)),
                         part_of(o.count, o.threads, i),
                         start,
                         begin,
                         end};
        workers.push_back(std::make_unique<worker>(o, m, at, part));
    }
    std::mutex mutex;
    std::condition_variable ended;
    std::size_t running = o.threads;  // guarded by mutex
    std::vector<std::exception_ptr> thrown(o.threads);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < o.threads; ++i)
        threads.emplace_back([&, i] {
            try {
                workers[i]->run();
            } catch (...) {
                thrown[i] = std::current_exception();
                worker::interrupted = true;
            }
            const std::lock_guard lock(mutex);
            --running;
            ended.notify_one();
        });
    // Waits until then or until all threads have ended; true for the latter. It sleeps meanwhile:
    // this thread may share its core with one that generates load.
    const auto over_by = [&](clock::time_point until) {
        std::unique_lock lock(mutex);
        return ended.wait_until(lock, until, [&] { return running == 0; });
    };

    const auto usage = [&] {
        return o.server_pid != 0 ? std::optional(usage_of(o.server_pid)) : std::nullopt;
    };
    std::exception_ptr lost_server;
    std::optional<server_usage> before;
    std::uint64_t failed = 0;
    auto from = begin;
    const auto one_second = [&] {
        tally second;
        for (const auto& w : workers) second.add(w->recent());
        failed += second.failed();
        from += 1s;
        r.series.push_back(sample_of(second, 1));
        if (o.progress) print_progress(seconds(from - begin), r.series.back(), failed);
    };
    try {
        bool is_over = over_by(begin);
        before = usage();
        // The workers hand over what they have counted at each full second; a little later it is
        // all there.
        while (!is_over) {
            is_over = over_by(from + 1s + 50ms);
            if (!is_over && from + 1s <= end) one_second();
        }
    } catch (...) {
        lost_server = std::current_exception();
        worker::interrupted = true;
    }
    for (auto& t : threads) t.join();
    for (const auto& e : thrown)
        if (e) std::rethrow_exception(e);
    if (lost_server) std::rethrow_exception(lost_server);

    if (from + 1s <= end && clock::now() >= from + 1s) one_second();

    auto over = begin + 1ms;
    for (const auto& w : workers) {
        r.counts.add(w->total());
        over = std::max(over, w->finished());
    }
    r.interrupted = worker::interrupted;
    const bool all_asked = o.count != 0 && r.counts.sent + r.counts.dropped >= o.count;
    // In an open loop the time of a request lasts until the next one would be due.
    if (all_asked && o.open_loop())
        over = std::max(over, begin + nanoseconds(static_cast<std::int64_t>(
                                          1e9 * static_cast<double>(o.count) / o.rate)));
    over = r.interrupted || o.length == 0ns || all_asked ? std::min(over, end) : end;
    r.seconds = seconds(over - begin);
    r.cpu_share = r.counts.cpu_seconds / static_cast<double>(o.threads) / r.seconds;
    try {
        if (before) r.server = usage();
        if (before) r.server->cpu_seconds -= before->cpu_seconds;
    } catch (const std::runtime_error&) {}  // it has ended: the rest of the report tells how
    return r;
}

}  // namespace ice::bench
