// resp: RESP2, the protocol of Redis, Valkey and KeyDB (redis.io: "Redis serialization protocol
// specification"). A message is one value, in the bytes in which it arrived: parse() allocates
// nothing for it.
#pragma once

#include <array>
#include <cassert>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>
#include <initializer_list>

namespace ice {

// The type of a value, with an example of its first bytes.
enum class resp_type : std::uint8_t {
    simple_string,  // +OK
    error,          // -ERR no such key: a value like any other; the connection goes on
    integer,        // :42
    bulk_string,    // $3, and three bytes of any value
    null_bulk,      // $-1: there is no such string
    array,          // *2, and two values
    null_array,     // *-1: there is no such array
};

namespace detail {

// These functions read one value. Requires: parse() or one of the functions below made it.
ICE_API resp_type resp_type_of(std::string_view value) noexcept;
ICE_API std::string_view resp_text(std::string_view value) noexcept;
ICE_API std::int64_t resp_integer(std::string_view value) noexcept;
ICE_API std::size_t resp_elements(std::string_view value) noexcept;
ICE_API std::string_view resp_first_element(std::string_view array) noexcept;
ICE_API std::size_t resp_size(std::string_view begins_with_a_value) noexcept;
ICE_API void append_resp_header(char type, std::int64_t number, std::string& out);
ICE_API void append_resp_bulk(std::string_view text, std::string& out);
ICE_API void append_resp_line(char type, std::string_view text, std::string& out);

}  // namespace detail

// One value: a resp_view of bytes elsewhere, or a resp_value with bytes of its own. A resp_view
// that parse() returned is valid until the next parse(). The accessors never fail: for a value of
// another type they return what their comments say.
//     std::int64_t total = 0;
//     for (ice::resp_view element : reply) total += element.integer();  // of an array
template <class Bytes>
class basic_resp {
public:
    using owns = std::is_same<Bytes, std::string>;  // see ice::owned

    // A forward iterator over the elements of an array. An element is a view of its array, so it
    // is valid as long as the array's bytes.
    class iterator {
    public:
        using value_type = basic_resp<std::string_view>;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        value_type operator*() const { return value_type(rest_.substr(0, size_)); }
        iterator& operator++() {
            *this = iterator(rest_.substr(size_));
            return *this;
        }
        iterator operator++(int) {
            const auto before = *this;
            ++*this;
            return before;
        }
        bool operator==(const iterator& b) const { return rest_.size() == b.rest_.size(); }

    private:
        friend class basic_resp;
        explicit iterator(std::string_view rest)
            : rest_(rest), size_(rest.empty() ? 0 : detail::resp_size(rest)) {}
        std::string_view rest_;
        std::size_t size_ = 0;  // bytes of the element with which rest_ begins
    };

    // A null bulk string.
    basic_resp() = default;
    // A value of these bytes: resp_view("+OK\r\n"). The functions below make them for you.
    // Requires: `value` is exactly one well-formed value, or empty, which is a null bulk string.
    explicit basic_resp(Bytes value) : bytes_(std::move(value)) {
        assert(bytes_.empty() || std::string_view(bytes_).ends_with("\r\n"));
    }
    // A view of a resp_value, or a copy of a resp_view. A view is valid as long as what it views.
    template <class Other>
        requires(!std::same_as<Other, Bytes>)
    basic_resp(const basic_resp<Other>& other) : bytes_(other.bytes()) {}

    resp_type type() const noexcept { return detail::resp_type_of(bytes_); }
    bool is_error() const noexcept { return type() == resp_type::error; }
    bool is_null() const noexcept {
        return type() == resp_type::null_bulk || type() == resp_type::null_array;
    }

    // The text of a string, an error or an integer, without its type and line ends; empty for the
    // other types. A bulk string may hold any bytes. A view of this object's bytes.
    std::string_view text() const noexcept { return detail::resp_text(bytes_); }
    // The number of an integer; 0 for the other types. A bulk string of digits is no integer.
    std::int64_t integer() const noexcept { return detail::resp_integer(bytes_); }
    // How many elements an array has, not how many bytes; 0 for the other types.
    std::size_t size() const noexcept { return detail::resp_elements(bytes_); }

    // The elements of an array, in order; none for the other types. An element may be an array.
    // Each step passes over the bytes of an element, so there is no access by index.
    iterator begin() const noexcept { return iterator(detail::resp_first_element(bytes_)); }
    iterator end() const noexcept { return iterator(); }

