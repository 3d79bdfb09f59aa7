// resp: RESP2, what Redis, Valkey and KeyDB speak ("Redis serialization protocol specification").
// A message is one value, left as the bytes it came in: nothing is allocated for it.
#pragma once

#include <array>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>
#include <initializer_list>

namespace ice {

enum class resp_type : std::uint8_t {
    simple_string,  // +OK
    error,          // -ERR no such key: an answer like any other, not the end of a connection
    integer,        // :42
    bulk_string,    // $3 and three bytes, which may be any
    null_bulk,      // $-1: there is no such string
    array,          // *2 and two values
    null_array,     // *-1: there is no such array
};

namespace detail {

// Of one value, well-formed. Other functions' input is what parse() or a maker has checked.
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

// One value: a resp_view of bytes received, or a resp_value with bytes of its own. Elements of an
// array are views of their array. Without a value given it is a null bulk string.
template <class Bytes>
class basic_resp {
public:
    using owns = std::is_same<Bytes, std::string>;  // see ice::owned

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
        std::size_t size_ = 0;  // of the element that it begins with
    };

    basic_resp() = default;
    // Requires: `value` is exactly one well-formed value, as the functions below make.
    explicit basic_resp(Bytes value) : bytes_(std::move(value)) {}
    template <class Other>
        requires(!std::same_as<Other, Bytes>)
    basic_resp(const basic_resp<Other>& other) : bytes_(other.bytes()) {}

    resp_type type() const noexcept { return detail::resp_type_of(bytes_); }
    bool is_error() const noexcept { return type() == resp_type::error; }
    bool is_null() const noexcept {
        return type() == resp_type::null_bulk || type() == resp_type::null_array;
    }

    // Of a string, an error or an integer; empty for the others.
    std::string_view text() const noexcept { return detail::resp_text(bytes_); }
    // Of an integer; 0 for the others.
    std::int64_t integer() const noexcept { return detail::resp_integer(bytes_); }
    // How many elements an array has; 0 for the others.
    std::size_t size() const noexcept { return detail::resp_elements(bytes_); }

    // The elements of an array, in order; none for the others.
    iterator begin() const noexcept { return iterator(detail::resp_first_element(bytes_)); }
    iterator end() const noexcept { return iterator(); }

    std::string_view bytes() const noexcept { return bytes_; }
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

// What a server answers with. A CR or LF in a simple string or an error becomes a blank, as in
// Redis: there it would end the value.
ICE_API resp_value resp_simple_string(std::string_view text);
ICE_API resp_value resp_error(std::string_view text);
ICE_API resp_value resp_integer(std::int64_t number);
ICE_API resp_value resp_bulk_string(std::string_view text);
ICE_API resp_value resp_null_bulk();
ICE_API resp_value resp_null_array();
ICE_API resp_value resp_array(std::initializer_list<resp_view> elements);

// Not bool or char: is 'x' a text or a number?
template <class T>
concept resp_word = std::convertible_to<T, std::string_view> ||
                    (std::integral<T> && !std::same_as<T, bool> && !std::same_as<T, char>);

// A request: an array of bulk strings, made of texts and integers.
// `pool.request(ice::resp_command("SET", key, value, "PX", 1000))`
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

class ICE_API resp {
public:
    // Arrays within arrays. Replies of Redis itself have at most about 8.
    static constexpr std::size_t depth_limit = 32;

    resp() = default;
    // A value of at most `limit` bytes, all of it counted.
    explicit resp(std::size_t limit) : limit_(limit) {}

    // One value: a reply, or a request (an array of bulk strings; servers have resp_requests, with
    // inline commands, too). Resumes where it stopped, so its cost is O(n) however its bytes
    // arrive, and nothing is reserved for what a length only declares.
    // errc::message_too_large: a value that is longer than the limit, or must become so by a length
    // it declares; errc::bad_message: anything else that RESP2 does not allow, or arrays nested
    // deeper than depth_limit.
    parsed<resp_view> parse(std::string_view input);

    // errc::message_too_large beyond the limit.
    error_code packet(resp_view value, std::string& out);

    // A request: an array of bulk strings. errc::unencodable if there is no word in it, as Redis
    // never replies to that.
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
    enum class step : std::uint8_t { taken, more, too_large, bad };

    step take(std::string_view input);
    step taken(std::size_t end);
    step take_bulk(std::string_view input, std::size_t end, std::size_t size);
    step open_array(std::size_t end, std::size_t size);

    std::size_t limit_ = 1024 * 1024;  // limits::message
    std::size_t at_ = 0;               // where the first value begins that is not whole
    std::size_t scanned_ = 0;          // its header has no CR before it
    std::array<std::uint32_t, depth_limit> left_{};  // elements to come, of each array it is in
    std::uint32_t depth_ = 0;
};

}  // namespace ice
