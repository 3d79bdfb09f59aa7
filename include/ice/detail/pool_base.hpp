// pool_base: the part of a pool of sessions that does not depend on their protocol, compiled once.
// It reuses only connections that are proven clean.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstdint>
#include <ice/detail/connection_pool.hpp>
#include <ice/detail/exchange_state.hpp>
#include <ice/session.hpp>
#include <memory>
#include <vector>

namespace ice {

class pipeline;
class pending_request;

// The requests of a connection that have no reply, in their order. It keeps its memory.
class requests_in_order {
public:
    struct request {
        pending_request* caller;  // null: the caller has left
        std::uint64_t begin;      // the bytes that were sent on the connection before its first one
        time_point due;
    };

    bool empty() const noexcept { return first_ == all_.size(); }
    std::size_t size() const noexcept { return all_.size() - first_; }
    // Requires: !empty().
    const request& front() const noexcept {
        assert(!empty());
        return all_[first_];
    }
    request& operator[](std::size_t i) noexcept { return all_[first_ + i]; }
    void push_back(const request& r) {
        // Those that are over make room, at most half of the time that they took to get there.
        if (first_ > all_.size() / 2) {
            all_.erase(all_.begin(), all_.begin() + static_cast<std::ptrdiff_t>(first_));
            first_ = 0;
        }
        all_.push_back(r);
    }
    // Requires: !empty().
    void pop_front() noexcept {
        if (++first_ != all_.size()) return;
        clear();
    }
    void clear() noexcept {
        all_.clear();
        first_ = 0;
    }

private:
    std::vector<request> all_;
    std::size_t first_ = 0;
};

// A connection of a pool of sessions.
struct session_connection final : pool_connection {
    std::unique_ptr<session_base> session;  // null before it is connected
    pipeline* line = nullptr;               // while callers share it
    requests_in_order asked;                // of the pipeline
};

class ICE_API pool_base : public connection_pool {
public:
    void drain_idle_leases() override;

    // The same for a session.
    class connection_lease : public connection_pool::connection_lease {
    public:
        connection_lease() noexcept = default;
        explicit connection_lease(connection_pool::connection_lease l) noexcept
            : connection_pool::connection_lease(std::move(l)) {}
        session_connection& connection() const noexcept {
            return static_cast<session_connection&>(
                connection_pool::connection_lease::connection());
        }
        session_base& session() const noexcept { return *connection().session; }
        pool_base& pool() const noexcept {
            return static_cast<pool_base&>(connection_pool::connection_lease::pool());
        }
    };

    // The end of a lease whose caller has not called keep(): closes the connection or, if the
    // protocol `resets`, resets it first.
    static void end_lease(connection_lease, bool resets) noexcept;

protected:
    pool_base(std::shared_ptr<server_context>, pool_options);

    struct ICE_API call : connection_pool::call {
        using connection_pool::call::call;
        using connection_pool::call::failed;
        // The same for a request on a connection, to whose address it reports the error.
        std::shared_ptr<const failure> failed(error_code, connection_lease&);
        // The same for an error of the logic of replies: that of this caller alone, unless it says
        // that the reply is malformed.
        std::shared_ptr<const failure> refused(error_code, connection_lease&);
    };

    connection_lease try_acquire(time_point now) {
        return connection_lease(connection_pool::try_acquire(now));
    }
    // The pipeline of a connection that wait_for_connection() has given as `shared`.
    static pipeline& line_of(pool_connection& c) noexcept {
        return *static_cast<session_connection&>(c).line;
    }
    bool is_pipelined() const noexcept { return core().settings().limits.pipeline > 1; }
    // For a request of which no byte was sent. Lets others run. Then returns no error if the
    // request may be repeated, or errc::not_sent if its time is over, the pool ends or
    // pool_limits::retries is reached.
    task<error_code> prepare_retry(time_point until);
    // The outbox of a shared connection is full: wakes the callers that wait for room when bytes
    // are sent.
    void watch_outbox(pipeline&);

    // What a pool<P, R> adds: a session of its protocol, its handshake, and its health check.
    virtual std::unique_ptr<session_base> make_session(std::unique_ptr<channel>) = 0;
    virtual task<error_code> shake_hands(session_base&) = 0;
    virtual task<error_code> ask_for_health(session_base&) = 0;
    virtual task<error_code> reset_session(session_base&) = 0;

    session_settings settings_;

private:
    friend class pipeline;

    task<error_code> open(pool_connection&) override;
    task<error_code> check_health(pool_connection&) override;
    bool is_clean(pool_connection&) noexcept override;
    bool has_room(pool_connection&) noexcept override;
    void cancel(pool_connection&) noexcept override;
    pool_core::outcome ended(pool_connection&, bool reusable, error_code) noexcept override;
    task<error_code> reset(pool_connection&) override;

    static task<> wake_if_sent(std::shared_ptr<pool_base>, session_connection&);
    std::shared_ptr<pool_base> self() {
        return std::static_pointer_cast<pool_base>(shared_from_this());
    }
};

}  // namespace ice
