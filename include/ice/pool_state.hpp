// pool_state: how a pool stands at one moment, and what has happened in it. Numbers only: a copy.
#pragma once

#include <cstdint>
#include <ice/address.hpp>
#include <ice/breaker.hpp>
#include <ice/error.hpp>
#include <ice/export.hpp>
#include <ice/task.hpp>
#include <string>
#include <vector>

namespace ice {

// How often something happened since the pool began.
struct pool_counters {
    std::uint64_t requests = 0;
    std::uint64_t replies = 0;
    std::uint64_t timeouts = 0;  // no reply in time
    std::uint64_t failures = 0;  // requests that ended otherwise; of them
    std::uint64_t closed = 0;    // before the reply
    std::uint64_t cut_short = 0;
    std::uint64_t bad_replies = 0;
    std::uint64_t waited = 0;   // for a connection
    std::uint64_t refused = 0;  // not executed: pool full, no connection in time, upstream down
    std::uint64_t retries = 0;  // on another connection: nothing had been sent
    std::uint64_t breaker_open = 0;  // refused because of it; of `refused`
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;  // handshakes included
    std::uint64_t returned = 0;          // connections lent and taken back
    std::uint64_t discarded = 0;         // not clean after a request
    std::uint64_t found_dead = 0;        // closed or talkative while idle
    std::uint64_t expired = 0;           // pool_timeouts::idle
    std::uint64_t aged = 0;              // pool_timeouts::age
    std::uint64_t moved = 0;             // closed for another address to have its share
    std::uint64_t checks = 0;            // of health
    std::uint64_t checks_failed = 0;     // no reply, or a wrong one
    duration wait_time{};                // of all that waited, together
    duration request_time{};             // of all request(), waiting included
};

// One of its addresses.
struct upstream_state {
    std::string where;
    error_code down;  // why it cannot be connected to, if it cannot
    breaker::states gate = breaker::states::closed;
    error_code broken;         // what has opened its breaker, if it is not closed
    std::size_t failures = 0;  // requests that have failed, in a row
    std::size_t open = 0;      // connections, those that are being made included
    std::uint64_t connects = 0;
    std::uint64_t connect_failures = 0;
    std::uint64_t ejections = 0;  // how often the breaker has opened
};

struct pool_state {
    std::string name;
    std::vector<upstream_state> upstreams;
    bool is_draining = false;
    std::size_t size = 0;  // connections that may be open
    std::size_t idle = 0;  // open, and free
    std::size_t busy = 0;  // open, and lent
    std::size_t connecting = 0;
    std::size_t waiting = 0;  // callers
    pool_counters counters;

    std::size_t open() const noexcept { return idle + busy + connecting; }
};

// In one line, for people.
ICE_API std::string to_string(const pool_state&);

}  // namespace ice
