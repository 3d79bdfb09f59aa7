// pool_base: the part of a pool of sessions that does not depend on their protocol, compiled once.
// It reports to pool_core what happens, and carries out what that decides. It reuses only
// connections that are proven clean.
#pragma once

#include <functional>
#include <ice/action.hpp>
#include <ice/detail/exchange_state.hpp>
#include <ice/detail/export.hpp>
#include <ice/detail/pool_core.hpp>
#include <ice/detail/server_context.hpp>
#include <ice/detail/task_group.hpp>
#include <ice/detail/upstream.hpp>
#include <ice/event.hpp>
#include <ice/failure.hpp>
#include <ice/pool_state.hpp>
#include <ice/session.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ice {

class pipeline;

// A connection of a pool of sessions.
struct session_connection final : pool_connection {
    std::unique_ptr<session_base> session;  // null before it is connected
    pipeline* line = nullptr;               // while callers share it
};

// All calls are for the loop's thread. Callers and connections hold the pool by shared_ptr, as the
// server may end before them.
class ICE_API pool_base : public std::enable_shared_from_this<pool_base> {
public:
    virtual ~pool_base();
    pool_base(const pool_base&) = delete;
    pool_base& operator=(const pool_base&) = delete;

    const std::string& name() const noexcept { return name_; }
    // Events since the pool was added. The reference is valid as long as the pool.
    const pool_counters& counters() const noexcept { return core_.counters(); }

    // The connections that the pool may have open, as the action says.
    std::size_t size() const noexcept { return size_; }
    // See pool_state for these three.
    std::size_t idle() const noexcept { return core_.idle(); }
    std::size_t busy() const noexcept { return core_.busy(); }
    std::size_t waiting() const noexcept { return core_.waiting(); }
    // The addresses with their states, valid as long as the pool.
    const upstreams& addresses() const noexcept { return core_.upstreams(); }

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
    void drain_idle_leases();

    // Closes all connections. Callers get errc::stopped, through the loop.
    void stop();

    // A connection that one caller has. The destructor gives it back to the pool, which keeps it
    // only after mark_reusable() and if may_return() (exchange_state.hpp) agrees. Without a
    // connection it is empty; then only is_empty(), release() and assignment are allowed.
    class connection_lease {
    public:
        connection_lease() noexcept = default;
        connection_lease(std::shared_ptr<pool_base> from, session_connection& c) noexcept
            : pool_(std::move(from)), connection_(&c) {}
        connection_lease(connection_lease&& other) noexcept
            : pool_(std::move(other.pool_)), connection_(std::exchange(other.connection_, nullptr)),
              reusable_(other.reusable_), why_(other.why_) {}
        connection_lease& operator=(connection_lease&& other) noexcept {
            release();
            pool_ = std::move(other.pool_);
            connection_ = std::exchange(other.connection_, nullptr);
            reusable_ = other.reusable_;
            why_ = other.why_;
            return *this;
        }
        ~connection_lease() { release(); }
        void release() noexcept {
            if (!is_empty()) pool_->release(*std::exchange(connection_, nullptr), reusable_, why_);
        }
        // Without giving the connection back: the caller reports to the core what became of it.
        session_connection& give_up() noexcept { return *std::exchange(connection_, nullptr); }
        session_base& session() const noexcept { return *connection_->session; }
        session_connection& connection() const noexcept { return *connection_; }
        pool_base& pool() const noexcept { return *pool_; }
        const std::shared_ptr<struct upstream>& upstream() const noexcept {
            return connection_->at;
        }
        // The exchange ended in order: each message has had its whole reply.
        void mark_reusable(bool is = true) noexcept { reusable_ = is; }  // mutant: mark_reusable
        bool is_reusable() const noexcept { return reusable_; }
        // Sets the error of the exchange. The pool reports it to the address's breaker when the
        // lease ends, unless the caller caused it.
        void fail(error_code why) noexcept { why_ = why; }
        bool is_empty() const noexcept { return connection_ == nullptr; }

    private:
        std::shared_ptr<pool_base> pool_;
        session_connection* connection_ = nullptr;
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
        // The address of the request, if it has one yet.
        std::shared_ptr<const struct upstream> at;
        time_point begin, until;
        bool sent = false;  // a byte of the request may have been sent
    };

    // The result of wait_for_connection(): a connection for this caller alone, or a pipeline that
    // other callers use. Use `shared` without asking the pool again: its answer may differ as time
    // passes.
    struct acquired {
        acquired(connection_lease l) noexcept : own(std::move(l)) {}
        explicit acquired(pipeline& p) noexcept : shared(&p) {}

        connection_lease own;        // empty if there is a `shared`
        pipeline* shared = nullptr;  // valid until the caller waits
    };

    // An idle connection without input if there is one; otherwise an empty lease.
    connection_lease try_acquire();
    // Returns a connection that has no input at this moment: an idle one, or the next that is
    // released. Callers get them in the order of their calls; each waits until `until`, at most for
    // pool_timeouts::acquire. A caller that `shares` may get a pipeline with room instead.
    task<result<acquired>> wait_for_connection(time_point until, bool shares = false);

    bool is_pipelined() const noexcept { return core_.settings().limits.pipeline > 1; }
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
    void watch_outbox(pipeline&);

    time_point now() const { return net_->now(); }
    const pool_timeouts& timeouts() const noexcept { return core_.settings().timeouts; }
    const std::shared_ptr<server_context>& context() const noexcept { return context_; }
    transport& net() const noexcept { return *net_; }
    session_settings settings_;

private:
    friend class server;
    friend class pipeline;
    struct waiter;

    // What add() of the server calls: warns of too few descriptors, and preconnects.
    void start();
    // Carries out what the core wants after an event.
    void carry_out() noexcept {
        if (core_.needs_owner() || core_.due() < tick_.at()) carry_out_all();
        if (core_.is_draining()) one_ended();
    }
    void carry_out_all() noexcept;
    void carry_out_one(pool_action&, pool_action::kinds) noexcept;
    void write(const pool_event&) noexcept;
    void one_ended() noexcept;
    bool is_empty() const noexcept { return core_.is_empty(); }

    // -- lib/pool/pool_base_connect.cpp
    static task<> open_one(std::shared_ptr<pool_base>, session_connection&);
    task<error_code> connect_and_shake_hands(session_connection&);
    static task<> look_up(std::shared_ptr<pool_base>, upstream_name&);
    static task<> check(connection_lease);
    static task<> reset_and_release(connection_lease);
    static task<> wake_if_sent(std::shared_ptr<pool_base>, session_connection&);

    // The end of a lease: decides by may_return() whether the pool keeps the connection.
    void release(session_connection&, bool reusable, error_code why) noexcept;
    static pipeline& line_of(pool_connection& c) noexcept {
        return *static_cast<session_connection&>(c).line;
    }
    // pool_core::share(), for outboxes as they are at this moment.
    pool_connection* share(const pool_caller*, time_point now) noexcept;
    // An idle connection without input; null if there is none.
    session_connection* take_idle() noexcept;
    void count(const failure&, duration took) noexcept;
    // In a catch block: writes to the log what the user's code `what` has thrown.
    void log_thrown_by(std::string_view what, std::string_view where = {});

    std::shared_ptr<server_context> context_;
    std::shared_ptr<transport> net_;  // the server's, or that of the action
    std::string name_;
    std::size_t size_;
    pool_core core_;
    task_group attempts_;               // to connect, and lookups
    std::function<void()> when_empty_;  // the server's: called when a drain has ended
    deadline tick_;                     // pool_core::due()
};

}  // namespace ice
