// pool_connection: what pool_core knows of one connection. pool_caller: of a caller that waits.
// pool_action: what pool_core wants its owner to do with one of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ice/detail/breaker.hpp>
#include <ice/detail/export.hpp>
#include <ice/detail/upstream.hpp>
#include <ice/duration.hpp>
#include <ice/error.hpp>
#include <memory>
#include <string>

namespace ice {

// What pool_core asks its owner to do with a connection, a caller or a name. Each of them has at
// most one action that is not carried out yet; a list without memory of its own holds them.
struct pool_action {
    enum class kinds : std::uint8_t {
        none,
        connect,  // begin an attempt; ends with connected() or connect_failed()
        cancel,   // end what happens on the connection: its attempt or its lease ends soon
        close,    // destroy the connection: the owner has it now
        check,    // run a health check; ends with released()
        look,     // whether an idle connection was closed by its upstream: stale() if so
        wake,     // the caller has its `given` or `failed`
        resolve,  // look a name up; ends with resolved() or resolve_failed()
    };
    kinds todo = kinds::none;
    pool_action* after = nullptr;
};

// One connection, from the attempt to make it to its end. The owner derives from it what the
// connection is made of.
struct ICE_API pool_connection : pool_action {
    enum class states : std::uint8_t {
        connecting,
        idle,
        busy,    // leased to one caller, shared by several, or checked
        closed,  // the core has forgotten it
    };
    pool_connection() = default;
    pool_connection(const pool_connection&) = delete;
    pool_connection& operator=(const pool_connection&) = delete;
    virtual ~pool_connection();

    std::shared_ptr<upstream> at;
    states state = states::connecting;
    bool is_shared = false;      // busy: callers may share it (pool_limits::pipeline)
    bool is_checked = false;     // busy: with a health check
    bool is_kept = false;        // busy: the caller has it for several messages
    bool is_full = false;        // shared: so many bytes are unsent that no caller may add some
    bool is_proven = false;      // it has given a reply
    bool is_retiring = false;    // another one has replaced it: it ends when it comes back
    bool is_extra = false;       // connecting: beside what callers wait for, and beside `size`
    bool is_stalled = false;     // connecting: it takes so long that another one is begun
    bool is_new = false;         // busy: its first lease, right after it was made
    breaker::trial trial = 0;    // the breaker's trial that it carries; 0 if none
    std::size_t requests = 0;    // shared: requests without a reply
    time_point begun{};          // when the attempt, or the connection, began
    time_point leased{};         // when its last lease began
    time_point since{};          // when it became idle, or was checked last
    time_point used{};           // when a caller used it last
    time_point retires = never;  // when its max_lifetime ends
};

// A caller that waits for a connection. It lives in the caller's coroutine.
struct pool_caller : pool_action {
    bool shares = false;               // it may share a connection
    std::uint64_t ticket = 0;          // the order of callers; 0 before the first wait()
    time_point since{};                // when it began to wait
    pool_connection* given = nullptr;  // busy, and its own, or shared and with room
    error_code failed;
    pool_caller *before = nullptr, *behind = nullptr;
    bool is_waiting = false, is_notified = false, joins = false;
};

// A name to look up.
struct pool_lookup : pool_action {
    upstream_name* name = nullptr;
};

// What the owner logs.
struct pool_event {
    enum class kinds : std::uint8_t { down, back, trips, answers, unresolved, resolved };
    kinds kind;
    std::string where;
    error_code why;
    std::size_t failures = 0;
};

}  // namespace ice
