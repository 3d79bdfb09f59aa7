// health_check: a request of the protocol by which a pool learns whether an idle connection still
// lives: tcp_client_action{..}.health_check("ping", 5s)
#pragma once

#include <functional>
#include <ice/session.hpp>
#include <utility>

namespace ice {

// Asks on a connection that nobody else uses meanwhile; an error if it was not answered as it
// should be.
template <protocol P>
using health_check = std::function<task<error_code>(session<P>&)>;

// Takes every reply for a good one: the default of health_check().
struct any_reply {
    template <class M>
    bool operator()(const M&) const noexcept {
        return true;
    }
};

namespace detail {

template <class P, class M, class Good>
task<error_code> ask_for_health(session<P>& peer, const M& message, const Good& good) {
    const error_code unsent = co_await peer.send(message);
    if (unsent) co_return unsent;
    const auto reply = co_await peer.receive();
    if (!reply) co_return reply.error();
    if (!good(*reply)) co_return make_error_code(errc::bad_message);
    co_return error_code();
}

}  // namespace detail

// Sends `message`, of which it keeps a copy that owns its bytes, and has `good` look at the reply.
template <protocol P, class M, class Good>
health_check<P> make_health_check(M message, Good good) {
    using kept = typename detail::kept<M>::type;
    static_assert(can_packet<P, kept>, "ice: the protocol has no packet() for this health check");
    static_assert(std::predicate<const Good&, const message_t<P>&>,
                  "ice: a health check is judged by a function from a message, the reply, to bool");
    return [message = kept(std::move(message)), good = std::move(good)](session<P>& peer) {
        return detail::ask_for_health(peer, message, good);
    };
}

}  // namespace ice
