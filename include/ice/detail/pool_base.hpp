// pool_base: the part of a pool that does not depend on its protocol, compiled once. It assigns
// connections to callers in the order of their calls, and reuses only connections that are proven
// clean.
#pragma once

#include <algorithm>
#include <functional>
#include <ice/action.hpp>
#include <ice/detail/exchange_state.hpp>
#include <ice/detail/export.hpp>
#include <ice/detail/server_context.hpp>
#include <ice/detail/upstream.hpp>
#include <ice/event.hpp>
#include <ice/failure.hpp>
#include <ice/pool_state.hpp>
#include <ice/session.hpp>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ice {

class pipeline;

// All calls are for the loop's thread. Callers and connections hold the pool by shared_ptr, as the
// server may end before them.
class ICE_API pool_base : public std::enable_shared_from_this<pool_base> {
public:
    virtual ~pool_base();
    pool_base(const pool_base&) = delete;
    pool_base& operator=(const pool_base&) = delete;

    const std::string& name() const noexcept { return name_; }
    // Events since the pool was added. The reference is valid as long as the pool.
    const pool_counters& counters() const noexcept { return counters_; }

    // The connections that the pool may have open, as the action says.
    std::size_t size() const noexcept { return size_; }
    // See pool_state for these three.
    std::size_t idle() const noexcept { return idle_.size(); }
    std::size_t busy() const noexcept { return busy_.size(); }
    std::size_t waiting() const noexcept { return waiters_.size(); }
    // The addresses with their states, valid as long as the pool.
    const upstreams& addresses() const noexcept { return upstreams_; }

    // A copy of the state at this moment, and the same as one line for people.
    pool_state state() const;
    std::string report() const { return to_string(state()); }

    // Accepts no more requests: they return errc::draining. Requests that wait or are in flight end
    // as usual, but are not repeated. After the last one no connection is left. server::drain()
    // calls it when the listeners have no more connections.
    void drain();

    // Ends the leases that only wait for messages, as they would hold a drain for ever: if each
    // message sent on the lease has had its reply, its receive() returns errc::draining. drain()
    // calls it, and server::drain() when half of its grace period has passed.
    void drain_idle_leases() {
        for (session_base* s : busy_) s->drain_when_idle();
    }

    // Closes all connections. Callers get errc::stopped, through the loop.
    void stop();

    // A connection that one caller has. The destructor gives it back to the pool, which keeps it
    // only after mark_reusable() and if may_return() (exchange_state.hpp) agrees. Without a
    // connection it is empty; then only is_empty(), release() and assignment are allowed.
    class connection_lease {
    public:
        connection_lease(std::shared_ptr<pool_base> from, pool_connection c) noexcept
            : pool_(std::move(from)), connection_(std::move(c)) {}
        connection_lease(connection_lease&&) noexcept = default;
        connection_lease& operator=(connection_lease&& other) noexcept {
            release();
            pool_ = std::move(other.pool_);
            connection_ = std::move(other.connection_);
            reusable_ = other.reusable_;
            why_ = other.why_;
            return *this;
        }
        ~connection_lease() { release(); }
        void release() noexcept {
            if (!is_empty()) pool_->release(std::move(connection_), reusable_, why_);
        }
        session_base& session() const noexcept { return *connection_.session; }
        pool_base& pool() const noexcept { return *pool_; }
        struct upstream& upstream() const noexcept { return *connection_.at; }
        // Whether the connection has given a reply.
        bool is_proven() const noexcept { return connection_.is_proven; }
        time_point retires() const noexcept { return connection_.retires; }
        // The exchange ended in order: each message has had its whole reply.
        void mark_reusable(bool is = true) noexcept { reusable_ = is; }  // mutant: mark_reusable
        bool is_reusable() const noexcept { return reusable_; }
        // Sets the error of the exchange. The pool reports it to the address's breaker when the
        // lease ends, unless the caller caused it.
        void fail(error_code why) noexcept { why_ = why; }
        bool is_empty() const noexcept { return !connection_.session; }

