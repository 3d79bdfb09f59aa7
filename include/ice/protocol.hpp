// protocol: a value that turns bytes into messages and back. It never does I/O. Each connection has
// its own copy, which may keep the state of that connection. No Asio here, nor in protocols/.
#pragma once

#include <concepts>
#include <cstddef>
#include <ice/error.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace ice {

// Of need_more: the input holds no whole message yet.
struct need_more_t {};
inline constexpr need_more_t need_more;

// `size` bytes were part of no message (an option of telnet, a comment): parse goes on behind them.
struct skip {
    std::size_t size;
    bool unfinished = false;  // they belong to a message that is not whole yet: its time runs on
};

// What parse() returns: a message and the number of its bytes, need_more, bytes to skip, or an
// error.
template <class M>
class parsed {
    static_assert(std::default_initializable<M>,
                  "ice: a message type has a default constructor: while there is no message, "
                  "parsed<M> holds an empty one");

public:
    using message_type = M;

    // The input holds no whole message yet: the session calls parse again with the same bytes and
    // more.
    parsed(need_more_t) {}
    parsed(skip bytes) : size_(bytes.size), unfinished_(bytes.unfinished) {}
    // The bytes are malformed: the session closes the connection with this error.
    parsed(errc error) : parsed(make_error_code(error)) {}
    parsed(error_code error) : failed_(&error.category()), value_(error.value()) {}
    // Requires: 0 < size <= input.size(), or the session throws std::logic_error. The message may
    // be a view into the input.
    parsed(M message, std::size_t size) : message_(std::move(message)), size_(size), whole_(true) {}

    bool has_message() const noexcept { return whole_; }
    M& message() noexcept { return message_; }
    std::size_t size() const noexcept { return size_; }
    error_code error() const noexcept {
        return failed_ ? error_code(value_, *failed_) : error_code();
    }
    bool is_unfinished() const noexcept { return unfinished_; }
    bool failed() const noexcept { return failed_ != nullptr; }

private:
    M message_{};
    std::size_t size_ = 0;
    bool whole_ = false;
    bool unfinished_ = false;
    const std::error_category* failed_ = nullptr;  // not an error_code: one of those costs a call
    int value_ = 0;
};

namespace detail {

template <class T>
inline constexpr bool is_parsed = false;
template <class M>
inline constexpr bool is_parsed<parsed<M>> = true;

template <class P>
concept parses =
    requires(P p, std::string_view input) { requires is_parsed<decltype(p.parse(input))>; };
// The form for protocols that must answer by themselves: they append it to `out`.
template <class P>
concept parses_and_answers = requires(P p, std::string_view input, std::string& out) {
    requires is_parsed<decltype(p.parse(input, out))>;
};
// The form for parsing that must wait or knows its connection; session.hpp has the rest of it.
template <class P>
concept handles = requires { typename P::message_type; } && !parses<P> && !parses_and_answers<P>;

template <class P>
struct message_of {
    using type = typename P::message_type;
};
template <parses P>
struct message_of<P> {
    using type = typename decltype(std::declval<P&>().parse({}))::message_type;
};
template <parses_and_answers P>
struct message_of<P> {
    using type =
        typename decltype(std::declval<P&>().parse({}, std::declval<std::string&>()))::message_type;
};

// Whether the compiler destroys a temporary twice that is made by aggregate initialisation in an
// expression with co_await: g++ 11 and 12 do; 13, 14 and Clang do not.
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ < 13
inline constexpr bool destroys_braced_twice = true;
#else
inline constexpr bool destroys_braced_twice = false;
#endif

// Called by whatever takes a message beside a co_await; a forwarding reference has deduced M. An
// lvalue is an object of the user's. Of the other aggregates it cannot be seen how they were made.
template <class M>
constexpr void refuse_braced_aggregate() {
    using type = std::remove_cvref_t<M>;
    static_assert(
        !destroys_braced_twice || std::is_lvalue_reference_v<M> || !std::is_aggregate_v<type> ||
            std::is_trivially_destructible_v<type>,
        "ice: give this message a name before the call, or its type a constructor: beside "
        "a co_await, g++ 12 destroys it twice");
}

}  // namespace detail

