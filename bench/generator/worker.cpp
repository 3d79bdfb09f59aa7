// Level-triggered epoll: one read and one write for each burst of replies.
#include "worker.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <system_error>
#include <thread>

namespace ice::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t input_size = 256 * 1024;  // one read; a burst of 64 requests of 4 KB
constexpr auto tick = 100ms;                    // timeouts are looked at so often, at most
constexpr auto retry_after = 100ms;             // a connection that failed is not opened at once
constexpr auto late_after = 1ms;
constexpr auto give_up_after = 10s;  // without any connection

double thread_cpu_seconds() {
    rusage u{};
    ::getrusage(RUSAGE_THREAD, &u);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(u.ru_utime) + seconds(u.ru_stime);
}

failure failure_of(fault what) {
    switch (what) {
        case fault::bad_message: return failure::bad_message;
        case fault::unexpected: return failure::unexpected;
        case fault::handshake: return failure::handshake;
        default: return failure::mismatch;
    }
}

std::string text_of(int error) { return std::generic_category().message(error); }

}  // namespace

std::atomic<bool> worker::interrupted{false};

// Requests that went out together.
struct worker::burst {
    clock::time_point due, sent;
    std::size_t left;
};

struct worker::connection {
    enum class state { closed, connecting, opening, ready };

    int fd = -1;
    state is = state::closed;
    bool waits_to_write = false;
    std::unique_ptr<dialogue> talk;
    std::string out;  // to be sent
    std::size_t out_done = 0;
    buffer rest;  // the beginning of a reply
    std::deque<burst> bursts;
    std::size_t under_way = 0;
    clock::time_point since;  // connecting or opening; closed: when to try again
};

worker::worker(const options& o, const mode& m, const endpoint& to, const share& part)
    : options_(o), mode_(m), to_(to), part_(part), make_(m.make(o.size)),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)), input_(new char[input_size]), left_(part.count) {
    if (epoll_ < 0) throw std::runtime_error("epoll_create1: " + text_of(errno));
    if (o.open_loop()) {
        const auto threads = static_cast<double>(o.threads);
        schedule_.emplace(part.start, o.rate / threads, o.arrival, o.seed + part.number,
                          static_cast<double>(part.number) / threads);
    }
    for (std::size_t i = 0; i < part.connections; ++i)
        connections_.push_back(std::make_unique<connection>());
}

worker::~worker() {
    for (const auto& c : connections_)
        if (c->fd >= 0) ::close(c->fd);
    ::close(epoll_);
}

void worker::run() {
    ::prctl(PR_SET_TIMERSLACK, 1000UL);  // ns; the default of 50 us would be in every due time
    std::this_thread::sleep_until(part_.start);
    clock::time_point now = clock::now();
    next_sweep_ = now + tick;
    next_publish_ = part_.begin + 1s;
    last_up_ = now;
    if (mode_.one_each) free_ = connections_.size();
    for (const auto& c : connections_) {
        if (!mode_.one_each) open(*c, now);
        else if (!schedule_) refill(*c, now);
    }

    double cpu_at_begin = thread_cpu_seconds();
    bool begun = false;
    for (;;) {
        if (schedule_) send_due(now);
        if (is_over(now)) break;
        wait(now);
        now = clock::now();
        if (!begun && now >= part_.begin) {
            begun = true;
            cpu_at_begin = thread_cpu_seconds();
        }
        if (now >= next_sweep_) sweep(now);
        if (now >= next_publish_) publish();
    }
    total_.cpu_seconds = thread_cpu_seconds() - cpu_at_begin;
    finish(now);
}

bool worker::may_ask(clock::time_point now) const {
    if (interrupted.load(std::memory_order_relaxed) || now >= part_.end) return false;
    return part_.count == 0 || left_ > 0;
}

// Whoever is under way at the end still gets its reply, or its timeout: both are results.
bool worker::is_over(clock::time_point now) const {
    if (interrupted.load(std::memory_order_relaxed)) return true;
    if (now - last_up_ > give_up_after) return true;
    if (schedule_ && part_.count == 0 && now < part_.end) return false;
    if (may_ask(now)) return false;
    return under_way_ == 0 || now >= part_.end + options_.timeout + tick;
}

