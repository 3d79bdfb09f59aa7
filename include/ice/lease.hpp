// lease: a connection of a pool for several messages. pool::acquire() returns it.
#pragma once

#include <exception>
#include <ice/pool_base.hpp>
#include <utility>

namespace ice {

// A connection that one caller has for several messages, as transactions need it: lease->send(..),
// lease->receive(). Its destructor gives the connection back to the pool; if an exception destroys
// the lease, the pool closes the connection. The pool must outlive it.
template <protocol P>
class lease {
public:
    explicit lease(pool_base::loan l) noexcept : loan_(std::move(l)) {}
    lease(lease&&) noexcept = default;
    lease& operator=(lease&&) = delete;
    ~lease() {
        if (std::uncaught_exceptions() == exceptions_) loan_.settle();  // mutant: lease_ends
    }

    session<P>* operator->() const noexcept { return static_cast<session<P>*>(&loan_.session()); }
    session<P>& operator*() const noexcept { return *operator->(); }

private:
    pool_base::loan loan_;
    int exceptions_ = std::uncaught_exceptions();
};

}  // namespace ice
