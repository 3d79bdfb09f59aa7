// Opens the connections of a pool: when, to which address, and what the failure of an address means
// for the callers that wait.
#include <fmt/format.h>

#include <algorithm>
#include <ice/detail/pool_base.hpp>

namespace ice {

// Warns if all pools together may want more descriptors than are reserved for pools.
void pool_base::start() {
    const std::size_t all = net_->descriptors(), wanted = net_->budget().reserved();
    const std::size_t kept =
        connections_allowed(unlimited, all) - connections_allowed(unlimited, all, wanted);
    if (kept < wanted)
        context_->write(
            log_level::warning, "few descriptors",
            fmt::format("pool '{}': the process may open {} descriptors; {} are kept for "
                        "pools, and they may want {}",
                        name_, all, kept, wanted));
    open_first();
}

// Connects until `wanted` attempts are in flight, the pool is full, or no address may be tried.
void pool_base::open_more(std::size_t wanted) {
    if (is_over()) return;
    while (connecting_ < wanted && open() < size_) {
        const time_point at = now();
        struct upstream* const u = upstreams_.next(at);
        if (u == nullptr || !connect_to(*u, at)) return;
    }
}

void pool_base::keep_open() {
    if (open() < limits_.min_connections) open_more(connecting_ + limits_.min_connections - open());
}

// The attempt that needs no caller: upstream::retry calls it. connect_to() also tries an address
// that has no connection of a full pool, as otherwise no request would ever find that it is back.
void pool_base::try_again(struct upstream& u) {
    if (is_over() || u.is_available() || u.connecting != 0) return;
    const time_point at = now();
    if (!u.breaker.is_closed() && at < u.breaker.due()) return u.retry.set(u.breaker.due());
    u.retry.set(after(at, timeouts_.retry_interval));  // if the pool is full or out of memory
    try {
        if (connect_to(u, at)) u.retry.clear();
    } catch (const std::bad_alloc&) {  // u.retry tries again
    }
}

// Connects for a caller although all upstreams are down. Returns false if no attempt is in flight
// for it: then the caller fails at once instead of waiting for nothing.
bool pool_base::connect_while_down() {
    bool tries = false;  // tries all addresses that are due, as any of them may be back
    while (connecting_ == 0 || tries) {
        const time_point at = now();
        struct upstream* const u = upstreams_.next(at);
        if (u == nullptr || !connect_to(*u, at)) break;
        tries = true;
    }
    // One caller may wait for a trial that is connecting: a trial needs a request.
    const auto is_in_trial = [](const struct upstream& u) {
        return u.connecting != 0 && !u.health.is_failing();
    };
    return tries || (waiters_.empty() && std::ranges::any_of(upstreams_, is_in_trial));
}

// Spawns an attempt. Returns false if the pool is full or the breaker of `u` lets none through.
bool pool_base::connect_to(struct upstream& u, time_point now) {
    if (open() >= size_ && (upstreams_.size() == 1 || u.open != 0)) return false;
    const breaker::trial trial = u.breaker.is_closed() ? 0 : u.breaker.begin_trial(now);
    if (trial == 0 && !u.breaker.is_closed()) return false;
    std::pair attempt(shared_from_this(), pool_connection(u, trial));
    spawn(context_, open_one(std::move(attempt)), fmt::format("pool '{}'", name_));
    ++connecting_;
    ++u.connecting;
    return true;
}

// The parameters are one pair, as GCC destroys the first of two parameters first. The connection
// counts itself in an upstream of the pool, so it must be destroyed before the pool.
task<> pool_base::open_one(std::pair<std::shared_ptr<pool_base>, pool_connection> attempt) {
    pool_base& me = *attempt.first;
    pool_connection& c = attempt.second;
    struct upstream& u = *c.at;
    ++me.counters_.connects;
    ++u.connects;
    error_code ec;
    try {
        co_await me.net_->yield();  // so that no attempt ends within open_more()
        ec = co_await me.connect_and_shake_hands(c);
    } catch (const std::bad_alloc&) {
        ec = std::make_error_code(std::errc::not_enough_memory);
    } catch (...) {
        me.log_thrown_by("handshake", fmt::format(" of {}", u.where));
        ec = u.handshake_error = errc::handshake_failed;
    }
    std::erase(me.opening_, c.session.get());
    --me.connecting_;
    --u.connecting;
    if (me.stopped_) co_return;
    if (!ec) co_return me.opened(std::move(c));
    c = {};
    me.open_failed(u, ec);
}

task<error_code> pool_base::connect_and_shake_hands(pool_connection& c) {
    auto connected = co_await net_->connect(c.at->where, after(now(), timeouts_.connect));
    if (!connected) co_return connected.error();
    if (stopped_) co_return errc::stopped;
    c.session = make_session(*std::move(connected));
    session_base& s = *c.session;
    opening_.push_back(&s);
    error_code ec = co_await shake_hands(s);
    if (!ec && !s.skip_input()) ec = errc::bad_message;  // bytes without a request
    if (!ec || ec == condition::not_executed) co_return ec;
    c.at->handshake_error = ec;
    co_return errc::handshake_failed;
}

void pool_base::opened(pool_connection c) {
    struct upstream& u = *c.at;
    u.retry.clear();
    const bool recovered = u.health.connected();
    if (recovered)
        context_->write(log_level::info, "upstream is back",
                        fmt::format("pool '{}': {} is back", name_, u.where));
    const time_point at = now();
    // If not, the breaker has opened since the attempt began, or a newer trial has replaced this.
    const bool wanted = u.breaker.is_closed() || u.breaker.is_current(c.trial);
    if (!wanted || (idle_.size() + busy_.size() >= size_ && !evict_for_rebalance())) {
        c = {};
        if (!u.breaker.is_closed()) u.retry.set(after(at, timeouts_.retry_interval));
        fail_if_down();
        return;
    }
    c.session->bytes().deadline(never, errc{});
    c.since = c.used = at;
    c.retires = after(at, age_of_one());
    assign(std::move(c));
    if (recovered) open_first();
}

// Up to a quarter less than max_lifetime, so that connections made together do not end together.
duration pool_base::age_of_one() {
    const std::uint64_t random = net_->random();
    if (timeouts_.max_lifetime == no_timeout) return no_timeout;
    return timeouts_.max_lifetime - any_up_to(timeouts_.max_lifetime / 4, random);
}

// Makes room for a connection to an address that has none: closes an idle connection of the address
// that has the most. If that connection carried a trial, the next trial of its address would be due
// at once and take the room back; so it waits for retry_interval.
bool pool_base::evict_for_rebalance() {
    const auto most =
        std::ranges::max_element(idle_, {}, [](const pool_connection& c) { return c.at->open; });
    if (most == idle_.end()) return false;
    struct upstream& loser = *most->at;
    idle_.erase(most);
    if (!loser.breaker.is_closed() && loser.retry.at() == never)
        loser.retry.set(after(now(), timeouts_.retry_interval));
    ++counters_.rebalanced;
    return true;
}

// If the pool is full: an address without any connection whose breaker would let a trial through.
struct upstream* pool_base::needs_trial(const pool_connection& c, time_point now) noexcept {
    if (open() + 1 < size_) return nullptr;
    for (struct upstream& u : upstreams_) {
        const bool due = !u.breaker.is_closed() && u.breaker.due() <= now && !u.health.is_failing();
        if (due && u.open == 0 && &u != c.at) return &u;
    }
    return nullptr;
}

// Whether the connection should be closed, so that another address gets its share.
bool pool_base::should_rebalance(const pool_connection& c) const noexcept {
    return std::ranges::any_of(upstreams_, [&](const struct upstream& u) {
        return u.is_available() && u.connecting == 0 && u.open + 1 < c.at->open;
    });
}

// Logs only the first failure of an outage: the counters have the others.
void pool_base::open_failed(struct upstream& u, error_code ec) {
    ++counters_.connect_failures;
    ++u.connect_failures;
    const bool is_first_failure = !u.health.is_failing();
    const time_point again = u.health.failed(ec, now(), net_->random());
    // First what needs no memory, so that running out of it delays no caller.
    fail_if_down();
    u.retry.set(again);
    if (!is_down()) {  // another address serves instead
        if (!waiters_.empty() || open() < std::max(limits_.preconnect, limits_.min_connections))
            open_more(connecting_ + 1);
    }
    if (is_first_failure)
        context_->write(log_level::warning, "upstream is down",
                        fmt::format("pool '{}': {}: {}", name_, u.where, u.cause().message()));
}

// -- the results of requests, for the breaker of an address

bool pool_base::succeeded(struct upstream& u) {
    if (u.breaker.failures() == 0 && u.breaker.is_closed()) return false;
    if (!u.breaker.succeeded()) return false;
    if (!u.health.is_failing()) u.retry.clear();
    context_->write(log_level::info, "upstream answers",
                    fmt::format("pool '{}': {} answers again", name_, u.where));
    return true;
}

// Counts only errors that the upstream causes: a caller that is cancelled, or a message that cannot
// be encoded, must not open the breaker.
void pool_base::failed(pool_connection& c, error_code why) {
    const failure_kind kind = kind_of(why);
    if (kind != failure_kind::timeout && kind != failure_kind::closed &&
        kind != failure_kind::truncated && kind != failure_kind::bad_reply)
        return;
    if (why == errc::message_too_large) return;  // a caller may ask for it: the upstream replies
    struct upstream& u = *c.at;
    if (!u.breaker.failed(why, c.trial, now(), net_->random())) return;
    ++u.trips;
    context_->write(log_level::warning, "upstream does not answer",
                    fmt::format("pool '{}': {}: {} requests in a row have failed, the last: {}",
                                name_, u.where, u.breaker.failures(), why.message()));
    const auto is_of_u = [&](const pool_connection& i) { return i.at == &u; };
    std::erase_if(idle_, is_of_u);  // mutant: ejected_idle
    u.retry.set(u.breaker.due());
    if (is_down()) fail_waiters(upstreams_.why());
    else open_more(waiters_.size());
}

// A trial may have ended without a result. Then the pool begins another one, as there may be no
// caller that would.
void pool_base::watch_breakers() {
    if (is_over()) return;
    for (struct upstream& u : upstreams_) {
        if (!u.breaker.is_closed() && u.connecting == 0 && u.retry.at() == never)
            u.retry.set(u.breaker.due());
    }
}

}  // namespace ice