    private:
        std::shared_ptr<pool_base> pool_;
        pool_connection connection_;
        bool reusable_ = false;
        error_code why_;
    };

    // The end of a lease whose caller has not called keep(): closes the connection or, if the
    // protocol `resets`, resets it first.
    static void end_lease(connection_lease, bool resets) noexcept;

protected:
    pool_base(std::shared_ptr<server_context>, pool_options);

    // Throws std::invalid_argument: a reply does not convert to the R of the pool's name.
    [[noreturn]] void throw_needs_logic() const;

    // One request, or one acquire(), from the call to its result, which it counts. It holds the
    // pool, as the server may end before the caller.
    struct ICE_API call {
        call(pool_base&, duration timeout);
        // Counts the reply.
        void succeeded() noexcept;
        // Counts the failure, and makes what the caller gets.
        std::shared_ptr<const failure> failed(error_code, std::size_t unparsed = 0);
        // The same for a request on a connection, to whose address it reports the error.
        std::shared_ptr<const failure> failed(error_code, connection_lease&);
        // The same for an error of the logic of replies: that of this caller alone, unless it says
        // that the reply is malformed.
        std::shared_ptr<const failure> refused(error_code, connection_lease&);

        std::shared_ptr<pool_base> pool;
        const struct upstream* at = nullptr;  // the address of the request, if it has one yet
        time_point begin, until;
        bool sent = false;  // a byte of the request may have been sent
    };

    // The result of wait_for_connection(): a connection for this caller alone, or a pipeline that
    // other callers use. Use `shared` without asking the pool again: its answer may differ as time
    // passes.
    struct acquired {
        acquired(connection_lease l) noexcept : own(std::move(l)) {}
        explicit acquired(pipeline& p) noexcept : own(nullptr, {}), shared(&p) {}

        connection_lease own;        // empty if there is a `shared`
        pipeline* shared = nullptr;  // valid until the caller waits
    };

    // An idle connection if there is one and no caller waits; otherwise an empty lease.
    connection_lease try_acquire();
    // Returns a connection that has no input at this moment: an idle one, or the next that is
    // released. Callers get them in the order of their calls; each waits until `until`, at most for
    // pool_timeouts::acquire. A caller that `shares` may get a pipeline with room instead.
    task<result<acquired>> wait_for_connection(time_point until, bool shares = false);

    bool is_pipelined() const noexcept { return limits_.pipeline > 1; }
    // Called before a request is repeated or refused: a caller that repeats it in a loop must not
    // hold the thread.
    task<> let_others_run() { return net_->yield(); }
    // For a request of which no byte was sent. Lets others run. Then returns no error if the
    // request may be repeated, or errc::not_sent if its time is over, the pool ends or
    // pool_limits::retries is reached.
    task<error_code> prepare_retry(time_point until);

    // What a pool<P, R> adds: a session of its protocol, its handshake, and its health check.
    virtual std::unique_ptr<session_base> make_session(std::unique_ptr<channel>) = 0;
    virtual task<error_code> shake_hands(session_base&) = 0;
    virtual task<error_code> ask_for_health(session_base&) = 0;
    virtual task<error_code> reset(session_base&) = 0;

    // After a request on a shared connection: if its outbox is full, wakes the callers that wait
    // for room when the bytes are sent.
    void watch_outbox(session_base&);

    time_point now() const { return net_->now(); }
    const pool_timeouts& timeouts() const noexcept { return timeouts_; }
    const std::shared_ptr<server_context>& context() const noexcept { return context_; }
    transport& net() const noexcept { return *net_; }
    session_settings settings_;

private:
    friend class server;
    friend class pipeline;
    friend struct upstream;
    struct waiter;

