// upstream: one address of a pool, whether it can be used, and how many connections it has; and
// which of several gets the next one. No I/O, no clock.
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

struct upstream {
    ICE_API upstream(pool_base* owner, address, const backoff_limits&, duration retry_interval,
                     const breaker_limits&, deadlines&);

    // New connections are made to it.
    bool is_available() const noexcept { return !health.is_failing() && breaker.is_closed(); }
    // Who waits may hope for a connection of it.
    bool serves() const noexcept {
        return breaker.is_closed() && (!health.is_failing() || open > connecting);
    }
    // What is known against it, if anything is.
    error_code why() const noexcept {
        if (health.is_failing()) return health.why();
        return breaker.is_closed() ? error_code() : breaker.why();
    }

    pool_base* pool;
    address where;
    upstream_health health;  // can be connected to
    ice::breaker breaker;    // answers
    deadline retry;          // the attempt that needs no caller
    std::size_t open = 0;    // connections, those that are being made included
    std::size_t connecting = 0;
    std::uint64_t last_leased =
        0;  // when, in the pool's count of leases: who waits longest is next
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t trips = 0;  // pauses given by the breaker
};

// A connection, from the attempt to make it to its end; meanwhile it is one of its upstream's.
struct pool_connection {
    pool_connection() = default;
    pool_connection(upstream& u, breaker::trial p) noexcept : at(&u), trial(p) { ++u.open; }
    pool_connection(pool_connection&& other) noexcept
        : session(std::move(other.session)), at(std::exchange(other.at, nullptr)),
          trial(other.trial), since(other.since), used(other.used), retires(other.retires),
          is_checked(other.is_checked) {}
    pool_connection& operator=(pool_connection&& other) noexcept {
        pool_connection taken(std::move(other));
        std::swap(session, taken.session);
        std::swap(at, taken.at);
        std::swap(trial, taken.trial);
        since = taken.since;
        used = taken.used;
        retires = taken.retires;
        is_checked = taken.is_checked;
        return *this;
    }
    ~pool_connection() {
        if (at == nullptr) return;
        --at->open;
        at->breaker.left(trial);
    }

    std::unique_ptr<session_base> session;
    upstream* at = nullptr;
    breaker::trial trial = 0;  // it is the one on which the upstream is tried again
    time_point since{};        // idle, and not asked for its health
    time_point used{};         // last by a caller
    time_point retires = never;
    bool is_checked = false;  // leased for a health check
};

// All addresses of a pool.
class ICE_API upstreams {
public:
    upstreams(pool_base* owner, const std::vector<address>&, const backoff_limits&,
              duration retry_interval, const breaker_limits&, deadlines&);

    // Which one to connect to on behalf of a caller: of those that are available the one with the
    // fewest connections, in turn. If there is none, one whose time has come to be tried again;
    // then no other is for a while. Null: none at all.
    upstream* next(time_point now);

    // Nobody needs to wait for a connection of any.
    bool are_down() const noexcept;
    bool any_available() const noexcept;
    // What callers are told when they are down: the last connect error, or errc::breaker_open.
    error_code why() const noexcept;

    // In a line: "10.0.0.1:7, 10.0.0.2:7".
    std::string text() const;

    std::size_t size() const noexcept { return all_.size(); }
    auto begin() noexcept { return all_.begin(); }
    auto end() noexcept { return all_.end(); }
    auto begin() const noexcept { return all_.begin(); }
    auto end() const noexcept { return all_.end(); }

private:
    std::list<upstream> all_;
    std::uint64_t turn_ = 0;
};

}  // namespace ice
