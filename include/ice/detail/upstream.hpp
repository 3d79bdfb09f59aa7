// upstream: one address of a pool: its state and its connections. upstreams: which address gets the
// next connection. No I/O, no clock.
#pragma once

#include <cstdint>
#include <ice/address.hpp>
#include <ice/detail/breaker.hpp>
#include <ice/detail/deadline.hpp>
#include <ice/detail/export.hpp>
#include <ice/detail/session_base.hpp>
#include <ice/detail/upstream_health.hpp>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ice {

class pool_base;

// One address. Its own address in memory never changes: connections and deadlines point to it.
struct upstream {
    ICE_API upstream(pool_base* owner, address, const backoff_limits&, duration retry_interval,
                     const breaker_limits&, deadlines&);

    // Whether the pool opens new connections to it for callers.
    bool is_available() const noexcept { return !health.is_failing() && breaker.is_closed(); }
    // Whether a caller that waits can get a connection to it: one that is open, or a new one.
    bool serves() const noexcept {
        return breaker.is_closed() && (!health.is_failing() || open > connecting);
    }
    // The last connect error if attempts fail, else the error that opened the breaker, else none.
    error_code why() const noexcept {
        if (health.is_failing()) return health.why();
        return breaker.is_closed() ? error_code() : breaker.why();
    }
    // The same for failure::cause(): if the handshake failed, the handshake's own error.
    error_code cause() const noexcept {
        const error_code ec = why();
        return ec == errc::handshake_failed && handshake_error ? handshake_error : ec;
    }

    pool_base* pool;
    address where;
    upstream_health health;      // whether attempts to connect succeed
    ice::breaker breaker;        // whether requests succeed
    error_code handshake_error;  // of the last handshake that failed
    deadline retry;              // the next attempt that the pool makes without a caller
    std::size_t open = 0;        // connections, those that are being made included
    std::size_t connecting = 0;  // connections that are being made
    // The pool's count of leases at the last lease. Of the addresses with an idle connection the
    // one with the lowest value is next.
    std::uint64_t last_leased = 0;
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t trips = 0;  // how often the breaker has opened
};

// One connection of a pool, from the attempt to make it to its end. While it lives it counts in
// `open` of its upstream, which must outlive it. Its end gives up the trial that it carries.
struct pool_connection {
    pool_connection() = default;
    pool_connection(upstream& u, breaker::trial p) noexcept : at(&u), trial(p) { ++u.open; }
    pool_connection(pool_connection&& other) noexcept
        : session(std::move(other.session)), at(std::exchange(other.at, nullptr)),
          trial(other.trial), since(other.since), used(other.used), retires(other.retires),
          is_checked(other.is_checked), is_proven(other.is_proven) {}
    pool_connection& operator=(pool_connection&& other) noexcept {
        pool_connection taken(std::move(other));
        std::swap(session, taken.session);
        std::swap(at, taken.at);
        std::swap(trial, taken.trial);
        since = taken.since;
        used = taken.used;
        retires = taken.retires;
        is_checked = taken.is_checked;
        is_proven = taken.is_proven;
        return *this;
    }
    ~pool_connection() {
        if (at == nullptr) return;
        --at->open;
        at->breaker.left(trial);
    }

    std::unique_ptr<session_base> session;  // null while it is being made
    upstream* at = nullptr;                 // null if it was moved from
    breaker::trial trial = 0;               // the breaker's trial that it carries; 0 if none
    time_point since{};                     // when it became idle, or was checked last
    time_point used{};                      // when a caller used it last
    time_point retires = never;             // when its max_lifetime ends
    bool is_checked = false;                // a health check uses it
    bool is_proven = false;                 // it has given a reply
};

// All addresses of a pool, in the order of its action.
class ICE_API upstreams {
public:
    upstreams(pool_base* owner, const std::vector<address>&, const backoff_limits&,
              duration retry_interval, const breaker_limits&, deadlines&);

    // Returns the address to which the pool connects next for a caller: of the available ones the
    // one with the fewest connections, and of equals the next in turn. If none is available,
    // returns one that may be tried again now, and counts that as its attempt. Null if there is
    // none.
    upstream* next(time_point now);

    // Whether no address serves: callers need not wait.
    bool are_down() const noexcept;
    bool any_available() const noexcept;
    // The error for callers if are_down(): the connect error of the first address that has one, or
    // errc::breaker_open.
    error_code why() const noexcept;

    // All addresses in one line: "10.0.0.1:7, 10.0.0.2:7".
    std::string text() const;

    std::size_t size() const noexcept { return all_.size(); }
    auto begin() noexcept { return all_.begin(); }
    auto end() noexcept { return all_.end(); }
    auto begin() const noexcept { return all_.begin(); }
    auto end() const noexcept { return all_.end(); }

private:
    std::list<upstream> all_;  // a list: an upstream must not move
    std::uint64_t turn_ = 0;   // calls of next() that found one: they begin at another each time
};

}  // namespace ice
