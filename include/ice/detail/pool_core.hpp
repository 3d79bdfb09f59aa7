// pool_core: all decisions of a pool, of connections of any kind: which caller gets which
// connection, when to connect to which address, and which connection to close. A state machine
// without I/O, clock or coroutine. Its owner reports events, and carries out the actions.
// docs/design.md has a table of the states.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <ice/detail/export.hpp>
#include <ice/detail/pool_connection.hpp>
#include <ice/detail/retry_budget.hpp>
#include <ice/detail/upstream.hpp>
#include <ice/limits.hpp>
#include <ice/pool_state.hpp>
#include <list>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace ice {

// Every function takes the time `now`, read once for the event. After each the owner carries out
// next_action() until there is none, and calls tick() at due().
class ICE_API pool_core {
public:
    using factory = std::function<std::unique_ptr<pool_connection>()>;
    struct options {
        std::size_t size;
        pool_limits limits{};
        pool_timeouts timeouts{};
        backoff_limits backoff{};
        breaker_limits breaker{};
        duration check_every = no_timeout;
    };

    // `random` gives 64 random bits, for jitter. `make` makes a connection for the owner.
    pool_core(const options&, const std::vector<address>&, std::function<std::uint64_t()> random,
              factory make);
    ~pool_core();
    pool_core(const pool_core&) = delete;
    pool_core& operator=(const pool_core&) = delete;

    // -- events: the pool

    // Looks names up, and opens pool_limits::preconnect connections.
    void start(time_point now) noexcept;
    // Gives no more new callers a connection; those that wait get theirs.
    void drain(time_point now) noexcept;
    // Ends everything. Attempts and leases end through the owner.
    void stop() noexcept;
    void tick(time_point now) noexcept;
    // When to call tick() next.
    time_point due() const noexcept { return due_; }

    // -- events: callers

    // A request begins: counts it for the retry budget.
    void asked(time_point now) noexcept;
    // Whether a request of which no byte was sent may be repeated. If so, counts the retry.
    bool may_retry(time_point now) noexcept;
    // Leases the idle connection that came back last, of the address leased longest ago, so that
    // surplus ones expire. Null if there is none. The owner looks whether it has input, and
    // reports it as stale() if so.
    pool_connection* acquire(time_point now) noexcept;
    // The caller looks for the shared connection with the fewest requests, of those with room for
    // one more. Null if there is none, or if callers wait that share and come before `k`: all, if
    // that is null. If it gets one, joined() or not_joined() follows, which wakes the next ones.
    pool_connection* share(pool_caller* k, time_point now) noexcept;
    // The connection that share(nullptr) has found for an earlier request of the same burst, which
    // has the same `now`, if it has room, nobody waits, and none is idle. Null: look with acquire()
    // and share(). Looking costs as much as a third of a request, and a burst on one connection
    // leaves in one write and returns in one read; but that connection gets at most a quarter more
    // requests than the one with the fewest.
    pool_connection* share_again(time_point now) noexcept;
    // The caller waits, in the order of tickets, until its action `wake`. Returns an error if it
    // may not. A caller that waits again keeps its place.
    error_code wait(pool_caller& k, time_point now) noexcept;
    // The caller waits no more, or its coroutine was destroyed. The owner releases what it was
    // given.
    void leave(pool_caller& k, time_point now) noexcept;

    // -- events: connections

    void connected(pool_connection&, time_point now) noexcept;
    void connect_failed(pool_connection&, error_code, time_point now) noexcept;
    // A connection that was just leased, or that is idle, has input although nothing was asked.
    void stale(pool_connection&, time_point now) noexcept;
    // A lease has ended: of one caller, of a health check, or of a shared connection.
    struct outcome {
        bool is_clean;     // may_return() says that nothing of the exchange can still arrive
        bool has_replied;  // the upstream has given a whole reply
        error_code why;    // the error of the exchange, for the breaker
    };
    void released(pool_connection&, const outcome&, time_point now) noexcept;
    // Callers may share the leased connection, once its first request has joined.
    static void shared(pool_connection& c) noexcept { c.is_shared = true; }
    // The caller has the leased connection for several messages: how long it does is its own matter
    // and says nothing of the upstream.
    void kept(pool_connection&, time_point now) noexcept;
    // Of a shared connection: a request was added; one has had its reply; the caller of one has
    // left as its time was over. `is_full`: no caller may add more bytes.
    void joined(pool_connection&, bool is_full) noexcept;
    // A caller that share() has given a connection has added no request to it.
    void not_joined() noexcept { wake_sharers(); }
    void replied(pool_connection&, bool is_full, time_point now) noexcept;
    void timed_out(pool_connection&, time_point now) noexcept;
    // A shared connection was full, and is not any more.
    void sent(pool_connection&) noexcept;

