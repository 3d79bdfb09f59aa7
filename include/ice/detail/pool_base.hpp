// pool_base: the part of a pool that does not depend on its protocol, compiled once in
// lib/actions/pool_base.cpp and pool_base_connect.cpp. It assigns connections to callers in the
// order of their calls, and reuses only connections that are proven clean.
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
#include <vector>

namespace ice {

class pipeline;

class ICE_API pool_base : public std::enable_shared_from_this<pool_base> {
public:
    virtual ~pool_base();
    pool_base(const pool_base&) = delete;
    pool_base& operator=(const pool_base&) = delete;

    const std::string& name() const noexcept { return name_; }
    const pool_counters& counters() const noexcept { return counters_; }

    std::size_t size() const noexcept { return size_; }  // as given
    std::size_t idle() const noexcept { return idle_.size(); }
    std::size_t busy() const noexcept { return busy_.size(); }
    std::size_t waiting() const noexcept { return waiters_.size(); }
    // Its addresses, with what is known of each.
    const upstreams& addresses() const noexcept { return upstreams_; }

    // How it stands at this moment; and the same in one line, for people.
    pool_state state() const;
    std::string report() const { return to_string(state()); }

    // Takes no more requests: they get errc::draining. Those that it has taken end as they would
    // have, but are not sent again; then no connection is left. A server's drain() does it to all
    // its pools when its listeners have no more connections.
    void drain();

    // A lease that only waits for messages (each that was sent on it has had its reply) would hold
    // a drain for ever: its receive() gives errc::draining. drain() does this, and a server's
    // drain() when half of its grace period is over.
    void drain_idle_leases() {
        for (session_base* s : busy_) s->drain_when_idle();
    }

    // Ends everything: callers get errc::stopped.
    void stop();

    // A connection that one caller has; the destructor releases it to the pool, which keeps it or
    // closes it.
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
        time_point retires() const noexcept { return connection_.retires; }
        void mark_reusable() noexcept { reusable_ = true; }  // mutant: mark_reusable
        // What has gone wrong, as far as that is the upstream's doing: it is held against it.
        void fail(error_code why) noexcept { why_ = why; }
        bool is_empty() const noexcept { return !connection_.session; }

    private:
        std::shared_ptr<pool_base> pool_;
        pool_connection connection_;
        bool reusable_ = false;
        error_code why_;
    };

protected:
    pool_base(std::shared_ptr<server_context>, pool_options);

    // Throws std::invalid_argument: the replies are not of the type that the pool's name promises.
    [[noreturn]] void throw_needs_logic() const;

    // A request or a talk from its beginning to its end, which it counts. Holds the pool, as the
    // server may end before the caller.
    struct ICE_API call {
        call(pool_base&, duration timeout);
        void succeeded() noexcept;
        std::shared_ptr<const failure> failed(error_code, std::size_t unparsed = 0);
        // The same of a request on a connection.
        std::shared_ptr<const failure> failed(error_code, connection_lease&);

        std::shared_ptr<pool_base> pool;
        const struct upstream* at = nullptr;  // that was asked
        time_point begin, until;
        bool sent = false;  // some of it, perhaps
    };

    // The result of wait_for_connection(): a connection for this caller alone, or a pipeline that
    // other callers use. The caller does not look again: the answer may change as time passes.
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
    // Before a request is tried again or refused: a caller that asks again at once must not hold
    // the thread.
    task<> let_others_run() { return context_->net->yield(); }
    // Of a request of which nothing was sent: lets others run, and then says why it is not tried
    // again (errc::not_sent: pool_limits::retries, or its time is over), if it is not.
    task<error_code> prepare_retry(time_point until);

    virtual std::unique_ptr<session_base> make_session(std::unique_ptr<channel>) = 0;
    virtual task<error_code> shake_hands(session_base&) = 0;
    virtual task<error_code> ask_for_health(session_base&) = 0;

    time_point now() const { return context_->net->now(); }
    const pool_timeouts& timeouts() const noexcept { return timeouts_; }
    const std::shared_ptr<server_context>& context() const noexcept { return context_; }
    session_settings settings_;

private:
    friend class server;
    friend class pipeline;
    friend struct upstream;
    struct waiter;

    // -- connecting: lib/actions/pool_base_connect.cpp
    void start();
    void open_first() { open_more(std::max(limits_.preconnect, limits_.min_connections)); }
    void keep_open();
    void open_more(std::size_t wanted);
    void try_again(struct upstream&);
    bool connect_while_down();
    bool connect_to(struct upstream&, time_point now);
    static task<> open_one(std::pair<std::shared_ptr<pool_base>, pool_connection>);
    task<error_code> connect_and_shake_hands(pool_connection&);
    void opened(pool_connection);
    duration age_of_one();
    bool evict_for_rebalance();
    void open_failed(struct upstream&, error_code);
    bool succeeded(struct upstream&);
    void failed(pool_connection&, error_code);
    bool should_rebalance(const pool_connection&) const noexcept;
    struct upstream* needs_trial(const pool_connection&, time_point now) noexcept;
    void watch_breakers();
    // Nobody will ask for a connection any more.
    bool is_over() const noexcept { return stopped_ || (draining_ && waiters_.empty()); }
    bool is_empty() const noexcept { return busy_.empty() && waiters_.empty(); }
    void one_ended() noexcept;
    bool is_down() const noexcept { return idle_.empty() && upstreams_.are_down(); }

    // -- lending: lib/actions/pool_base.cpp
    void release(pool_connection, bool reusable, error_code why) noexcept;
    void returned(pool_connection);
    void assign(pool_connection);
    time_point end_of(const pool_connection&) const noexcept;
    time_point check_of(const pool_connection&) const noexcept;
    void check_one_idle(time_point now);
    static task<> check(connection_lease);
    std::size_t open() const noexcept { return idle_.size() + busy_.size() + connecting_; }
    pool_connection mark_leased(pool_connection);
    pool_connection acquire_idle();
    error_code why_refused();
    bool may_retry(time_point until) noexcept;
    task<result<acquired>> wait_for_one(time_point until, bool first, bool shares);
    // The connection with room for one more request that has the fewest; null if there is none.
    pipeline* pipeline_with_room() const noexcept;  // mutant: pipeline_with_room
    void wake_sharer();
    void fail_waiters(error_code);
    void fail_if_down();
    void expire_idle();
    void count(const failure&, duration took) noexcept;

    std::shared_ptr<server_context> context_;
    std::string name_;
    std::size_t size_;
    pool_limits limits_;
    pool_timeouts timeouts_;
    duration check_every_;
    upstreams upstreams_;

    std::vector<pool_connection> idle_;  // the last returned is leased first
    std::vector<session_base*> busy_;
    std::vector<session_base*> opening_;  // in their handshake
    std::list<waiter*> waiters_;          // the front is served first
    std::vector<pipeline*> pipelines_;    // busy, for callers that share them
    std::size_t connecting_ = 0;
    std::uint64_t leases_ = 0;
    pool_counters counters_;

    bool draining_ = false, stopped_ = false, checking_ = false;
    std::function<void()> when_empty_;  // of a drain; the server's
    time_point keep_again_{};           // when those that have expired may be replaced
    deadline expiry_;  // of the idle connection that ends, or is asked for its health, first
};

}  // namespace ice
