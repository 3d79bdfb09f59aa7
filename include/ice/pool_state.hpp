// pool_state: a copy of the state of a pool at one moment, and of its counters. Copies are values
// that any thread may read; pool_base::state() makes them on the loop's thread.
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

// Numbers of events of one pool since it was added. None is ever reset or decreases, so a monitor
// subtracts two readings. A lease counts as one request.
struct pool_counters {
    // Requests and attempts to lease. Each one that has ended is in exactly one of `replies`,
    // `timeouts`, `failures` and `refused`; the rest are in flight. Only a lease of a pool of
    // sessions is in none of the four.
    std::uint64_t requests = 0;
    std::uint64_t replies = 0;
    // errc::request_timeout. If it grows and `connect_failures` does not, the upstream is slow.
    std::uint64_t timeouts = 0;
    // Requests that may have been executed, and failed otherwise. Three parts of it follow.
    std::uint64_t failures = 0;
    std::uint64_t closed = 0;       // the connection ended before the reply
    std::uint64_t truncated = 0;    // the connection ended within the reply
    std::uint64_t bad_replies = 0;  // the protocol or the logic of replies refused the reply
    // Requests that waited for a connection. If it grows as fast as `requests`, the pool is too
    // small for its load, or its upstream too slow.
    std::uint64_t waited = 0;
    // Requests for which failure::may_have_been_executed() is false.
    std::uint64_t refused = 0;
    // Requests that the pool repeated on another connection, as nothing had been sent. `requests`
    // counts them once. pool_limits::retries bounds them.
    std::uint64_t retries = 0;
    std::uint64_t breaker_open = 0;  // those of `refused` that an open breaker refused

    // Attempts to connect, and those that failed, also in the handshake. Both grow slowly
    // while an upstream is down, as the pool pauses between attempts (backoff_limits).
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;

    // Lookups of the pool's host names (pool_timeouts::refresh), and those that failed or found no
    // address: then the pool keeps the addresses that it knows.
    std::uint64_t lookups = 0;
    std::uint64_t lookups_failed = 0;

    // Connections that came back from a request, a lease, a pipeline or a health check: kept for
    // the next request, or closed, as they were not proven clean.
    std::uint64_t returned = 0;
    std::uint64_t discarded = 0;

    // Idle connections that the pool closed, each for another reason.
    std::uint64_t stale = 0;       // closed by the upstream, bytes without a request, not clean
    std::uint64_t expired = 0;     // pool_timeouts::idle
    std::uint64_t aged = 0;        // pool_timeouts::max_lifetime, also when it came back
    std::uint64_t rebalanced = 0;  // another address gets its share of the connections

    std::uint64_t checks = 0;         // health checks
    std::uint64_t checks_failed = 0;  // health checks with a wrong reply, or with none in time

    // Sums, for mean values: divide `wait_time` by `waited`, and `request_time`, which includes
    // waiting, by the requests that have ended.
    duration wait_time{};
    duration request_time{};
};

// The state of one address of a pool. The pool opens new connections to it if `down` is no error
// and `breaker` is closed.
struct upstream_state {
    std::string where;  // the address, as address::text()
    // The error of the last attempt to connect; none if that succeeded.
    error_code down;
    // Open: no request is sent to the address. Half open: one request, the trial, is.
    ice::breaker::states breaker = ice::breaker::states::closed;
    error_code broken;         // the error that opened the breaker; none if it is closed
    std::size_t failures = 0;  // requests that failed in a row, until now
    std::size_t open = 0;      // connections, those that are being made included
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t trips = 0;  // how often the breaker has opened
};

// The state of a pool. Its numbers are of one moment and fit together.
struct pool_state {
    std::string name;
    std::vector<upstream_state> upstreams;  // one for each address, in the order of the action
    bool is_draining = false;
    std::size_t size = 0;        // connections that the pool may have open
    std::size_t idle = 0;        // open connections that are free
    std::size_t busy = 0;        // open connections that a request, a lease or a check uses
    std::size_t connecting = 0;  // connections that are being made, handshakes included
    std::size_t waiting = 0;     // callers that wait for a connection
    pool_counters counters;

    std::size_t open() const noexcept { return idle + busy + connecting; }
};

// One line for people, as server::report() logs it. Programs read the members instead: the wording
// may change.
ICE_API std::string to_string(const pool_state&);

}  // namespace ice
