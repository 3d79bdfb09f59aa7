// The state of a pool, and the same as one line for people.
#include <fmt/format.h>

#include <algorithm>
#include <ice/detail/connection_pool.hpp>

namespace ice {

namespace {

// "10.0.0.1:7: up"; with the number of connections if the pool has several addresses.
std::string text(const upstream_state& u, bool alone) {
    const std::string open = alone ? "" : fmt::format(" ({} open)", u.open);
    if (u.down) return fmt::format("{}: down, {}{}", u.where, u.down.message(), open);
    switch (u.breaker) {
        case breaker::states::closed: return fmt::format("{}: up{}", u.where, open);
        case breaker::states::open:
            return fmt::format("{}: breaker open, {}{}", u.where, u.broken.message(), open);
        case breaker::states::half_open: break;
    }
    return fmt::format("{}: breaker half open, {}{}", u.where, u.broken.message(), open);
}

}  // namespace

pool_state connection_pool::state() const {
    pool_state s;
    s.name = name_;
    for (const auto& i : core_.upstreams().all()) {
        const struct upstream& u = *i;
        upstream_state one;
        one.where = u.text();
        if (u.health.is_failing()) one.down = u.health.why();
        one.breaker = u.breaker.state();
        if (!u.breaker.is_closed()) one.broken = u.breaker.why();
        one.failures = u.breaker.failures();
        one.open = u.open;
        one.connects = u.connects;
        one.connect_failures = u.connect_failures;
        one.trips = u.trips;
        s.upstreams.push_back(std::move(one));
    }
    for (const upstream_name& n : core_.upstreams().names()) {
        if (n.is_resolved) continue;
        upstream_state& one = s.upstreams.emplace_back();
        one.where = n.where.text();
        one.down = n.health.why();
    }
    s.is_draining = core_.is_draining();
    s.size = size();
    s.idle = core_.idle();
    s.busy = core_.busy();
    s.connecting = core_.connecting();
    s.waiting = core_.waiting();
    s.counters = core_.counters();
    return s;
}

std::string to_string(const pool_state& s) {
    std::string upstreams;
    for (const upstream_state& u : s.upstreams) {
        if (!upstreams.empty()) upstreams += ", ";  // GCC 12 warns falsely of `", " + text` in LTO
        upstreams += text(u, s.upstreams.size() == 1);
    }
    const pool_counters& c = s.counters;
    const auto mean = [](duration all, std::uint64_t n) {
        return std::chrono::duration<double, std::milli>(all).count() /
               static_cast<double>(std::max<std::uint64_t>(n, 1));
    };
    const std::uint64_t ended = c.replies + c.timeouts + c.failures + c.refused;
    std::string all = fmt::format(
        "pool '{}' of {}{}, {} of {} open ({} idle, {} busy, {} connecting), {} waiting", s.name,
        upstreams, s.is_draining ? ", draining" : "", s.open(), s.size, s.idle, s.busy,
        s.connecting, s.waiting);
    all += fmt::format(
        "; requests: {} ({:.3f} ms each), {} replies, {} timeouts, {} failures ({} closed, {} "
        "truncated, {} bad replies)",
        c.requests, mean(c.request_time, ended), c.replies, c.timeouts, c.failures, c.closed,
        c.truncated, c.bad_replies);
    all += fmt::format(", {} refused ({} breaker open), {} retries, {} waited ({:.3f} ms each)",
                       c.refused, c.breaker_open, c.retries, c.waited, mean(c.wait_time, c.waited));
    all += fmt::format(
        "; connects: {}, {} failed; connections: {} discarded, {} stale, {} expired, {} aged, {} "
        "rebalanced",
        c.connects, c.connect_failures, c.discarded, c.stale, c.expired, c.aged, c.rebalanced);
    all += fmt::format("; {} health checks, {} failed", c.checks, c.checks_failed);
    if (c.lookups != 0) all += fmt::format("; {} lookups, {} failed", c.lookups, c.lookups_failed);
    return all;
}

}  // namespace ice
