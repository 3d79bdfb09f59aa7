// Level-triggered epoll: one read and one write for each burst of replies.
#include "worker.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
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
        connections_.push_back(std::make_unique<connection>(epoll_));
}

worker::~worker() { ::close(epoll_); }

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
        else if (!schedule_ && may_ask(now)) open_with_request(*c, now, now);
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

// Whoever is in flight at the end still gets its reply, or its timeout: both are results.
bool worker::is_over(clock::time_point now) const {
    if (interrupted.load(std::memory_order_relaxed)) return true;
    if (now - last_up_ > give_up_after) return true;
    if (schedule_ && part_.count == 0 && now < part_.end) return false;
    if (may_ask(now)) return false;
    return in_flight_ == 0 || now >= part_.end + options_.timeout + tick;
}

void worker::finish(clock::time_point now) {
    for (const auto& c : connections_) total_.unfinished += c->asked.since(part_.begin);
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
    c.since = now;
    // Ports must not wait in TIME_WAIT: after 28,000 connections there would be none left.
    if (const int error = c.open(to_, mode_.one_each))
        lose(c, failure::connect, text_of(error), now);
}

void worker::connected(connection& c, clock::time_point now) {
    last_up_ = now;
    const std::uint64_t first = (std::uint64_t{part_.number} << 56) | (dialogues_++ << 28);
    c.talk = make_(first);
    c.is = connection::state::opening;
    c.talk->open(c.waiting());
    if (c.talk->is_open()) ready(c);
    refill(c, now);
}

void worker::ready(connection& c) {
    c.is = connection::state::ready;
    if (mode_.one_each) c.waiting() += c.talk->ask(1);
    else free_ += options_.depth;
}

void worker::close(connection& c) {
    if (c.is == connection::state::ready && !mode_.one_each)
        free_ -= options_.depth - c.asked.size();
    if (mode_.one_each) ++free_;
    in_flight_ -= c.asked.size();
    c.close();
}

// The requests that were in flight have failed; a connection that had none counts as one.
void worker::lose(connection& c, failure why, std::string text, clock::time_point now) {
    std::uint64_t failed = c.asked.since(part_.begin);
    if (c.asked.size() == 0 && now >= part_.begin) failed = 1;
    auto& t = interval_;
    t.failures[static_cast<std::size_t>(why)] += failed;
    if (failed != 0 && t.example.empty() && total_.example.empty())
        t.example = fmt::format("{}: {}", failure_names[static_cast<std::size_t>(why)], text);
    close(c);
    c.since = now + retry_after;
}

// -- sending

// Sends what the dialogue itself has to say, and in a closed loop, where each reply makes room for
// the next, as many requests as there is room for: made, sent and noted at once.
void worker::refill(connection& c, clock::time_point now) {
    std::string_view requests;
    if (!schedule_ && c.is == connection::state::ready && !mode_.one_each && may_ask(now)) {
        std::size_t n = options_.depth - c.asked.size();
        if (part_.count != 0 && n > left_) n = static_cast<std::size_t>(left_);
        if (n != 0) {
            requests = c.talk->ask(n);
            asked(c, {now, now, n});
        }
    }
    send(c, requests, now);
}

// Where each request has a connection of its own, it counts from when that is begun.
void worker::open_with_request(connection& c, clock::time_point due, clock::time_point now) {
    asked(c, {due, now, 1});
    open(c, now);
}

void worker::asked(connection& c, const in_flight::burst& b) {
    c.asked.add(b);
    in_flight_ += b.count;
    free_ -= b.count;
    if (b.due < part_.begin) return;
    if (part_.count != 0) left_ -= b.count;
    interval_.sent += b.count;
}

// Open loop: all that are due go out, if there is a connection that can take them.
void worker::send_due(clock::time_point now) {
    while (may_ask(now) && schedule_->next() <= now && free_ != 0) {
        connection* c = next_free();
        if (c == nullptr) break;
        const auto due = schedule_->next();
        schedule_->advance();
        if (due >= part_.end) break;
        if (due >= part_.begin) {
            ++interval_.due;
            if (now - due > late_after) ++interval_.late;
        }
        if (mode_.one_each) {
            open_with_request(*c, due, now);
            continue;
        }
        c->waiting() += c->talk->ask(1);
        asked(*c, {due, now, 1});
        to_send_.push_back(c);
    }
    for (connection* c : to_send_)
        if (c->is == connection::state::ready)
            send(*c, {}, now);  // nothing, if it stands here twice
    to_send_.clear();
}

