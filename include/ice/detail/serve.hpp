// serve: the inner loop of ice. Everything else stands around it.
#pragma once

#include <ice/detail/answer_queue.hpp>

namespace ice {
namespace detail {

// Answers one message by a logic that never waits.
template <protocol P, class L>
void answer_plainly(session<P>& peer, L& logic, message_t<P>& request) {
    if constexpr (std::is_void_v<called_t<L, P>>) call<P>(logic, request, peer);
    else send_answer(peer, logic, call<P>(logic, request, peer));
}

// Answers what has arrived by a logic that never waits. Not a coroutine: so all is in registers.
template <protocol P, class L>
void answer_arrived(session<P>& peer, L& logic) {
    while (auto request = peer.next()) answer_plainly(peer, logic, *request);
}

}  // namespace detail

// GCC warns of the frame of a coroutine whose logic is in an anonymous namespace, where it belongs.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

namespace detail {

// One message at a time.
template <protocol P, class L>
task<error_code> serve_in_turn(session<P>& peer, L& logic) {
    using answer_type = called_t<L, P>;
    refuse_view_of_coroutine<answer_type>();
    for (;;) {
        if constexpr (!handles<P> && !is_task<answer_type>) {
            answer_arrived(peer, logic);
        } else {
            for (bool first = true;; first = false) {
                std::optional<message_t<P>> request;
                if constexpr (handles<P>) {
                    if (first) peer.arm_logic_timeout();  // it may wait, as a logic
                    request = co_await peer.handled();
                } else {
                    request = peer.next();
                }
                if (!request) break;

                if constexpr (!is_task<answer_type>) {
                    answer_plainly(peer, logic, *request);
                } else {
                    if (!handles<P> && first) peer.arm_logic_timeout();
                    // Should this logic wait, the answers before it go out meanwhile.
                    if (!peer.bytes().out().empty()) peer.bytes().flush_soon();
                    if constexpr (std::same_as<answer_type, task<void>>) {
                        co_await call<P>(logic, *request, peer);
                    } else {
                        const auto answer = co_await call<P>(logic, *request, peer);
                        send_answer(peer, logic, answer);
                    }
                }
            }
        }
        peer.disarm_logic_timeout();
        if (const error_code ec = co_await peer.fill()) co_return ec;
    }
}

// Whether a logic can work on several messages at once: it waits, and they can be stored.
template <class L, class P>
inline constexpr bool can_be_in_flight =
    !handles<P> && is_task<called_t<L, P>> && can_be_kept<message_t<P>>;

// limits::in_flight messages at once.
template <protocol P, class L>
task<error_code> serve_in_flight(session<P>& peer, L& logic) {
    refuse_view_of_coroutine<called_t<L, P>>();
    return answer_queue_base::serve(std::make_shared<answer_queue<P, L>>(peer, logic));
}

}  // namespace detail

// Answers messages until the conversation ends, and says why: errc::closed is the usual end.
// All messages that have arrived are answered in one write; nothing is read while an answer cannot
// be sent (back-pressure), nor while limits::in_flight of them are being made; what arrived before
// the peer's end is answered first, unless limits::allow_half_open is false.
template <protocol P, logic_for<P> L>
    requires(!detail::converses<L, P>)
task<error_code> serve(session<P>& peer, L& logic) {
    if constexpr (detail::can_be_in_flight<L, P>) {
        const bool several = peer.settings().limits.in_flight > 1 || detail::passes_on<L>;
        if (several && peer.can_spawn()) return detail::serve_in_flight(peer, logic);
    }
    return detail::serve_in_turn(peer, logic);
}

// The same for a logic that is a conversation. errc::stopped if it returned by itself.
template <protocol P, class L>
    requires detail::converses<L, P>
task<error_code> serve(session<P>& peer, L& logic) {
    peer.arm_logic_timeout();
    co_await logic.converse(peer);
    peer.disarm_logic_timeout();
    if (const error_code cancelled = peer.bytes().cancelled()) co_return cancelled;
    co_return peer.failed() ? peer.failed() : make_error_code(errc::stopped);
}

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace ice
