// time_limit: an instant by which something must have ended, on the clock of a transport. Calls
// that share one limit also share the time that is left.
#pragma once

#include <ice/detail/export.hpp>
#include <ice/duration.hpp>
#include <memory>
#include <utility>

namespace ice {

class transport;

// A value, made by within() of a server, a session or a transport:
//     const ice::time_limit limit = peer.within(200ms);
//     auto user = co_await users.request(id, limit.left());
//     auto both = co_await ice::all(limit, a.request(id), b.request(id));  // within the rest of it
// It shares the transport, so it may outlive the server. After stop() of the transport no limit
// ends a wait: stop() itself ends what waits.
class ICE_API time_limit {
public:
    // Usually within() makes it. `net` is not null.
    time_limit(std::shared_ptr<transport> net, time_point until) noexcept
        : net_(std::move(net)), until_(until) {}

    // `never` if there is no limit, as within(no_timeout) gives.
    time_point until() const noexcept { return until_; }
    // The time until then: 0 or less if the limit is over, and no_timeout if there is none. It is
    // the timeout of a request that must end by then.
    duration left() const;
    // Whether the limit has been reached.
    bool is_over() const { return left() <= duration::zero(); }

    // Whose clock and deadlines count.
    transport& net() const noexcept { return *net_; }

private:
    std::shared_ptr<transport> net_;
    time_point until_;
};

}  // namespace ice
