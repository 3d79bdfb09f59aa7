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

// What parse() returns while the input holds no whole message: `return ice::need_more;`
struct need_more_t {};
inline constexpr need_more_t need_more;

// What parse() returns if the input begins with `size` bytes that are part of no message, such as
// an option of telnet or a comment. The session drops them and calls parse() with the rest.
struct skip {
    std::size_t size;
    bool unfinished = false;  // they are part of a message that is not whole: its timeout continues
};

// What parse() returns: a message and the number of its bytes, need_more, bytes to skip, or an
// error. The constructors are implicit, so parse() writes `return {message, size};`,
// `return ice::need_more;`, `return ice::skip{2};` or `return ice::errc::bad_message;`.
template <class M>
class parsed {
    static_assert(std::default_initializable<M>,
                  "ice: a message type has a default constructor: while there is no message, "
                  "parsed<M> holds an empty one");

public:
    using message_type = M;

    // The input holds no whole message yet. The session calls parse() again with the same bytes
    // and more behind them, maybe at another address: a protocol that remembers how far it has
    // looked stores an offset, never a pointer. limits::message bounds the unfinished bytes.
    parsed(need_more_t) {}
    parsed(skip bytes) : size_(bytes.size), unfinished_(bytes.unfinished) {}
    // The bytes are malformed: the session closes the connection with this error.
    parsed(errc error) : parsed(make_error_code(error)) {}
    parsed(error_code error) : failed_(&error.category()), value_(error.value()) {}
    // A whole message, in the first `size` bytes of the input; the session consumes these bytes.
    // The message may be a view into the input or into the protocol: both are valid until the
    // next parse(). Requires: 0 < size <= input.size(), or the session throws std::logic_error.
    parsed(M message, std::size_t size) : message_(std::move(message)), size_(size), whole_(true) {}

    bool has_message() const noexcept { return whole_; }
    // An empty M if there is no message.
    M& message() noexcept { return message_; }
    // Bytes to consume: those of the message or of the skip, else 0.
    std::size_t size() const noexcept { return size_; }
    // No error unless parse() returned one.
    error_code error() const noexcept {
        return failed_ ? error_code(value_, *failed_) : error_code();
    }
    // See skip::unfinished.
    bool is_unfinished() const noexcept { return unfinished_; }
    bool failed() const noexcept { return failed_ != nullptr; }

private:
    M message_{};
    std::size_t size_ = 0;
    bool whole_ = false;
    bool unfinished_ = false;
    const std::error_category* failed_ = nullptr;  // an error_code would cost a call per message
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
// The form for protocols that answer by themselves: they append their bytes to `out`.
template <class P>
concept parses_and_answers = requires(P p, std::string_view input, std::string& out) {
    requires is_parsed<decltype(p.parse(input, out))>;
};
// The form for parsing that must wait or needs its session; session.hpp checks its signature.
template <class P>
concept handles = requires { typename P::message_type; } && !parses<P> && !parses_and_answers<P>;

// The M of parsed<M>, or the message_type of a protocol with handle().
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

}  // namespace detail

