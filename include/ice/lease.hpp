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
// The destructor gives the connection back to the pool. The pool keeps the connection if each
// message sent has had its reply and no byte is left; otherwise, and if an exception destroys the
// lease, it closes the connection. The pool must outlive the lease.
//     auto leased = co_await pool.acquire();
//     if (!leased) co_return leased.error();
//     auto& redis = **leased;  // a session: send() and receive() as often as needed
template <protocol P>
class lease {
public:
    // Made by pool::acquire().
    explicit lease(pool_base::connection_lease l) noexcept : lease_(std::move(l)) {}
    // A lease that was moved from has no connection: only destroy it.
    lease(lease&&) noexcept = default;
    lease& operator=(lease&&) = delete;
    ~lease() {
        if (std::uncaught_exceptions() == exceptions_) lease_.mark_reusable();  // mutant: lease_end
    }

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
};

}  // namespace ice