// A protocol has one of
//     parsed<M> parse(std::string_view input);
//     parsed<M> parse(std::string_view input, std::string& out);    appends answers of its own
//     task<parsed<M>> handle(std::string_view input, session<P>&);  and `using message_type = M;`
// where `input` is all that is received and not yet consumed, and for each type A that it can send
//     void packet(const A& message, std::string& out);              appends; may return error_code
// and if it needs one, called once per connection, before any message, on both sides,
//     task<error_code> handshake(session<P>&);                      or task<bool>
// and if the two ends differ, called by a listener before it copies its protocol for a connection,
//     void as_server();
template <class P>
concept protocol = std::copy_constructible<P> &&
                   (detail::parses<P> || detail::parses_and_answers<P> || detail::handles<P>);

// The type of the messages that P parses.
template <protocol P>
using message_t = typename detail::message_of<P>::type;

// Whether P has packet() for an A.
template <class P, class A>
concept can_packet = requires(P p, const A& message, std::string& out) { p.packet(message, out); };

namespace detail {

template <class M>
inline constexpr bool owns = std::is_arithmetic_v<M> || std::is_enum_v<M>;
template <class M>
    requires requires { typename M::owns; }
inline constexpr bool owns<M> = M::owns::value;
template <>
inline constexpr bool owns<std::string> = true;
template <class M>
inline constexpr bool owns<std::vector<M>> = owns<M>;
template <class M>
inline constexpr bool owns<std::optional<M>> = owns<M>;

}  // namespace detail

// The type of a copy of an M that owns its bytes, which a request to a pool returns. Numbers,
// enumerations, std::string, and vectors and optionals of those are their own copies. So is a class
// that has `using owns = std::true_type;`. Specialise this for a class that refers to bytes
// elsewhere:
//     template <> struct ice::owned<my_view> { using type = my_value; };
// where a my_value can be constructed from a my_view.
template <class M>
struct owned {};
template <class M>
    requires detail::owns<M>
struct owned<M> {
    using type = M;
};
template <>
struct owned<std::string_view> {
    using type = std::string;
};

namespace detail {

template <class M>
concept says_what_it_owns = requires { typename owned<M>::type; };

template <class M>
struct checked_owned {
    static_assert(says_what_it_owns<M>,
                  "ice: a message type says whether it owns its bytes: `using owns = "
                  "std::true_type;` in it if it does; else ice::owned<M> is specialised");
    using type = M;
};
template <says_what_it_owns M>
struct checked_owned<M> {
    using type = typename owned<M>::type;
};

template <class M>
inline constexpr bool is_view = false;
template <says_what_it_owns M>
inline constexpr bool is_view<M> = !std::same_as<typename owned<M>::type, M>;
template <class M>
inline constexpr bool is_view<std::optional<M>> = is_view<M>;

// How a message is kept for later.
template <class M>
struct kept {
    using type = M;
};
template <class M>
    requires is_view<M>
struct kept<M> {
    using type = typename owned<M>::type;
};
template <>
struct kept<const char*> {
    using type = std::string;
};

}  // namespace detail

template <class M>
using owned_t = typename detail::checked_owned<M>::type;

// A view that a coroutine returns on purpose. Its bytes must be valid until the answer is packed,
// as those of the message are; bytes of the coroutine's own variables are not.
//     ice::task<ice::borrowed<std::string_view>> same(std::string_view line) { co_return line; }
template <class V>
class borrowed {
public:
    borrowed(V view) noexcept : view_(view) {}
    operator const V&() const noexcept { return view_; }

private:
    V view_;
};

// Appends `message` to `out`. After an error or an exception `out` is unchanged.
template <protocol P, class A>
error_code packet(P& p, const A& message, std::string& out) {
    static_assert(can_packet<P, A>, "ice: the protocol has no packet() for this message");
    const std::size_t before = out.size();
    try {
        if constexpr (std::is_void_v<decltype(p.packet(message, out))>) {
            p.packet(message, out);
            return {};
        } else {
            const error_code ec = p.packet(message, out);
            if (ec) out.resize(before);
            return ec;
        }
    } catch (...) {
        out.resize(before);
        throw;
    }
}

}  // namespace ice