void worker::finish(clock::time_point now) {
    for (const auto& c : connections_)
        for (const auto& b : c->bursts)
            if (b.due >= part_.begin) total_.unfinished += b.left;
    if (schedule_) {
        const auto end = std::min(part_.end, now);
        for (; schedule_->next() < end && (part_.count == 0 || left_ > 0); schedule_->advance()) {
            if (part_.count != 0) --left_;
            if (schedule_->next() < part_.begin) continue;
            ++total_.due;
            ++total_.dropped;
        }
    }
    publish();
}

// -- connections

void worker::open(connection& c, clock::time_point now) {
    const int family = to_.storage.ss_family;
    c.since = now;
    c.fd = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c.fd < 0) return lose(c, failure::connect, text_of(errno), now);
    if (family != AF_UNIX) {
        const int on = 1;
        ::setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        // Ports must not wait in TIME_WAIT: after 28,000 connections there would be none left.
        const linger reset{1, 0};
        if (mode_.one_each) ::setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    epoll_event e{};
    e.events = EPOLLIN | EPOLLOUT;
    e.data.ptr = &c;
    c.waits_to_write = true;  // that is how a connect ends
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, c.fd, &e);
    c.is = connection::state::connecting;
    const auto* at = reinterpret_cast<const sockaddr*>(&to_.storage);
    if (::connect(c.fd, at, to_.size) == 0) return connected(c, now);
    if (errno != EINPROGRESS) return lose(c, failure::connect, text_of(errno), now);
}

void worker::connected(connection& c, clock::time_point now) {
    last_up_ = now;
    const std::uint64_t first = (std::uint64_t{part_.number} << 56) | (dialogues_++ << 28);
    c.talk = make_(first);
    c.is = connection::state::opening;
    c.out.clear();
    c.out_done = 0;
    c.talk->open(c.out);
    if (c.talk->is_open()) {
        c.is = connection::state::ready;
        if (mode_.one_each) {
            c.talk->ask(1, c.out);
        } else {
            free_ += options_.depth;
            if (!schedule_) return refill(c, now);
        }
    }
    flush(c, now);
}

void worker::close(connection& c) {
    if (c.fd >= 0) ::close(c.fd);
    c.fd = -1;
    if (c.is == connection::state::ready && !mode_.one_each) free_ -= options_.depth - c.under_way;
    if (mode_.one_each) ++free_;
    under_way_ -= c.under_way;
    c.under_way = 0;
    c.is = connection::state::closed;
    c.bursts.clear();
    c.rest.consume(c.rest.size());
    c.out.clear();
    c.out_done = 0;
    c.talk.reset();
}

// The requests that were under way have failed; a connection that had none counts as one.
void worker::lose(connection& c, failure why, std::string text, clock::time_point now) {
    std::uint64_t failed = 0;
    for (const auto& b : c.bursts)
        if (b.due >= part_.begin) failed += b.left;
    if (c.under_way == 0 && now >= part_.begin) failed = 1;
    auto& t = interval_;
    t.failures[static_cast<std::size_t>(why)] += failed;
    if (failed != 0 && t.example.empty() && total_.example.empty())
        t.example = fmt::format("{}: {}", failure_names[static_cast<std::size_t>(why)], text);
    close(c);
    c.since = now + retry_after;
}

// -- sending

// Closed loop: each reply makes room for the next request.
void worker::refill(connection& c, clock::time_point now) {
    if (mode_.one_each) {
        if (!may_ask(now)) return;
        ask(c, 1, now, now);
        return open(c, now);
    }
    std::size_t n = may_ask(now) ? options_.depth - c.under_way : 0;
    if (part_.count != 0 && n > left_) n = static_cast<std::size_t>(left_);
    if (n != 0) ask(c, n, now, now);
    flush(c, now);
}

void worker::ask(connection& c, std::size_t n, clock::time_point due, clock::time_point now) {
    if (!mode_.one_each) c.talk->ask(n, c.out);
    c.bursts.push_back({due, now, n});
    c.under_way += n;
    under_way_ += n;
    free_ -= n;
    if (due < part_.begin) return;
    if (part_.count != 0) left_ -= n;
    interval_.sent += n;
}