    // -- events: names

    void resolved(upstream_name&, const std::vector<address>&, time_point now) noexcept;
    void resolve_failed(upstream_name&, error_code, time_point now) noexcept;

    // -- actions

    // Whether there is an action, or something to log.
    bool needs_owner() const noexcept { return actions_ != nullptr || !events_.empty(); }
    // Takes the next action; null if there is none. Its `todo` says what to do: set it to `none`
    // first.
    pool_action* next_action() noexcept;
    // Takes what is to be logged.
    std::vector<pool_event> events() noexcept { return std::exchange(events_, {}); }

    // -- state

    bool is_draining() const noexcept { return draining_; }
    bool is_stopped() const noexcept { return stopped_; }
    // Whether no caller has or waits for a connection.
    bool is_empty() const noexcept { return busy_ == 0 && waiting_ == 0; }
    std::size_t idle() const noexcept { return idle_.size(); }
    std::size_t busy() const noexcept { return busy_; }
    std::size_t connecting() const noexcept { return connecting_; }
    std::size_t waiting() const noexcept { return waiting_; }
    const ice::upstreams& upstreams() const noexcept { return upstreams_; }
    const std::vector<std::unique_ptr<pool_connection>>& connections() const noexcept {
        return all_;
    }
    const options& settings() const noexcept { return options_; }
    pool_counters& counters() noexcept { return counters_; }
    const pool_counters& counters() const noexcept { return counters_; }

private:
    using states = pool_connection::states;
    using kinds = pool_action::kinds;

    // With a pool that is smaller than its number of addresses each has its turn for so long.
    static constexpr duration turn_of_address = std::chrono::seconds(30);
    // How often idle connections are looked at.
    static constexpr duration look_interval = std::chrono::seconds(1);
    // A timeout counts for the breaker if the upstream has said nothing for half of
    // pool_timeouts::request, but at most this.
    static constexpr duration longest_silence = std::chrono::seconds(5);

    // -- lib/pool/pool_core.cpp: callers and leases
    bool is_closing() const noexcept { return stopped_ || draining_; }
    // Whether no caller will need a connection any more.
    bool is_over() const noexcept { return stopped_ || (draining_ && waiting_ == 0); }
    bool is_down() const noexcept;
    error_code why_refused(time_point now) noexcept;
    void enqueue(pool_caller&) noexcept;
    void unlink(pool_caller&) noexcept;
    void give(pool_connection&, time_point now) noexcept;
    void fail_waiters(error_code) noexcept;
    void fail_if_down() noexcept;
    void lease(pool_connection&, time_point now) noexcept;
    void end_lease(pool_connection&, time_point now) noexcept;
    void returned(pool_connection&, bool has_replied, time_point now) noexcept;
    void has_replied(pool_connection&, time_point now) noexcept;
    void failed(pool_connection&, error_code, duration silence, time_point now) noexcept;
    duration silence() const noexcept {
        return std::min(duration(options_.timeouts.request / 2), longest_silence);
    }
    void end_trial(pool_connection&, time_point now) noexcept;
    void end_asking(upstream&, time_point now) noexcept;
    void add(pool_action&, kinds) noexcept;
    void forget(pool_action&) noexcept;

    // -- lib/pool/pool_core_share.cpp: shared connections
    std::size_t kept_alone() const noexcept;
    bool takes_requests(const pool_connection&, std::size_t kept) const noexcept;
    pool_connection* with_room() const noexcept;
    // Wakes the first callers that may share, as many as have room. As each time walks over those
    // that were told before, it does nothing while more than half of those who may be told have not
    // looked.
    void wake_sharers() noexcept {
        if (waiting_ - waiting_alone_ == notified_ || 2 * notified_ > notifies_) return;
        wake_some_sharers();
    }
    void wake_some_sharers() noexcept;
    void learn(bool found_room) noexcept;
    std::size_t room() const noexcept;