// A protocol is copyable, and has one of
//     parsed<M> parse(std::string_view input);
//     parsed<M> parse(std::string_view input, std::string& out);    appends answers of its own
//     task<parsed<M>> handle(std::string_view input, session<P>&);  and `using message_type = M;`
// where `input` is all that is received and not yet consumed. handle() may wait. In a listener or a
// link it is cancelled as a logic is: by stop() and at the end of timeouts::logic.
// For each type A that it can send it has
//     void packet(const A& message, std::string& out);              appends; may return error_code
// If it needs a handshake it has the following function, which the session calls once per
// connection, on both sides, before the first message, within timeouts::handshake:
//     task<error_code> handshake(session<P>&);                      or task<bool>
// If a client begins with messages to which the other end replies, such as a log-in, it has the
// following two functions. The session calls the first before handshake(), within the same
// timeout:
// it appends these messages, and returns how many replies follow, or 0 if there is nothing to send.
// If the other end begins, it appends nothing, and parse(input, out) sends what the log-in needs.
// The session sends all in one write, and calls the second with each reply: an error, such as a
// refusal_error(), ends the connection.
//     std::size_t log_in(std::string& out);
//     error_code logged_in(const M& reply);
// If the two ends differ it has the following function, which a listener calls before it copies
// its protocol for a connection:
//     void as_server();
//
// If a connection can get into a state in which its next message need not be a reply, such as a
// subscription, it has the following function. If it returns false, a pool closes the connection
// at the end of the request or the lease:
//     bool is_reusable() const;
//
// The session calls these functions on the loop's thread, one at a time for each copy. parse() must
// return the same messages however the bytes are split over calls: ice/testing/script.hpp checks
// that. If parse() or packet() throws, the session ends with that exception in the log.
//
// A whole protocol, of messages with their size in one byte before them:
//     struct sized {
//         ice::parsed<std::string_view> parse(std::string_view input) {
//             if (input.empty()) return ice::need_more;
//             const std::size_t size = static_cast<unsigned char>(input[0]);
//             if (input.size() < 1 + size) return ice::need_more;
//             return {input.substr(1, size), 1 + size};
//         }
//         ice::error_code packet(std::string_view text, std::string& out) {
//             if (text.size() > 255) return make_error_code(ice::errc::unencodable);
//             out.append(1, static_cast<char>(text.size())).append(text);
//             return {};
//         }
//     };
template <class P>
concept protocol = std::copy_constructible<P> &&
                   (detail::parses<P> || detail::parses_and_answers<P> || detail::handles<P>);

// The type of the messages that P parses: the M of its parse() or handle().
template <protocol P>
using message_t = typename detail::message_of<P>::type;

// Whether P has packet() for an A: whether a session of P can send it.
template <class P, class A>
concept can_packet = requires(P p, const A& message, std::string& out) { p.packet(message, out); };

namespace detail {

// Whether a copy of an M owns its bytes.
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

// `owned<M>::type` is the type of a copy of an M that owns its bytes. A request to a pool returns
// such a copy, as the bytes of the connection's buffer do not outlive the request. Numbers,
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

// The type in which a message is stored: one that owns its bytes.
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

// Whether a message can be stored while the next ones are read.
template <class M>
inline constexpr bool can_be_kept = says_what_it_owns<M> && !is_view<M>;
template <says_what_it_owns M>
    requires is_view<M>
inline constexpr bool can_be_kept<M> = std::constructible_from<M, const typename kept<M>::type&>;

}  // namespace detail

// `owned<M>::type`. Does not compile if M does not say whether it owns its bytes.
template <class M>
using owned_t = typename detail::checked_owned<M>::type;

// Says that a coroutine returns a view on purpose. Its bytes must be valid until the session has
// called packet() with it, right after the coroutine's end. The bytes of the message are; bytes of
// the coroutine's own variables are not, as its frame is destroyed before. Without this type a
// logic that returns a task of a view does not compile.
//     ice::task<ice::borrowed<std::string_view>> same(std::string_view line) { co_return line; }
template <class V>
class borrowed {
public:
    borrowed(V view) noexcept : view_(view) {}
    operator const V&() const noexcept { return view_; }

private:
    V view_;
};

// Calls p.packet(), which appends the bytes of `message` to `out`. After an error or an exception
// `out` is unchanged. A packet() that returns void has no error. Inline in each caller, as what
// stands between it and the loop of a server: a call costs a short answer 5 % of its instructions.
template <protocol P, class A>
[[gnu::always_inline]] inline error_code packet(P& p, const A& message, std::string& out) {
    static_assert(can_packet<P, A>,
                  "ice: the protocol has no packet(), or several that fit, for this message");
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
