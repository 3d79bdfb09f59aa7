// pool_base: what of a pool does not depend on its protocol; compiled once, in
// lib/actions/pool.cpp. Lends connections, first come first served, and takes back only those that
// are proven clean.
#pragma once

#include <algorithm>
#include <ice/action.hpp>
#include <ice/environment.hpp>
#include <ice/event.hpp>
#include <ice/export.hpp>
#include <ice/failure.hpp>
#include <ice/pool_state.hpp>
#include <ice/session.hpp>
#include <ice/upstream_health.hpp>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace ice {

class pipeline;

// All that is known of a connection that was lent.
struct exchange_state {
    std::uint32_t asked = 0;    // messages sent
    std::uint32_t replied = 0;  // messages received
    std::size_t unsent = 0;     // bytes that the kernel has not taken
    std::size_t residual = 0;   // bytes received and belonging to no reply
    bool failed = false;        // any error, timeout or cancellation
    bool settled = false;       // the borrower came to a regular end (no exception, not destroyed)
};

// The one decision that keeps replies with their requesters: only positive proof returns a
// connection.
constexpr bool may_return(const exchange_state& e) noexcept {
    return e.settled && !e.failed && e.asked == e.replied && e.unsent == 0 && e.residual == 0;
}

class ICE_API pool_base : public std::enable_shared_from_this<pool_base> {
public:
    virtual ~pool_base();
    pool_base(const pool_base&) = delete;
    pool_base& operator=(const pool_base&) = delete;

    const std::string& name() const noexcept { return name_; }
    const address& upstream() const noexcept { return upstream_; }
    const pool_counters& counters() const noexcept { return counters_; }

    std::size_t size() const noexcept { return size_; }  // as given
    std::size_t idle() const noexcept { return idle_.size(); }
    std::size_t busy() const noexcept { return busy_.size(); }
    std::size_t waiting() const noexcept { return waiters_.size(); }

    // How it stands at this moment; and the same in one line, for people.
    pool_state state() const;
    std::string report() const { return to_string(state()); }

    // Ends everything: callers get errc::stopped.
    void stop();

    // A connection on loan; its destructor gives it back, to be judged.
    class loan {
    public:
        loan(std::shared_ptr<pool_base> from, std::unique_ptr<session_base> s) noexcept
            : pool_(std::move(from)), session_(std::move(s)) {}
        loan(loan&&) noexcept = default;
        loan& operator=(loan other) noexcept {
            std::swap(pool_, other.pool_);
            std::swap(session_, other.session_);
            std::swap(settled_, other.settled_);
            return *this;
        }
        ~loan() {
            if (session_) pool_->take_back(std::move(session_), settled_);
        }
        session_base& session() const noexcept { return *session_; }
        pool_base& pool() const noexcept { return *pool_; }
        void settle() noexcept { settled_ = true; }
        // There is none; of take(): but a place in shared_line().
        bool is_empty() const noexcept { return !session_; }

    private:
        std::shared_ptr<pool_base> pool_;
        std::unique_ptr<session_base> session_;
        bool settled_ = false;
    };

protected:
    struct options {
        std::string name;
        address upstream;
        std::size_t size;
        pool_limits limits;
        pool_timeouts timeouts;
        backoff_limits backoff;
    };
    pool_base(std::shared_ptr<environment>, options);

    // A request or a talk from its beginning to its end, which it counts. Holds the pool, as the
    // server may end before the caller.
    struct ICE_API call {
        call(pool_base&, duration timeout);
        void succeeded() noexcept;
        std::shared_ptr<const failure> failed(error_code);

        std::shared_ptr<pool_base> pool;
        time_point begin, until;
        bool sent = false;  // some of it, perhaps
    };

    // An idle connection, if there is one and nobody waits; else an empty loan.
    loan lend_at_once();
    // A connection that is quiet at this very moment: an idle one, or the next that comes free,
    // first come first served, waiting until `until` or pool_timeouts::wait. Who `shares` may
    // get an empty loan instead: then one of those that others use has room for a request.
    task<result<loan>> take(time_point until, bool shares = false);

    // The connection with room for one more request that has the fewest; null if there is none.
    pipeline* shared_line() const noexcept;
    bool is_pipelined() const noexcept { return limits_.pipeline > 1; }

    // Whether a request of which nothing was sent may be tried again: pool_limits::retries.
    bool may_retry(time_point until) noexcept;

    virtual std::unique_ptr<session_base> make_session(std::unique_ptr<channel>) = 0;
    virtual task<error_code> shake_hands(session_base&) = 0;

    time_point now() const { return env_->net->now(); }
    const pool_timeouts& timeouts() const noexcept { return timeouts_; }
    const std::shared_ptr<environment>& env() const noexcept { return env_; }

    session_settings settings_;

private:
    friend class server;
    friend class pipeline;
    struct waiter;
    struct idle_session {
        std::unique_ptr<session_base> session;
        time_point since;
        time_point retires;  // pool_timeouts::age
    };
    struct lent_session {
        session_base* session;
        time_point retires;
    };

    void start() { open_first(); }
    void open_first() { open_more(std::max(limits_.preconnect, limits_.keep)); }
    void keep_open();
    void open_more(std::size_t wanted);
    static task<> open_one(std::shared_ptr<pool_base>);
    task<error_code> connect_and_shake_hands(std::unique_ptr<session_base>&);
    void opened(std::unique_ptr<session_base>);
    void open_failed(error_code);
    void take_back(std::unique_ptr<session_base>, bool settled) noexcept;
    void returned(std::unique_ptr<session_base>, time_point retires);
    void hand_out(std::unique_ptr<session_base>, time_point retires);
    time_point end_of(const idle_session&) const noexcept;
    std::size_t open() const noexcept { return idle_.size() + busy_.size() + connecting_; }
    std::unique_ptr<session_base> lend_idle();
    task<result<loan>> wait_for_one(time_point until, bool first, bool shares);
    void wake_sharer();
    void fail_waiters(error_code);
    void expire_idle();
    bool is_down() const noexcept { return health_.is_failing() && idle_.empty() && busy_.empty(); }

    std::shared_ptr<environment> env_;
    std::string name_;
    address upstream_;
    std::size_t size_;
    pool_limits limits_;
    pool_timeouts timeouts_;
    upstream_health health_;

    std::vector<idle_session> idle_;  // the last returned is lent first
    std::vector<lent_session> busy_;
    std::vector<session_base*> opening_;  // in their handshake
    std::list<waiter*> waiters_;          // the front is served first
    std::vector<pipeline*> lines_;        // busy, for callers that share them
    std::size_t connecting_ = 0;
    pool_counters counters_;

    bool stopped_ = false;
    deadline retry_;   // the attempt that needs no caller
    deadline expiry_;  // of the idle connection that ends first
};

}  // namespace ice
