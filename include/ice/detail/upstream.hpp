// upstream: one address of a pool, with what the pool knows of it. upstreams: all of them, and
// which one gets the next connection. No I/O, no clock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ice/address.hpp>
#include <ice/detail/breaker.hpp>
#include <ice/detail/export.hpp>
#include <ice/detail/upstream_health.hpp>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace ice {

// A host name among the addresses of a pool. Each address that it resolves to is an upstream.
struct upstream_name {
    upstream_name(address a, const backoff_limits& b, duration retry_interval)
        : where(std::move(a)), health(b, retry_interval) {}

    std::string text() const { return where.text(); }

    address where;
    upstream_health health;      // whether lookups succeed
    time_point refresh = never;  // when the pool looks it up next, without a caller
    bool is_resolving = false;   // a lookup is in flight
    bool is_resolved = false;    // a lookup has succeeded once
};

// One address.
struct upstream : std::enable_shared_from_this<upstream> {
    ICE_API upstream(address, const upstream_name*, const backoff_limits&, duration retry_interval,
                     const breaker_limits&);

    // Whether the pool opens new connections to it for callers now.
    bool is_available() const noexcept {
        return !is_removed && !is_stalled && !health.is_failing() && breaker.is_closed();
    }
    // Whether a caller that waits can get a connection to it: one that is open, or a new one.
    bool serves() const noexcept {
        return breaker.is_closed() && (open > connecting || !(is_removed || health.is_failing()));
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
    // Its part of the connections of the pool.
    std::size_t share() const noexcept { return open - connecting - retiring; }
    // "10.0.0.1:7", and for an address of a name "db.example:7 (10.0.0.1)".
    ICE_API std::string text() const;

    address where;
    const upstream_name* name;   // whose lookup gave the address; null if the user gave it
    upstream_health health;      // whether attempts to connect succeed
    ice::breaker breaker;        // whether requests succeed
    error_code handshake_error;  // of the last handshake that failed
    time_point retry = never;    // the next attempt that the pool makes without a caller
    bool is_stalled = false;     // an attempt to connect takes long: callers need another address
    bool is_removed = false;     // its name resolves to it no more: it gets no new connection
    std::size_t open = 0;        // connections, those that are being made included
    std::size_t connecting = 0;  // connections that are being made
    std::size_t asked = 0;       // connections with a request, or shared
    std::size_t retiring = 0;    // connections that others have replaced, and that are still leased
    // How long it has been silent although it was asked, without the leases that it has now; and
    // when the first of those began, or its last reply came.
    duration silence{};
    time_point asked_since{};
    // The pool's count of leases at the last lease. Of the addresses with an idle connection the
    // one with the lowest value is next.
    std::uint64_t last_leased = 0;
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t trips = 0;  // how often the breaker has opened
};

// All addresses of a pool: those of its action, in that order, and those of its names.
class ICE_API upstreams {
public:
    upstreams(const std::vector<address>&, const backoff_limits&, duration retry_interval,
              const breaker_limits&);

    // Returns the address to which the pool connects next for a caller: of the available ones the
    // one with the fewest connections, and of equals the next in turn. If none is available,
    // returns one that may be tried again now, and counts that as its attempt. Null if there is
    // none.
    upstream* next(time_point now) noexcept;
    // The same among the available ones only.
    upstream* next_available() noexcept;

    // A lookup has given these addresses of `n`: adds those that are new, and marks those that are
    // not among them as removed. Throws std::bad_alloc.
    void replace(upstream_name& n, const std::vector<address>& found);
    // Forgets the addresses that were removed and have no connection. A connection or a request
    // may still own one.
    void forget_removed() noexcept;

    // Whether no address serves: callers need not wait.
    bool are_down() const noexcept;
    // The error for callers if are_down(): the connect error of the first address that has one, the
    // error of a lookup, or errc::breaker_open.
    error_code why() const noexcept;
    // For failure::cause() of a request that has no address: what is wrong with one of them.
    error_code cause() const noexcept;

    // What the action says, in one line: "10.0.0.1:7, db.example:7".
    const std::string& text() const noexcept { return text_; }

    std::size_t size() const noexcept { return all_.size(); }
    // Upstreams, valid as long as the pool, but those of names only until they are removed.
    const std::vector<std::shared_ptr<upstream>>& all() const noexcept { return all_; }
    std::list<upstream_name>& names() noexcept { return names_; }
    const std::list<upstream_name>& names() const noexcept { return names_; }

private:
    upstream& in_turn(std::size_t i) const noexcept { return *all_[(turn_ + i) % all_.size()]; }
    upstream* next_to_try(time_point now) noexcept;
    void add(address, const upstream_name*);

    backoff_limits backoff_;
    duration retry_interval_;
    breaker_limits breaker_;
    std::vector<std::shared_ptr<upstream>> all_;  // owned by connections and requests too
    std::list<upstream_name> names_;              // a list: upstreams point to them
    std::string text_;
    std::size_t turn_ = 0;  // calls of next() that found one: they begin at another each time
};

}  // namespace ice
