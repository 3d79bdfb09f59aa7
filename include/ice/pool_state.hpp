// pool_state: a copy of the state of a pool at one moment, and of its counters.
#pragma once

#include <cstdint>
#include <ice/address.hpp>
#include <ice/detail/breaker.hpp>
#include <ice/detail/export.hpp>
#include <ice/error.hpp>
#include <ice/task.hpp>
#include <string>
#include <vector>

namespace ice {

// Events of one pool since it was added. None is reset.
struct pool_counters {
    std::uint64_t requests = 0;
    std::uint64_t replies = 0;
    std::uint64_t timeouts = 0;  // no reply in time
    std::uint64_t failures = 0;  // requests that failed otherwise; among them:
    std::uint64_t closed = 0;    // the connection ended before the reply, or within it:
    std::uint64_t truncated = 0;
    std::uint64_t bad_replies = 0;
    std::uint64_t waited = 0;   // requests that waited for a connection
    std::uint64_t refused = 0;  // not executed: pool full, no connection in time, upstream down
    std::uint64_t retries = 0;  // on another connection: nothing had been sent
    std::uint64_t breaker_open = 0;  // those of `refused` that an open breaker refused
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;  // including failed handshakes
    std::uint64_t returned = 0;          // connections that were kept after a request or a lease
    std::uint64_t discarded = 0;         // closed after it, as they were not clean
    std::uint64_t stale = 0;             // closed by the upstream, or with bytes of it, while idle
    std::uint64_t expired = 0;           // pool_timeouts::idle
    std::uint64_t aged = 0;              // pool_timeouts::max_lifetime
    std::uint64_t rebalanced = 0;        // closed to give another address its share
    std::uint64_t checks = 0;            // health checks
    std::uint64_t checks_failed = 0;     // those without a reply in time, or with a wrong one
    duration wait_time{};                // sum over `waited`
    duration request_time{};             // sum over `requests`, waiting included
};

// The state of one address of a pool.
struct upstream_state {
    std::string where;
    error_code down;  // the last error of connecting; none if it can be connected to
    ice::breaker::states breaker = ice::breaker::states::closed;
    error_code broken;         // the error that opened its breaker; none if that is closed
    std::size_t failures = 0;  // requests that failed in a row
    std::size_t open = 0;      // connections, including those that are being made
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t trips = 0;  // how often the breaker has opened
};

struct pool_state {
    std::string name;
    std::vector<upstream_state> upstreams;
    bool is_draining = false;
    std::size_t size = 0;  // connections that the pool may open
    std::size_t idle = 0;  // open connections that are free
    std::size_t busy = 0;  // open connections that a request or a lease has
    std::size_t connecting = 0;
    std::size_t waiting = 0;  // callers that wait for a connection
    pool_counters counters;

    std::size_t open() const noexcept { return idle + busy + connecting; }
};

// Text for people, on one line.
ICE_API std::string to_string(const pool_state&);

}  // namespace ice