    // The value as it is sent.
    std::string_view bytes() const noexcept { return bytes_; }
    // Compares the bytes: "$1\r\n1\r\n" and ":1\r\n" are different values.
    template <class Other>
    bool operator==(const basic_resp<Other>& other) const noexcept {
        return bytes() == other.bytes();
    }

private:
    Bytes bytes_{"$-1\r\n"};
};

using resp_view = basic_resp<std::string_view>;
using resp_value = basic_resp<std::string>;

template <>
struct owned<resp_view> {
    using type = resp_value;
};

// These functions make values that own their bytes, for the answers of a server. In a simple string
// and an error, where a CR or LF would end the value, they replace it by a blank, as Redis does. A
// resp_view of the result, such as an element for resp_array(), is valid only as long as it.
// A short status: resp_simple_string("OK").
ICE_API resp_value resp_simple_string(std::string_view text);
// A refusal. By convention its first word is a code in capitals: resp_error("ERR no such key").
ICE_API resp_value resp_error(std::string_view text);
ICE_API resp_value resp_integer(std::int64_t number);
// Data: any bytes, which it copies.
ICE_API resp_value resp_bulk_string(std::string_view text);
// What Redis answers for a key that does not exist.
ICE_API resp_value resp_null_bulk();
// What Redis answers for an array that does not exist, as after a timeout of BLPOP.
ICE_API resp_value resp_null_array();
// An array of copies of the elements. They may be arrays, up to resp::depth_limit.
ICE_API resp_value resp_array(std::initializer_list<resp_view> elements);

// A word of a request: a text or an integer. bool and char are refused, as it is unclear whether
// 'x' is a text or a number.
template <class T>
concept resp_word = std::convertible_to<T, std::string_view> ||
                    (std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>);

// Makes a request: an array of bulk strings, of texts and integers in decimal. It copies the words,
// which may hold any bytes: nothing in `value` can become a command of its own.
//     auto reply = co_await pool.request(ice::resp_command("SET", key, value, "PX", 1000));
//     if (reply && reply->is_error()) ..  // Redis has refused the command; the connection is fine
template <resp_word... Words>
    requires(sizeof...(Words) != 0)
resp_value resp_command(const Words&... words) {
    std::string out;
    detail::append_resp_header('*', sizeof...(words), out);
    const auto append = [&out](const auto& word) {
        if constexpr (std::integral<std::remove_cvref_t<decltype(word)>>) {
            char digits[24];
            const auto end = std::to_chars(digits, digits + sizeof digits, word).ptr;
            detail::append_resp_bulk({digits, end}, out);
        } else {
            detail::append_resp_bulk(word, out);
        }
    };
    (append(words), ...);
    return resp_value(std::move(out));
}

// The protocol of a client, and of a server that takes no inline commands (resp_requests).
class ICE_API resp {
public:
    // How deep arrays may be nested. Replies of Redis itself have at most about 8 levels.
    static constexpr std::size_t depth_limit = 32;

    // A value has at most 1 MiB, as limits::message.
    resp() = default;
    // A value has at most `limit` bytes, type, lengths and line ends included. limits::message and
    // pool_limits::message bound it as well: raise both for larger values.
    explicit resp(std::size_t limit) : limit_(limit) {}

    // Returns one value: a reply, or a request (an array of bulk strings; servers also have
    // resp_requests, with inline commands). It resumes where it stopped, so its cost is O(n)
    // however the bytes arrive. It reserves no memory for a length that is only declared.
    // Returns errc::message_too_large for a value that is longer than the limit, or as soon
    // as a length that it declares would make it so. Returns errc::bad_message for anything else
    // that RESP2 does not allow, and for arrays nested deeper than depth_limit.
    parsed<resp_view> parse(std::string_view input);

    // Appends the value. Returns errc::message_too_large beyond the limit.
    error_code packet(resp_view value, std::string& out);

    // Appends a request, an array of bulk strings, of any container of words such as
    // std::vector<std::string>. Returns errc::unencodable if the container is empty, as Redis never
    // replies to an empty array, and errc::message_too_large beyond the limit.
    template <class Words>
        requires requires(const Words& w) {
            { *w.begin() } -> std::convertible_to<std::string_view>;
            { w.size() } -> std::convertible_to<std::size_t>;
        }
    error_code packet(const Words& words, std::string& out) {
        const std::size_t before = out.size();
        if (words.size() == 0) return make_error_code(errc::unencodable);
        detail::append_resp_header('*', static_cast<std::int64_t>(words.size()), out);
        for (const std::string_view word : words) detail::append_resp_bulk(word, out);
        if (out.size() - before <= limit_) return {};
        out.resize(before);
        return make_error_code(errc::message_too_large);
    }

private:
    // What became of the next value: it is whole, it needs more bytes, or parse() fails.
    enum class step : std::uint8_t { taken, more, too_large, bad };

    step take(std::string_view input);
    step taken(std::size_t end);
    step take_bulk(std::string_view input, std::size_t end, std::size_t size);
    step open_array(std::size_t end, std::size_t size);

    std::size_t limit_ = 1024 * 1024;  // limits::message
    std::size_t at_ = 0;               // the offset of the first value that is not whole
    std::size_t scanned_ = 0;          // its header has no CR before this offset
    std::array<std::uint32_t, depth_limit> left_{};  // elements to come, for each enclosing array
    std::uint32_t depth_ = 0;                        // enclosing arrays
};

}  // namespace ice
