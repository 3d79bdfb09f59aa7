// session_checks: which functions a protocol has, and whether a message is safe to pass, so that a
// session calls what is there and refuses to compile the rest.
#pragma once

#include <concepts>
#include <cstddef>
#include <ice/protocol.hpp>
#include <ice/task.hpp>
#include <string>
#include <string_view>
#include <type_traits>

namespace ice::detail {

// Whether the compiler destroys a temporary twice that aggregate initialisation makes in an
// expression with co_await: g++ 11 and 12 do; g++ 13, g++ 14 and Clang do not.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
inline constexpr bool destroys_braced_twice = true;
#else
inline constexpr bool destroys_braced_twice = false;
#endif

// Every function calls it that takes a message and that users call in an expression with co_await.
// M is deduced for a forwarding reference. An lvalue is an object with a name, which is safe. For
// other aggregates the type does not tell whether aggregate initialisation made them.
template <class M>
constexpr void refuse_braced_aggregate() {
    using type = std::remove_cvref_t<M>;
    static_assert(
        !destroys_braced_twice || std::is_lvalue_reference_v<M> || !std::is_aggregate_v<type> ||
            std::is_trivially_destructible_v<type>,
        "ice: give this message a name before the call, or its type a constructor: beside "
        "a co_await, g++ 12 destroys it twice");
}

template <class T>
inline constexpr bool is_handshake_answer = false;
template <class T>
inline constexpr bool is_handshake_answer<task<T>> =
    std::same_as<T, bool> || std::convertible_to<T, error_code>;

template <class P, class S>
concept shakes_hands =
    requires(P& p, S& s) { requires is_handshake_answer<decltype(p.handshake(s))>; };
// P has a handshake() of any signature. If shakes_hands is false, the session would never call it,
// so shake_hands() refuses to compile.
template <class P, class S>
concept names_handshake = requires { &P::handshake; } || requires(P& p, S& s) { p.handshake(s); };

// The same of reset(), which a pool calls after a lease: lease.hpp.
template <class P, class S>
concept resets = requires(P& p, S& s) {
    { p.reset(s) } -> std::same_as<task<error_code>>;
};
template <class P, class S>
concept names_reset = requires { &P::reset; } || requires(P& p, S& s) { p.reset(s); };

// The log-in of a client, which comes before its handshake().
template <class P>
concept logs_in = requires(P& p, std::string& out, const message_t<P>& reply) {
    { p.log_in(out) } -> std::same_as<std::size_t>;
    { p.logged_in(reply) } -> std::same_as<error_code>;
};

template <class P>
concept says_if_reusable = requires(const P& p) {
    { p.is_reusable() } -> std::same_as<bool>;
};

template <class P, class S>
concept is_handled = requires(P& p, std::string_view input, S& s) {
    { p.handle(input, s) } -> std::same_as<task<parsed<message_t<P>>>>;
};

}  // namespace ice::detail