// Open loop: all that are due go out, if there is a connection that can take them.
void worker::send_due(clock::time_point now) {
    while (may_ask(now) && schedule_->next() <= now && free_ != 0) {
        connection* c = next_free();
        if (c == nullptr) break;
        const auto due = schedule_->next();
        schedule_->advance();
        if (due >= part_.end) break;
        ask(*c, 1, due, now);
        if (due >= part_.begin) {
            ++interval_.due;
            if (now - due > late_after) ++interval_.late;
        }
        if (mode_.one_each) open(*c, now);
        else to_flush_.push_back(c);
    }
    for (connection* c : to_flush_)
        if (c->fd >= 0) flush(*c, now);  // it may stand here twice: the second finds nothing
    to_flush_.clear();
}

worker::connection* worker::next_free() {
    for (std::size_t i = 0; i < connections_.size(); ++i) {
        turn_ = turn_ + 1 < connections_.size() ? turn_ + 1 : 0;
        connection& c = *connections_[turn_];
        if (mode_.one_each ? c.is == connection::state::closed && c.under_way == 0
                           : c.is == connection::state::ready && c.under_way < options_.depth)
            return &c;
    }
    return nullptr;
}

void worker::flush(connection& c, clock::time_point now) {
    while (c.out_done < c.out.size()) {
        const ssize_t n = ::send(c.fd, c.out.data() + c.out_done, c.out.size() - c.out_done,
                                 MSG_NOSIGNAL | MSG_DONTWAIT);
        if (n >= 0) {
            c.out_done += static_cast<std::size_t>(n);
            interval_.bytes_out += static_cast<std::uint64_t>(n);
        } else if (errno == EAGAIN) {
            return watch(c, true);
        } else if (errno != EINTR) {
            return lose(c, failure::write, text_of(errno), now);
        }
    }
    c.out.clear();
    c.out_done = 0;
    watch(c, false);
}

void worker::watch(connection& c, bool writable) {
    if (c.waits_to_write == writable) return;
    c.waits_to_write = writable;
    epoll_event e{};
    e.events = writable ? EPOLLIN | EPOLLOUT : EPOLLIN;
    e.data.ptr = &c;
    ::epoll_ctl(epoll_, EPOLL_CTL_MOD, c.fd, &e);
}

// -- receiving

void worker::readable(connection& c, clock::time_point now) {
    char* at = input_.get();
    std::size_t room = input_size;
    if (c.rest.size() != 0) {
        const auto r = c.rest.prepare(64 * 1024);
        at = r.data;
        room = r.size;
    }
    const ssize_t n = ::recv(c.fd, at, room, MSG_DONTWAIT);
    if (n < 0) {
        if (errno == EAGAIN || errno == EINTR) return;
        return lose(c, failure::read, text_of(errno), now);
    }
    if (n == 0) return lose(c, failure::closed, "the server closed the connection", now);
    interval_.bytes_in += static_cast<std::uint64_t>(n);

    std::size_t used = 0;
    if (c.rest.size() != 0) {
        c.rest.commit(static_cast<std::size_t>(n));
        if (heard(c, c.rest.data(), used, now)) c.rest.consume(used);
        return;
    }
    const std::string_view input(at, static_cast<std::size_t>(n));
    if (!heard(c, input, used, now) || used == input.size()) return;
    const auto r = c.rest.prepare(input.size() - used);
    std::memcpy(r.data, input.data() + used, input.size() - used);
    c.rest.commit(input.size() - used);
}

// False if the connection is closed now.
bool worker::heard(connection& c, std::string_view input, std::size_t& used,
                   clock::time_point now) {
    auto h = c.talk->listen(input, c.out);
    used = h.size;
    if (h.replies != 0) answered(c, h.replies, now);
    if (h.wrong != fault::none) {
        lose(c, failure_of(h.wrong), std::move(h.why), now);
        return false;
    }
    if (c.is == connection::state::opening && c.talk->is_open()) {
        c.is = connection::state::ready;
        if (mode_.one_each) c.talk->ask(1, c.out);
        else free_ += options_.depth;
    }
    if (mode_.one_each && h.replies != 0) {
        close(c);
        if (!schedule_) refill(c, clock::now());
        return false;
    }
    // `now` is when the whole batch of events had come; what goes out from here has its own time.
    if (!schedule_ && c.is == connection::state::ready && !mode_.one_each) refill(c, clock::now());
    else flush(c, now);
    return c.fd >= 0;
}

