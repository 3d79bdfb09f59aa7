// logic: decides what to answer. A callable from a message to an answer, plain or a coroutine.
#pragma once

#include <concepts>
#include <ice/session.hpp>
#include <optional>
#include <type_traits>
#include <utility>

namespace ice {

// Answers each message with itself. The default logic of tcp_server_action.
struct echo {
    template <class M>
    M operator()(M message) const {
        return message;
    }
};

// Gives each connection a copy of `prototype` as its logic, so the members of the copy are the
// state of that connection. They live until closed() has returned:
//     struct greeter {
//         std::string operator()(std::string_view) { return fmt::format("{} messages", ++n); }
//         int n = 0;
//     };
//     srv.add(tcp_server_action{where}.protocol(line{}).logic(per_session(greeter{})));
template <class L>
struct per_session {
    explicit per_session(L l) : prototype(std::move(l)) {}
    L prototype;
};

namespace detail {

template <class T>
struct logic_in {
    using type = T;
};
template <class L>
struct logic_in<per_session<L>> {
    using type = L;
};
// The logic that a session calls, of what logic() of an action was given.
template <class T>
using logic_in_t = typename logic_in<T>::type;

template <class L, class P>
concept converses = requires(L& l, session<P>& s) {
    { l.converse(s) } -> std::same_as<task<>>;
};
template <class L, class P>
concept names_converse =
    requires { &L::converse; } || requires(L& l, session<P>& s) { l.converse(s); };

template <class L, class P>
concept calls_message = requires(L& l, message_t<P> m) { l(std::move(m)); };
template <class L, class P>
concept calls_message_and_session =
    requires(L& l, message_t<P> m, session<P>& s) { l(std::move(m), s); };
template <class L, class P>
concept dispatches_message = requires(L& l, message_t<P> m) { l.dispatch(std::move(m)); };
template <class L, class P>
concept dispatches_message_and_session =
    requires(L& l, message_t<P> m, session<P>& s) { l.dispatch(std::move(m), s); };

template <class L, class P>
concept can_call = calls_message<L, P> || calls_message_and_session<L, P> ||
                   dispatches_message<L, P> || dispatches_message_and_session<L, P>;

template <class P, class L>
decltype(auto) call(L& logic, message_t<P>& request, session<P>& peer) {
    if constexpr (dispatches_message_and_session<L, P>)
        return logic.dispatch(std::move(request), peer);
    else if constexpr (dispatches_message<L, P>) return logic.dispatch(std::move(request));
    else if constexpr (calls_message_and_session<L, P>) return logic(std::move(request), peer);
    else return logic(std::move(request));
}

template <class L, class P>
using called_t = decltype(call<P>(std::declval<L&>(), std::declval<message_t<P>&>(),
                                  std::declval<session<P>&>()));

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

// The A in A, optional<A>, task<A>, task<optional<A>>; no deeper.
template <class T>
struct answer {
    using type = T;
};
template <class T>
struct answer<std::optional<T>> {
    using type = T;
};
template <class T>
struct answer<task<T>> {
    using type = T;
};
template <class T>
struct answer<task<std::optional<T>>> {
    using type = T;
};

// What is sent for an answer that cannot be packed.
template <class L, class P>
concept replaces_unencodable = requires(L& l, error_code why, session<P>& s) {
    requires can_packet<P, std::remove_cvref_t<decltype(l.unencodable(why, s))>>;
};
template <class L, class P>
concept names_unencodable = requires {
    &L::unencodable;
} || requires(L& l, error_code why, session<P>& s) { l.unencodable(why, s); };

template <class L, class P>
concept answers_well = std::is_void_v<typename answer<called_t<L, P>>::type> ||
                       can_packet<P, typename answer<called_t<L, P>>::type>;

// A coroutine's frame is destroyed before the session packs its answer, so a view of a local
// variable would dangle.
template <class T>
constexpr void refuse_view_of_coroutine() {
    static_assert(!is_task<T> || !is_view<typename answer<T>::type>,
                  "ice: a coroutine answers what owns its bytes, as std::string does: a view of "
                  "what outlives it, as the message, is said by ice::borrowed<V>");
}

// Says what is wrong with a logic where an action is given it.
template <class L, class P>
constexpr void check_logic() {
    if constexpr (names_converse<L, P>) {
        static_assert(converses<L, P>,
                      "ice: converse() of a logic is called with (ice::session<P>&), and returns "
                      "an ice::task<>");
    } else {
        static_assert(
            can_call<L, P>,
            "ice: a logic is called with (message) or (message, ice::session<P>&), or has a "
            "member dispatch of that shape; this one is not (is .protocol() missing?)");
        if constexpr (can_call<L, P>) {
            refuse_view_of_coroutine<called_t<L, P>>();
            static_assert(answers_well<L, P>,
                          "ice: the protocol has no packet(), or several that fit, for what this "
                          "logic answers");
        }
    }
}

// Whether the memory of a message is worth keeping for the next one.
template <class M>
bool is_small(const M& m) {
    if constexpr (requires { m.capacity(); }) return m.capacity() <= 4096;
    else if constexpr (requires { m.bytes().size(); }) return m.bytes().size() <= 4096;
    else return false;
}

template <protocol P, class L, class A>
[[gnu::always_inline]] inline void send_answer(session<P>& peer, L& logic, const A& a) {
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

}  // namespace detail

// A logic of protocol P can be called with (message) or (message, session<P>&), or has a member
// `dispatch` that can. It returns A, optional<A> (nothing is sent for an empty one) or void, or a
// task of one of those, where P has packet() for an A.
// - The session calls it with one message at a time, in order. A message that is a view is valid
//   until its answer is packed. One logic object serves all connections of a listener.
// - A plain logic may return a view of the message, or of bytes that live longer. A coroutine
//   returns such a view as borrowed<V>.
// - Or it has a member `task<> converse(session<P>&)`, a conversation in one coroutine: the session
//   calls it once, and nothing else for messages. It calls receive() and send(), and returns when
//   receive() returns an error, or to close the connection gracefully. timeouts::logic runs while
//   it waits for anything but the peer, from its begin or from the last message.
// - per_session(l) instead gives each connection a logic of its own.
// - Optional members, plain or coroutines: opened(session<P>&) runs before the first message,
//   closed(session<P>&) after the last. Where it is closed(session<P>&, error_code why), it learns
//   why the session ends: errc::closed or truncated if the peer closed, errc::stopped after
//   close(), an exception or stop(), errc::draining, message_timeout, idle_timeout, logic_timeout
//   or write_timeout, or the error of the protocol or the socket. In it the logic can push() a last
//   message, which the session sends for at most timeouts::write before it closes the connection
//   gracefully. push() returns an error if the peer has closed, the connection is broken, stop()
//   was called, or after write_timeout. After the other timeouts only this form can push, not
//   closed(session<P>&).
//   closed() is not called for a session that is destroyed with the loop, or because memory ran out
//   as it was woken: keep its uid(), and ask listener::find(), rather than its address.
// - An exception that leaves a logic closes that connection only (listener_counters::logic_threw).
// - At the end of timeouts::logic, and by stop() of the server or the listener, also at the end of
//   a drain's grace period, a coroutine that waits is cancelled (cancellation_type::terminal of
//   Asio): what it waits for returns or throws asio::error::operation_aborted, receive() and send()
//   return errc::stopped or logic_timeout, and each later co_await throws operation_aborted (as
//   std::system_error). Let that leave the logic. So is opened(). closed() has
//   timeouts::logic for itself, and is cancelled at its end alone.
// - If P cannot express an answer, such as a line that has a line end in it, the listener closes
//   the connection and logs it, unless the logic has the member
//       A unencodable(error_code why, session<P>&);
//   a plain function: the session sends what it returns in place of the answer and goes on. Both
//   are counted (listener_counters::unencodable). push() and send() return the error instead.
template <class L, class P>
concept logic_for = protocol<P> && (detail::converses<L, P> ||
                                    (detail::can_call<L, P> && detail::answers_well<L, P>));

}  // namespace ice