    // -- lib/pool/pool_core_connect.cpp: connections and addresses
    void open_first(time_point now) noexcept;
    // Connects for the callers that wait, for min_connections, and until `least` attempts are in
    // flight.
    void meet_demand(time_point now, std::size_t least = 0) noexcept;
    bool connect_while_down(time_point now) noexcept;
    bool connect_to(upstream&, time_point now, bool is_extra) noexcept;
    void try_again(upstream&, time_point now) noexcept;
    void set_retry(upstream&, time_point) noexcept;
    void end_attempt(pool_connection&) noexcept;
    void open_failed(upstream&, error_code, time_point now) noexcept;
    void refresh(upstream_name&) noexcept;
    void look_up_soon(const upstream&, time_point now) noexcept;
    // Connections that count for `size`, and attempts to make such.
    std::size_t established() const noexcept;
    std::size_t attempts() const noexcept;
    bool needs_replacement(const pool_connection&, time_point now) const noexcept;
    pool_connection* to_replace(const pool_connection& by, time_point now) const noexcept;
    // So many connections may be replaced at once: they are beside `size` until their leases end.
    std::size_t most_replaced() const noexcept {
        return std::max<std::size_t>(options_.size / 4, 1);
    }
    // Whether another connection may replace it now.
    bool may_retire(const pool_connection&) const noexcept;
    void replace_old(time_point now, const pool_connection* back = nullptr) noexcept;
    void rebalance(const pool_connection&, time_point now) noexcept;
    void retire(pool_connection&, time_point now) noexcept;
    void close(pool_connection&) noexcept;
    // Up to a quarter less, so that what begins together does not end together.
    duration jittered(duration) noexcept;
    void watch_breakers() noexcept;
    void mark_stalled(time_point now) noexcept;
    void expire_idle(time_point now) noexcept;
    void check_one_idle(time_point now) noexcept;
    void look_at_idle(time_point now) noexcept;
    time_point end_of(const pool_connection&, std::size_t established) const noexcept;
    time_point check_of(const pool_connection&) const noexcept;
    void due_by(time_point at) noexcept { due_ = std::min(due_, at); }
    // Adds a line for the log, unless memory has run out: it is not worth a failure. `what` is an
    // upstream or an upstream_name.
    template <class What>
    void report(pool_event::kinds kind, const What& what, error_code why = {},
                std::size_t failures = 0) noexcept {
        try {
            events_.push_back({kind, what.text(), why, failures});
        } catch (const std::bad_alloc&) {}
    }

    options options_;
    ice::upstreams upstreams_;
    factory make_;
    retry_budget budget_;
    std::function<std::uint64_t()> random_;
    std::list<pool_lookup> lookups_;

    std::vector<std::unique_ptr<pool_connection>> all_;
    std::vector<pool_connection*> idle_;  // in the order in which they came back
    pool_caller *first_ = nullptr, *last_ = nullptr;
    std::size_t busy_ = 0, connecting_ = 0, waiting_ = 0;
    std::size_t waiting_alone_ = 0;  // of those, callers that share no connection
    std::size_t notified_ = 0;       // of those, callers that know of room and have not looked yet
    std::size_t notifies_ = 32;      // how many such there may be
    pool_connection* found_ = nullptr;  // by share(), for `in_a_row_` more callers
    time_point found_at_{};
    std::size_t in_a_row_ = 0;
    std::uint64_t leases_ = 0;   // leases so far: the clock of upstream::last_leased
    std::uint64_t tickets_ = 0;  // callers that have waited so far
    time_point now_{};           // of the last event
    time_point due_ = never;
    time_point look_ = never;     // when idle connections are looked at next
    time_point replace_again_{};  // when old connections may be replaced again
    bool draining_ = false, stopped_ = false, checking_ = false;

    pool_action *actions_ = nullptr, *last_action_ = nullptr;
    std::vector<pool_event> events_;
    pool_counters counters_;
};

}  // namespace ice
