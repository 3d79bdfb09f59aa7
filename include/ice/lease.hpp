// lease: a connection of a pool that one caller has for several messages. pool::acquire() makes it.
#pragma once

#include <cassert>
#include <exception>
#include <ice/detail/pool_base.hpp>
#include <ice/session.hpp>
#include <utility>

namespace ice {

// A connection that one caller has for several messages, as transactions need it: lease->send(..),
// lease->receive(). While the lease lives the pool sends nothing else on the connection.
// What the caller has changed at the upstream, such as by MULTI or SELECT of Redis, must not reach
// the next caller. So at the end of the lease the pool closes the connection, unless
// * no message was sent or received,
// * the caller has called keep(), or
// * the protocol has `task<error_code> reset(session<P>&)`. The pool calls it after the lease, for
//   at most pool_timeouts::handshake, and uses the connection again if it returns no error.
// In each case the pool uses the connection again only if each message sent has had its reply and
// no byte is left. If an exception destroys the lease, it closes the connection. The pool must
// outlive the lease.
//     auto leased = co_await pool.acquire();
//     if (!leased) co_return leased.error();
//     auto& redis = **leased;  // a session: send() and receive() as often as needed
//     leased->keep();          // only GET and SET: the next caller sees no difference
template <protocol P>
class lease {
public:
    // Made by pool::acquire().
    explicit lease(pool_base::connection_lease l) noexcept : lease_(std::move(l)) {}
    // A lease that was moved from has no connection: only destroy it.
    lease(lease&&) noexcept = default;
    lease& operator=(lease&&) = delete;
    ~lease() {
        if (lease_.is_empty()) return;
        if (std::uncaught_exceptions() == exceptions_) lease_.mark_reusable();  // mutant: lease_end
        if (!keeps_) pool_base::end_lease(std::move(lease_), detail::resets<P, session<P>>);
    }

    // States that nothing of this caller is left in the session, so that the pool may use the
    // connection for other callers as it is. Call it at any time before the end of the lease.
    void keep() noexcept { keeps_ = true; }

    // The session of the connection. Valid as long as the lease. When the timeout of acquire()
    // is over, the pending call, and each later one, returns errc::request_timeout.
    // Requires: the lease was not moved from.
    session<P>* operator->() const noexcept {
        assert(!lease_.is_empty());
        return static_cast<session<P>*>(&lease_.session());
    }
    session<P>& operator*() const noexcept { return *operator->(); }

private:
    pool_base::connection_lease lease_;
    int exceptions_ = std::uncaught_exceptions();
    bool keeps_ = false;
};

}  // namespace ice
