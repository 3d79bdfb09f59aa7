// lease: a connection of a pool for more than one message. Comes from pool::acquire().
#pragma once

#include <exception>
#include <ice/pool_base.hpp>
#include <utility>

namespace ice {

// A connection on loan for more than one message, as transactions need it: lease->send(..),
// lease->receive(). Not returned, but closed, if an exception ends it.
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
