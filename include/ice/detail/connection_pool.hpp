// connection_pool: the owner of a pool_core, for connections of any kind. It reports to the core
// what callers and connections do, and carries out its actions. pool_base derives from it for
// sessions, resource_pool for connections that other libraries make.
#pragma once

#include <cassert>
#include <functional>
#include <ice/action.hpp>
#include <ice/detail/export.hpp>
#include <ice/detail/pool_core.hpp>
#include <ice/detail/server_context.hpp>
#include <ice/detail/task_group.hpp>
#include <ice/detail/upstream.hpp>
#include <ice/event.hpp>
#include <ice/failure.hpp>
#include <ice/pool_state.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace ice {

// All calls are for the loop's thread. Callers and connections hold the pool by shared_ptr, as the
// server may end before them.
class ICE_API connection_pool : public std::enable_shared_from_this<connection_pool> {
public:
    virtual ~connection_pool();
    connection_pool(const connection_pool&) = delete;
    connection_pool& operator=(const connection_pool&) = delete;

    const std::string& name() const noexcept { return name_; }
    // Events since the pool was added. The reference is valid as long as the pool.
    const pool_counters& counters() const noexcept { return core_.counters(); }

    // The connections that the pool may have open, as the action says.
    std::size_t size() const noexcept { return core_.settings().size; }
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
    // calls it, and server::drain() when half of its grace period has passed. Only a pool of
    // sessions can: leases of other connections end with their callers.
    virtual void drain_idle_leases() {}

    // Closes all connections. Callers get errc::stopped, through the loop.
    void stop();

    // A connection that one caller has. The destructor gives it back to the pool, which keeps it
    // only after mark_reusable() and if ended() agrees. Without a connection it is empty; then only
    // is_empty(), release() and assignment are allowed.
    class connection_lease {
    public:
        connection_lease() noexcept = default;
        connection_lease(std::shared_ptr<connection_pool> from, pool_connection& c) noexcept
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
        pool_connection& give_up() noexcept { return *std::exchange(connection_, nullptr); }
        pool_connection& connection() const noexcept {
            assert(!is_empty());
            return *connection_;
        }
        connection_pool& pool() const noexcept { return *pool_; }
        const std::shared_ptr<struct upstream>& upstream() const noexcept {
            return connection_->at;
        }
        // The exchange ended in order: each message has had its whole reply.
        void mark_reusable(bool is = true) noexcept { reusable_ = is; }
        bool is_reusable() const noexcept { return reusable_; }
        // Sets the error of the exchange. The pool reports it to the address's breaker when the
        // lease ends, unless the caller caused it.
        void fail(error_code why) noexcept { why_ = why; }
        bool is_empty() const noexcept { return connection_ == nullptr; }

    private:
        std::shared_ptr<connection_pool> pool_;
        pool_connection* connection_ = nullptr;
        bool reusable_ = false;
        error_code why_;
    };

protected:
    // `make` makes a connection of the kind of this pool. `opens` is the user's code in open(), as
    // the log names it: "handshake".
    connection_pool(std::shared_ptr<server_context>, pool_options, pool_core::factory make,
                    std::string_view opens);

    // Throws std::invalid_argument: "pool 'db': it needs <what>".
    [[noreturn]] void throw_needs(std::string_view what) const;

    // One request, or one acquire(), from the call to its result, which it counts. If it ends
    // without one (the protocol or the logic throws, or Asio does as the caller is cancelled), it
    // counts a failure. It holds the pool, as the server may end before the caller.
    struct ICE_API call {
        call(connection_pool& p, duration timeout) : call(p, timeout, p.now()) {}
        call(connection_pool&, duration timeout, time_point now);
        // Goes on with a request that `begun` was for, and that is not to be counted twice.
        call(connection_pool&, call& begun) noexcept;
        ~call();
        // Begins another request, for the caller that keeps this object. Requires: is_over().
        void again(duration timeout, time_point now) noexcept;
        // Whether it is counted. Afterwards it only holds the pool.
        bool is_over() const noexcept { return is_over_; }
        call(const call&) = delete;
        call& operator=(const call&) = delete;
        // Counts the reply, which was there at that instant.
        void succeeded(time_point) noexcept;
        // Counts the failure, and makes what the caller gets.
        std::shared_ptr<const failure> failed(error_code, std::size_t unparsed = 0);
        // The caller has a lease, whose end is counted, if at all, by others.
        void leased() noexcept { is_over_ = true; }

        std::shared_ptr<connection_pool> pool;
        // The address of the request, if it has one yet.
        std::shared_ptr<const struct upstream> at;
        time_point begin, until;
        bool sent = false;  // a byte of the request may have been sent

    private:
        void over(time_point end) noexcept;  // adds the time that it took

        bool is_over_ = false;
    };
    static bool is_cancelled(const asio::cancellation_state& s) noexcept {
        return s.cancelled() != asio::cancellation_type::none;
    }