    // -- connecting: lib/actions/pool_base_connect.cpp
    // What add() of the server calls: warns of too few descriptors, and preconnects.
    void start();
    void open_first() { open_more(std::max(limits_.preconnect, limits_.min_connections)); }
    // Replaces connections up to pool_limits::min_connections.
    void keep_open();
    void open_more(std::size_t wanted);
    void try_again(struct upstream&);
    bool connect_while_down();
    bool connect_to(struct upstream&, time_point now);
    static task<> open_one(std::pair<std::shared_ptr<pool_base>, pool_connection>);
    task<error_code> connect_and_shake_hands(pool_connection&);
    // An attempt has succeeded: assigns the connection, or closes it if the pool has no room.
    void opened(pool_connection);
    duration age_of_one();
    bool evict_for_rebalance();
    void open_failed(struct upstream&, error_code);
    // A request to the address has had its reply. Returns whether that closed its breaker.
    bool succeeded(struct upstream&);
    // A request on the connection has failed. Only errors that the upstream causes count.
    void failed(pool_connection&, error_code);
    bool should_rebalance(const pool_connection&) const noexcept;
    struct upstream* needs_trial(const pool_connection&, time_point now) noexcept;
    void watch_breakers();
    // Whether no caller will need a connection any more.
    bool is_over() const noexcept { return stopped_ || (draining_ && waiters_.empty()); }
    bool is_empty() const noexcept { return busy_.empty() && waiters_.empty(); }
    void one_ended() noexcept;
    bool is_down() const noexcept { return idle_.empty() && upstreams_.are_down(); }

    // -- assigning: lib/actions/pool_base.cpp
    // The end of a lease: decides by may_return() whether the pool keeps the connection.
    void release(pool_connection, bool reusable, error_code why) noexcept;
    // A clean connection: closes it if it is too old or another address needs its room.
    void returned(pool_connection);
    // Gives the connection to the first caller in the queue, or makes it idle.
    void assign(pool_connection);
    // When an idle connection expires, and when its next health check is due.
    time_point end_of(const pool_connection&) const noexcept;
    time_point check_of(const pool_connection&) const noexcept;
    void check_one_idle(time_point now);
    static task<> check(connection_lease);
    std::size_t open() const noexcept { return idle_.size() + busy_.size() + connecting_; }
    pool_connection mark_leased(pool_connection);
    // An idle connection without input, or one without a session if there is none.
    pool_connection acquire_idle();
    error_code why_refused();
    bool may_retry(time_point until) noexcept;
    // Waits in the queue, at its front if `first`, until assign(), a pipeline or an error.
    task<result<acquired>> wait_for_one(time_point until, bool first, bool shares);
    // The pipeline with the fewest requests of those with room for one more; null if there is none.
    pipeline* pipeline_with_room() const noexcept;  // mutant: pipeline_with_room
    static task<> reset_and_release(connection_lease);
    void wake_sharer();
    static task<> wake_if_sent(std::shared_ptr<pool_base>, session_base&);
    void fail_waiters(error_code);
    void fail_if_down();
    void expire_idle();
    void count(const failure&, duration took) noexcept;
    // In a catch block: writes to the log what the user's code `what` has thrown.
    void log_thrown_by(std::string_view what, std::string_view where = {});

    std::shared_ptr<server_context> context_;
    std::shared_ptr<transport> net_;  // the server's, or that of the action
    std::string name_;
    std::size_t size_;
    pool_limits limits_;
    pool_timeouts timeouts_;
    duration check_every_;
    upstreams upstreams_;

    std::vector<pool_connection> idle_;   // in the order in which they came back
    std::vector<session_base*> busy_;     // leased, pipelines and health checks included
    std::vector<session_base*> opening_;  // in their handshake
    std::list<waiter*> waiters_;          // the pool serves the front first
    std::vector<pipeline*> pipelines_;    // parts of busy_ that accept requests of other callers
    std::size_t connecting_ = 0;          // connections that are being made
    std::uint64_t leases_ = 0;            // leases so far: the clock of upstream::last_leased
    pool_counters counters_;

    bool draining_ = false, stopped_ = false, checking_ = false;
    std::function<void()> when_empty_;  // the server's: called when a drain has ended
    time_point keep_again_{};           // when connections that expired may be replaced
    deadline expiry_;                   // when the next idle connection ends or is to be checked
};

}  // namespace ice