connection* worker::next_free() {
    for (std::size_t i = 0; i < connections_.size(); ++i) {
        turn_ = turn_ + 1 < connections_.size() ? turn_ + 1 : 0;
        connection& c = *connections_[turn_];
        if (mode_.one_each ? c.is == connection::state::closed && c.asked.size() == 0
                           : c.is == connection::state::ready && c.asked.size() < options_.depth)
            return &c;
    }
    return nullptr;
}

void worker::send(connection& c, std::string_view bytes, clock::time_point now) {
    const auto sent = c.send(bytes);
    interval_.bytes_out += sent.bytes;
    if (sent.error != 0) lose(c, failure::write, text_of(sent.error), now);
}

// -- receiving

// One read of the clock for all that a read has brought: the replies had come by then, and the
// requests that they make room for go out then. So in a closed loop no time is left out.
void worker::readable(connection& c) {
    const auto got = c.receive(input_.get(), input_size);
    const auto now = clock::now();
    if (got.error == connection::ended)
        return lose(c, failure::closed, "the server closed the connection", now);
    if (got.error != 0) return lose(c, failure::read, text_of(got.error), now);
    if (got.bytes == 0) return;
    interval_.bytes_in += got.bytes;

    auto h = c.talk->listen(c.input(), c.waiting());
    c.consume(h.size);
    if (h.replies != 0) answered(c, h.replies, now);
    if (h.wrong != fault::none) return lose(c, failure_of(h.wrong), std::move(h.why), now);
    if (c.is == connection::state::opening && c.talk->is_open()) ready(c);
    if (!mode_.one_each || h.replies == 0) return refill(c, now);
    close(c);
    if (!schedule_ && may_ask(now)) open_with_request(c, now, now);
}

void worker::answered(connection& c, std::size_t n, clock::time_point now) {
    in_flight_ -= n;
    if (!mode_.one_each) free_ += n;
    if (now >= part_.begin && now < part_.end) interval_.in_time += n;
    c.asked.take(n, [&](const in_flight::burst& b) {
        if (b.due < part_.begin) return;
        interval_.completed += b.count;
        interval_.latency.record((now - b.due).count(), b.count);
        if (schedule_) interval_.uncorrected.record((now - b.sent).count(), b.count);
        finished_ = now;
    });
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
    for (int i = 0; i < n; ++i)
        happened(*static_cast<connection*>(events[i].data.ptr), events[i].events, now);
}

void worker::happened(connection& c, std::uint32_t what, clock::time_point now) {
    using is = connection::state;
    if (c.is == is::closed) return;
    if (c.is == is::connecting) {
        if (const int error = c.result()) lose(c, failure::connect, text_of(error), now);
        else if ((what & EPOLLOUT) != 0) connected(c, now);
        return;
    }
    if ((what & EPOLLOUT) != 0) send(c, {}, now);
    if (c.is != is::closed && (what & ~std::uint32_t{EPOLLOUT}) != 0) readable(c);
}

void worker::sweep(clock::time_point now) {
    next_sweep_ = now + tick;
    for (const auto& c : connections_) look_at(*c, now);
}

void worker::look_at(connection& c, clock::time_point now) {
    using is = connection::state;
    if (c.is == is::closed) {
        if (c.since > now || !may_ask(now)) return;
        if (!mode_.one_each) open(c, now);
        else if (!schedule_) open_with_request(c, now, now);
        return;
    }
    if (c.is == is::ready) last_up_ = now;
    if (c.is != is::ready && now - c.since > options_.timeout)
        lose(c, failure::connect, "no answer in time", now);
    else if (c.asked.size() != 0 && now - c.asked.oldest() > options_.timeout)
        lose(c, failure::timeout, "no reply in time", now);
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
