// serve: the inner loop of ice. Everything else stands around it.
#pragma once

#include <ice/logic.hpp>

namespace ice {
namespace detail {

template <protocol P, class L, class A>
void send_answer(session<P>& peer, L& logic, const A& a) {
    static_assert(replaces_unencodable<L, P> || !names_unencodable<L, P>,
                  "ice: unencodable() of a logic is called with (ice::error_code, "
                  "ice::session<P>&), and returns a message that the protocol can packet()");
    if constexpr (replaces_unencodable<L, P>)
        peer.answer(a, [&](error_code why) { return logic.unencodable(why, peer); });
    else peer.answer(a);
}
template <protocol P, class L, class A>
void send_answer(session<P>& peer, L& logic, const std::optional<A>& a) {
    if (a) send_answer(peer, logic, *a);
}

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

// Answers messages until the conversation ends, and says why: errc::closed is the usual end.
// All messages that have arrived are answered in one write; nothing is read while an answer is
// being made or cannot be sent (back-pressure); what arrived before the peer's end is answered
// first.
template <protocol P, logic_for<P> L>
    requires(!detail::converses<L, P>)
task<error_code> serve(session<P>& peer, L& logic) {
    using answer_type = detail::called_t<L, P>;
    detail::refuse_view_of_coroutine<answer_type>();
    for (;;) {
        if constexpr (!detail::handles<P> && !detail::is_task<answer_type>) {
            detail::answer_arrived(peer, logic);
        } else {
            for (bool first = true;; first = false) {
                std::optional<message_t<P>> request;
                if constexpr (detail::handles<P>) request = co_await peer.handled();
                else request = peer.next();
                if (!request) break;

                if constexpr (!detail::is_task<answer_type>) {
                    detail::answer_plainly(peer, logic, *request);
                } else {
                    if (first) peer.arm_logic_timeout();
                    // Should this logic wait, the answers before it go out meanwhile.
                    if (!peer.bytes().out().empty()) peer.bytes().flush_soon();
                    if constexpr (std::same_as<answer_type, task<void>>) {
                        co_await detail::call<P>(logic, *request, peer);
                    } else {
                        const auto answer = co_await detail::call<P>(logic, *request, peer);
                        detail::send_answer(peer, logic, answer);
                    }
                }
            }
        }
        peer.disarm_logic_timeout();
        if (const error_code ec = co_await peer.fill()) co_return ec;
    }
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