    // The result of wait_for_connection(): a connection for this caller alone, or one that other
    // callers use. Use `shared` without asking the pool again: its answer may differ as time
    // passes.
    struct acquired {
        acquired(connection_lease l) noexcept : own(std::move(l)) {}
        explicit acquired(pool_connection& c) noexcept : shared(&c) {}

        bool is_empty() const noexcept { return shared == nullptr && own.is_empty(); }

        connection_lease own;               // empty if there is a `shared`
        pool_connection* shared = nullptr;  // valid until the caller waits
    };

    // A clean idle connection if there is one; otherwise an empty lease.
    connection_lease try_acquire(time_point now);
    // The same, or a shared connection with room; may be empty.
    acquired try_share(time_point now);
    // Returns a connection that is clean at this moment: an idle one, or the next that is released.
    // Callers get them in the order of their calls; each waits until `until`, at most for
    // pool_timeouts::acquire. A caller that `shares` may get a shared connection with room instead.
    task<result<acquired>> wait_for_connection(time_point until, bool shares = false);
    // Called for a caller that has the connection for several messages.
    void keep(connection_lease&) noexcept;
    // Called before a request is repeated or refused: a caller that repeats it in a loop must not
    // hold the thread.
    task<> let_others_run() { return net_->yield(); }

    // What a kind of connection adds.
    // Makes the connection to c.at->where ready for callers, within the pool's timeouts. The pool
    // cancels it in stop(). If it throws, the attempt has failed.
    virtual task<error_code> open(pool_connection& c) = 0;
    // Runs the health check of a clean connection, for at most pool_timeouts::check.
    virtual task<error_code> check_health(pool_connection&) = 0;
    // Whether a connection that no caller uses has no input and was not closed. Never waits.
    virtual bool is_clean(pool_connection&) noexcept = 0;
    // Whether bytes of a shared connection that was full have been sent since.
    virtual bool has_room(pool_connection&) noexcept = 0;
    // Ends what callers wait for on the connection.
    virtual void cancel(pool_connection&) noexcept = 0;
    // A lease has ended, with the error `why`: whether the next caller may use the connection. If
    // it may, prepares it for that caller.
    virtual pool_core::outcome ended(pool_connection&, bool reusable, error_code why) noexcept = 0;
    // Ends what a lease has left on the connection, for at most pool_timeouts::handshake.
    virtual task<error_code> reset(pool_connection&) = 0;

    // Gives the connection back after a reset(), which begins when the caller has returned to the
    // loop, and is cancelled in stop(). Without an error, ended() decides.
    static void reset_later(connection_lease) noexcept;

    time_point now() const { return net_->now(); }
    const pool_timeouts& timeouts() const noexcept { return core_.settings().timeouts; }
    const std::shared_ptr<server_context>& context() const noexcept { return context_; }
    transport& net() const noexcept { return *net_; }
    pool_core& core() noexcept { return core_; }
    const pool_core& core() const noexcept { return core_; }
    // Carries out what the core wants after an event.
    void carry_out() noexcept {
        if (core_.needs_owner() || core_.due() < tick_.at()) carry_out_all();
        if (core_.is_draining()) one_ended();
    }
    // In a catch block: writes to the log what the user's code `what` has thrown, unless memory has
    // run out.
    void log_thrown_by(std::string_view what, const upstream* at = nullptr) noexcept;
    // The error of open() for what the user's code has returned: callers may go on elsewhere, and
    // have `ec` as failure::cause().
    static error_code not_opened(pool_connection&, error_code ec) noexcept;
    // cancel_at() after that time.
    task<bool> within(duration, task<> work);
    // A call with a timeout of 0 or less. It lets other handlers run first, as a loop of such calls
    // must not hold the thread.
    template <class T>
    task<pool_result<T>> refuse_late() {
        call mine(*this, duration::zero());
        co_await let_others_run();
        co_return mine.failed(errc::acquire_timeout);
    }
    // Counts what ended without a reply.
    void count(error_code, failure_kind, bool may_have_been_executed) noexcept;

private:
    friend class server;
    struct waiter;
    struct attempt;

    // What add() of the server calls: warns of too few descriptors, and preconnects.
    void start();
    void carry_out_all() noexcept;
    void carry_out_one(pool_action&, pool_action::kinds) noexcept;
    void write(const pool_event&) noexcept;
    void one_ended() noexcept;
    bool is_empty() const noexcept { return core_.is_empty(); }
    static task<> open_one(attempt);
    static task<> look_up(std::shared_ptr<connection_pool>, upstream_name&);
    static task<> check(connection_lease);
    static task<> reset_and_release(connection_lease);
    // The end of a lease.
    void release(pool_connection&, bool reusable, error_code why) noexcept;
    // pool_core::share(), for outboxes as they are at this moment.
    pool_connection* share(pool_caller*, time_point now) noexcept;

    std::shared_ptr<server_context> context_;
    std::shared_ptr<transport> net_;  // the server's, or that of the action
    std::string name_;
    std::string_view opens_;
    pool_core core_;
    task_group attempts_;               // to connect, lookups, and resets
    std::function<void()> when_empty_;  // the server's: called when a drain has ended
    deadline tick_;                     // pool_core::due()
};

}  // namespace ice
