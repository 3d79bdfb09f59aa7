// health_check: a request that a pool sends on an idle connection to see whether its upstream
// replies: tcp_client_action{..}.health_check("ping", 5s)
#pragma once

#include <functional>
#include <ice/session.hpp>
#include <utility>

namespace ice {

// A function that sends the request, and returns an error if the reply is missing or wrong. The
// pool calls it on the loop's thread with a connection that it has leased for the check. It ends
// the check after pool_timeouts::check. After an error, or an exception, which it logs, it closes
// the connection. The session is valid until the returned task ends.
template <protocol P>
using health_check = std::function<task<error_code>(session<P>&)>;

// Accepts every reply. The default of tcp_client_action::health_check(). A reply that reports an
// error, such as "-LOADING" of Redis, is a reply too: pass a function that refuses it if such an
// upstream must get no requests.
struct any_reply {
    template <class M>
    bool operator()(const M&) const noexcept {
        return true;
    }
};

namespace detail {

// The coroutine of a check. `message` and `good` are members of the health_check, which outlives
// it.
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

// Makes the health check of tcp_client_action::health_check(), such as
//     .health_check(resp_command("PING"), 5s, [](resp_view r) { return r.text() == "PONG"; })
// It sends `message`, waits for one reply, and calls `good` with it. It returns
// errc::bad_message if `good` returns false, and else the error of send() or receive(), if any. It
// keeps a copy of `message` that owns its bytes. `good` must not keep the reply, which may be a
// view into the connection's buffer.
template <protocol P, class M, class Good>
health_check<P> make_health_check(M message, Good good) {
    using kept = typename detail::kept<M>::type;
    static_assert(can_packet<P, kept>,
                  "ice: the protocol has no packet(), or several that fit, for this health check");
    static_assert(std::predicate<const Good&, const message_t<P>&>,
                  "ice: a health check is judged by a function from a message, the reply, to bool");
    return [message = kept(std::move(message)), good = std::move(good)](session<P>& peer) {
        return detail::ask_for_health(peer, message, good);
    };
}

}  // namespace ice
