// resp_value, resp_view: a value of RESP2 or RESP3, the protocol of Redis, Valkey and KeyDB
// (redis.io: "Redis serialization protocol specification"), in the bytes in which it arrived. No
// I/O. resp_command() makes requests.
#pragma once

#include <cassert>
#include <charconv>
#include <concepts>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>
#include <initializer_list>
#include <utility>

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
    // RESP3, which Redis sends after HELLO 3:
    null,             // _: instead of null_bulk and null_array
    boolean,          // #t
    double_number,    // ,1.5, also inf, -inf and nan
    big_number,       // (3492890328409238509324850943850943825024385
    bulk_error,       // !21, and 21 bytes: an error of more than one line
    verbatim_string,  // =8, and eight bytes: "txt:" or "mkd:", and a text to show to people
    map,              // %1, and a key and a value
    set,              // ~2, and two values
    push,             // >2, and two values: no reply, but what the server sends unasked
};

class resp_pairs;

namespace detail {

// These functions read one value. Requires: parse() or one of the functions below made it.
ICE_API resp_type resp_type_of(std::string_view value) noexcept;
ICE_API std::string_view resp_text(std::string_view value) noexcept;
ICE_API std::int64_t resp_integer(std::string_view value) noexcept;
ICE_API double resp_number(std::string_view value) noexcept;
ICE_API bool resp_boolean(std::string_view value) noexcept;
ICE_API std::size_t resp_elements(std::string_view value) noexcept;
// The bytes of all elements; of all keys and values of the attribute before a value.
ICE_API std::string_view resp_first_element(std::string_view array) noexcept;
ICE_API std::string_view resp_attributes(std::string_view value) noexcept;
ICE_API std::size_t resp_size(std::string_view begins_with_a_value) noexcept;
ICE_API void append_resp_header(char type, std::int64_t number, std::string& out);
ICE_API void append_resp_bulk(std::string_view text, std::string& out);
ICE_API void append_resp_line(char type, std::string_view text, std::string& out);

}  // namespace detail

// One value: a resp_view of bytes elsewhere, or a resp_value with bytes of its own. A resp_view
// that parse() returned is valid until the next parse(). The accessors never fail: for a value of
// another type they return what their comments say. An
// attribute, which RESP3 sends before a value, belongs to it: bytes() has it, the other accessors
// pass over it, and attributes() reads it.
//     std::int64_t total = 0;
//     for (ice::resp_view element : reply) total += element.integer();  // of an array
template <class Bytes>
class basic_resp {
public:
    using owns = std::is_same<Bytes, std::string>;  // see ice::owned

    // A forward iterator over the elements of an array, map, set or push. An element is a view of
    // its array, so it is valid as long as the array's bytes.
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
        friend class resp_pairs;
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
    // The same into the memory that a resp_value has already.
    template <class Other>
        requires(!std::same_as<Other, Bytes>)
    basic_resp& operator=(const basic_resp<Other>& other) {
        bytes_ = other.bytes();
        return *this;
    }

    resp_type type() const noexcept { return detail::resp_type_of(bytes_); }
    bool is_error() const noexcept {
        const resp_type t = type();
        return t == resp_type::error || t == resp_type::bulk_error;
    }
    bool is_null() const noexcept {
        const resp_type t = type();
        return t == resp_type::null_bulk || t == resp_type::null_array || t == resp_type::null;
    }

    // The text of a string, an error or a number, without its type and line ends, and of a verbatim
    // string without its "txt:"; empty for the other types. A bulk string may hold any bytes. A
    // view of this object's bytes.
    std::string_view text() const noexcept { return detail::resp_text(bytes_); }
    // The number of an integer; 0 for the other types. A bulk string of digits is no integer.
    std::int64_t integer() const noexcept { return detail::resp_integer(bytes_); }
    // The number of a double or an integer; 0 for the other types. RESP2 sends a double as a bulk
    // string. A number beyond the range of double is infinite, or 0 if it is too small.
    double number() const noexcept { return detail::resp_number(bytes_); }
    // Whether it is the boolean #t. Most commands of Redis reply with an integer instead.
    bool boolean() const noexcept { return detail::resp_boolean(bytes_); }
    // How many elements an array, set or push has, not how many bytes; for a map its keys and its
    // values, so twice pairs().size(). 0 for the other types.
    std::size_t size() const noexcept { return detail::resp_elements(bytes_); }

    // The elements of an array, set or push, in order, and keys and values of a map in turn; none
    // for the other types. An element may be an array. Each step passes over the bytes of an
    // element, so there is no access by index.
    iterator begin() const noexcept { return iterator(detail::resp_first_element(bytes_)); }
    iterator end() const noexcept { return iterator(); }
    // The keys and values of a map, or of an array, as which RESP2 sends a map.
    //     for (const auto& [field, value] : reply.pairs()) .. field.text()
    resp_pairs pairs() const noexcept;
    // The keys and values of the attribute before this value, if it has one.
    resp_pairs attributes() const noexcept;

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

// What pairs() and attributes() of a value return: a range of keys and values, which are views of
// the value's bytes. If an array has an odd number of elements, its last key has a null value.
class resp_pairs {
public:
    struct pair {
        resp_view key;
        resp_view value;
    };

    class iterator {
    public:
        using value_type = pair;
        using difference_type = std::ptrdiff_t;

        iterator() = default;
        pair operator*() const {
            auto value = key_;
            return {*key_, ++value == resp_view::iterator() ? resp_view() : *value};
        }
        iterator& operator++() {
            if (++key_ != resp_view::iterator()) ++key_;
            return *this;
        }
        iterator operator++(int) {
            const auto before = *this;
            ++*this;
            return before;
        }
        bool operator==(const iterator&) const = default;

    private:
        friend class resp_pairs;
        explicit iterator(std::string_view elements) : key_(elements) {}
        resp_view::iterator key_;
    };

    // None.
    resp_pairs() = default;

    iterator begin() const { return iterator(elements_); }
    iterator end() const { return iterator(); }
    // Counts them.
    std::size_t size() const {
        std::size_t count = 0;
        for (auto i = begin(); i != end(); ++i) ++count;
        return count;
    }

private:
    template <class Bytes>
    friend class basic_resp;
    explicit resp_pairs(std::string_view elements) : elements_(elements) {}
    std::string_view elements_;
};

template <class Bytes>
resp_pairs basic_resp<Bytes>::pairs() const noexcept {
    const resp_type t = type();
    if (t != resp_type::map && t != resp_type::array) return {};
    return resp_pairs(detail::resp_first_element(bytes_));
}

template <class Bytes>
resp_pairs basic_resp<Bytes>::attributes() const noexcept {
    return resp_pairs(detail::resp_attributes(bytes_));
}

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

// The same of RESP3, for clients that have sent HELLO 3.
ICE_API resp_value resp_null();
ICE_API resp_value resp_boolean(bool is);
ICE_API resp_value resp_double(double number);
// A text to show to people, of the format "txt" or "mkd". Requires: `format` has three bytes.
ICE_API resp_value resp_verbatim_string(std::string_view text, std::string_view format = "txt");
ICE_API resp_value resp_map(std::initializer_list<std::pair<resp_view, resp_view>> pairs);
ICE_API resp_value resp_set(std::initializer_list<resp_view> elements);
// What no client has asked for. By convention its first element is a bulk string, its kind.
ICE_API resp_value resp_push(std::initializer_list<resp_view> elements);

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

}  // namespace ice