void worker::answered(connection& c, std::size_t n, clock::time_point now) {
    under_way_ -= n;
    c.under_way -= n;
    if (!mode_.one_each) free_ += n;
    while (n != 0) {
        burst& b = c.bursts.front();
        const std::size_t part = std::min(n, b.left);
        if (b.due >= part_.begin) {
            interval_.completed += part;
            interval_.latency.record((now - b.due).count(), part);
            if (schedule_) interval_.uncorrected.record((now - b.sent).count(), part);
            finished_ = now;
        }
        if (now >= part_.begin && now < part_.end) interval_.in_time += part;
        n -= part;
        b.left -= part;
        if (b.left == 0) c.bursts.pop_front();
    }
}

// -- time

// A closed loop has nothing to do between events, so milliseconds do; epoll_pwait2, which knows
// nanoseconds, came with Linux 5.11.
int worker::wait_for_events(clock::time_point now, epoll_event* events, int most) {
    auto until = std::min(next_sweep_, next_publish_);
    if (now < part_.begin) until = std::min(until, part_.begin);
    if (now < part_.end) until = std::min(until, part_.end);
    if (!schedule_)
        return ::epoll_wait(epoll_, events, most,
                            static_cast<int>(std::max<std::int64_t>(0, (until - now) / 1ms + 1)));
    if (free_ != 0 && may_ask(now)) until = std::min(until, schedule_->next());
    const auto span = std::max(nanoseconds(until - now), nanoseconds(0));
    const timespec limit{static_cast<time_t>(span / 1s), static_cast<long>((span % 1s).count())};
    return ::epoll_pwait2(epoll_, events, most, &limit, nullptr);
}

void worker::wait(clock::time_point now) {
    epoll_event events[256];
    const int n = wait_for_events(now, events, 256);
    if (n < 0 && errno != EINTR) throw std::runtime_error("epoll_wait: " + text_of(errno));
    if (n <= 0) return;
    now = clock::now();
    for (int i = 0; i < n; ++i) {
        connection& c = *static_cast<connection*>(events[i].data.ptr);
        if (c.fd < 0) continue;
        const auto what = events[i].events;
        if (c.is == connection::state::connecting) {
            int error = 0;
            socklen_t size = sizeof error;
            ::getsockopt(c.fd, SOL_SOCKET, SO_ERROR, &error, &size);
            if (error != 0) lose(c, failure::connect, text_of(error), now);
            else if ((what & EPOLLOUT) != 0) connected(c, now);
            continue;
        }
        if ((what & EPOLLOUT) != 0) flush(c, now);
        if (c.fd >= 0 && (what & ~static_cast<unsigned>(EPOLLOUT)) != 0) readable(c, now);
    }
}

void worker::sweep(clock::time_point now) {
    next_sweep_ = now + tick;
    for (const auto& p : connections_) {
        connection& c = *p;
        using is = connection::state;
        if (c.is == is::closed) {
            if (mode_.one_each) {
                if (!schedule_ && c.since <= now) refill(c, now);
            } else if (c.since <= now && may_ask(now)) {
                open(c, now);
            }
            continue;
        }
        if (c.is == is::ready) last_up_ = now;
        if (c.is != is::ready && now - c.since > options_.timeout) {
            lose(c, failure::connect, "no answer in time", now);
        } else if (c.under_way != 0 && now - c.bursts.front().sent > options_.timeout) {
            lose(c, failure::timeout, "no reply in time", now);
        }
    }
}

void worker::publish() {
    next_publish_ += 1s;
    total_.add(interval_);
    const std::lock_guard lock(mutex_);
    published_.add(interval_);
    interval_ = tally();
}

tally worker::recent() {
    const std::lock_guard lock(mutex_);
    return std::exchange(published_, tally());
}

}  // namespace ice::bench
