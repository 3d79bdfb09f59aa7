// memcached: the text protocol of memcached for clients, with its meta commands (doc/protocol.txt
// of memcached 1.6.18). A message is one reply, in the bytes in which it arrived: parse() allocates
// nothing for it. memcached_command.hpp makes requests.
#pragma once

#include <cassert>
#include <concepts>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/detail/part_iterator.hpp>
#include <ice/memcached_command.hpp>
#include <ice/protocol.hpp>
#include <optional>

namespace ice {

// What a reply is. Its first word decides, so no reply needs its request to be understood: a value
// of incr is a line of digits, a miss of get is END alone.
enum class memcached_type : std::uint8_t {
    values,        // VALUE .. END, or END alone: of get, gets, gat and gats
    stored,        // STORED
    not_stored,    // NOT_STORED, or NS of a meta command: the condition of add .. does not hold
    exists,        // EXISTS, or EX: the item was modified since its cas was read
    not_found,     // NOT_FOUND, or NF: there is no such item
    deleted,       // DELETED
    touched,       // TOUCHED
    ok,            // OK: of flush_all
    number,        // 42: of incr and decr
    version,       // VERSION 1.6.18
    meta_success,  // HD: a meta command is done
    meta_value,    // VA 2: a meta command is done, and two bytes of any value
    meta_miss,     // EN: of mg: there is no such item
    meta_noop,     // MN: of mn
    error,         // ERROR: the server does not know the command
    client_error,  // CLIENT_ERROR, and a text: the request is wrong
    server_error,  // SERVER_ERROR, and a text: such as out of memory
};

// An item of a reply to get, gets, gat or gats. Its views are valid as long as the reply's bytes.
struct memcached_item {
    std::string_view key;
    std::string_view value;   // any bytes
    std::uint32_t flags = 0;  // what the client has stored with it; memcached does not read them
    std::uint64_t cas = 0;    // its version, for memcached_cas(); 0 of get and gat
};

namespace detail {

// These functions read one reply. Requires: parse() made it, or it is empty.
ICE_API memcached_type memcached_type_of(std::string_view reply) noexcept;
ICE_API std::string_view memcached_text(std::string_view reply) noexcept;
ICE_API std::string_view memcached_value(std::string_view reply) noexcept;
ICE_API std::uint64_t memcached_number(std::string_view reply) noexcept;
ICE_API const char* memcached_flag(std::string_view reply, char flag, std::size_t& size) noexcept;
// Returns the bytes of the item with which `items` begins; 0 at END.
ICE_API std::size_t memcached_next(std::string_view items, memcached_item& item) noexcept;

}  // namespace detail

// One reply: a memcached_view of bytes elsewhere, or a memcached_reply with bytes of its own. A
// memcached_view that parse() returned is valid until the next parse(). The accessors never fail:
// for a reply of another type they return what their comments say.
//     for (const ice::memcached_item& item : *reply) use(item.key, item.value);  // of get
template <class Bytes>
class basic_memcached_reply {
public:
    using owns = std::is_same<Bytes, std::string>;  // see ice::owned

    // Over the items of type `values`.
    using iterator = detail::part_iterator<memcached_item, detail::memcached_next>;

    // A reply without items.
    basic_memcached_reply() = default;
    // A reply of these bytes: memcached_view("STORED\r\n"). Requires: `reply` is exactly one
    // well-formed reply, or empty, which has no items.
    explicit basic_memcached_reply(Bytes reply) : bytes_(std::move(reply)) {
        assert(bytes_.empty() || std::string_view(bytes_).ends_with("\r\n"));
    }
    // A view of a memcached_reply, or a copy of a memcached_view.
    template <class Other>
        requires(!std::same_as<Other, Bytes>)
    basic_memcached_reply(const basic_memcached_reply<Other>& other) : bytes_(other.bytes()) {}

    memcached_type type() const noexcept { return detail::memcached_type_of(bytes_); }
    // ERROR, CLIENT_ERROR or SERVER_ERROR. The connection goes on, with one exception: see parse().
    bool is_error() const noexcept { return type() >= memcached_type::error; }
    // Whether there is a value: an item of `values`, or a meta_value. The value may be empty.
    bool is_hit() const noexcept {
        return type() == memcached_type::meta_value || begin() != end();
    }

    // The first item's value, or that of a meta_value; empty for the other types.
    std::string_view value() const noexcept { return detail::memcached_value(bytes_); }
    // The number of a `number`; 0 for the other types.
    std::uint64_t number() const noexcept { return detail::memcached_number(bytes_); }
    // What stands behind the first word of a reply of one line: the text of an error, a version,
    // the flags of a meta command. The digits of a number; empty for `values` and meta_value.
    std::string_view text() const noexcept { return detail::memcached_text(bytes_); }
    // The token of a flag that a meta command has returned: of "HD t-1 W" it is "-1" for 't', ""
    // for 'W', and none for 'c'.
    std::optional<std::string_view> flag(char name) const noexcept {
        std::size_t size = 0;
        const char* const token = detail::memcached_flag(bytes_, name, size);
        if (token == nullptr) return std::nullopt;
        return std::string_view(token, size);
    }

    // The items of `values`, in the order in which the server sent them; none for the other types.
    // Keys that were not found have no item.
    iterator begin() const noexcept {
        return type() == memcached_type::values ? iterator(bytes_) : iterator();
    }
    iterator end() const noexcept { return iterator(); }

    // The reply as it was sent.
    std::string_view bytes() const noexcept { return bytes_; }
    template <class Other>
    bool operator==(const basic_memcached_reply<Other>& other) const noexcept {
        return bytes() == other.bytes();
    }

private:
    Bytes bytes_{"END\r\n"};
};

using memcached_view = basic_memcached_reply<std::string_view>;
using memcached_reply = basic_memcached_reply<std::string>;

template <>
struct owned<memcached_view> {
    using type = memcached_reply;
};

// The protocol of a client.
class ICE_API memcached {
public:
    // Bytes of a line with its line end. Those of memcached have about 700 at most: a key of 250
    // bytes, an opaque, numbers, or the text of an error.
    static constexpr std::size_t line_limit = 4096;

    // A reply has at most 1 MiB, as limits::message.
    memcached() = default;
    // A reply, or a request, has at most `limit` bytes, lines and line ends included.
    // limits::message and pool_limits::message bound it as well: raise both for larger values, and
    // for the sum of what one get reads.
    explicit memcached(std::size_t limit) : limit_(limit) {}

    // Returns one reply. It resumes where it stopped, so its cost is O(n) however the bytes arrive.
    // It reserves no memory for a length that is only declared. Returns errc::message_too_large for
    // a reply longer than the limit, or as soon as a length that it declares would make it so, and
    // for a line longer than line_limit; errc::bad_message for what is no reply.
    //
    // After ERROR to a request with a value, the server may take the value for commands and reply
    // to them as well. So parse() returns that reply, and errc::bad_message for all bytes behind
    // it: the connection ends, and no request gets the reply of another.
    parsed<memcached_view> parse(std::string_view input);

    // Appends the request. Returns errc::unencodable as memcached_command says, and
    // errc::message_too_large beyond the limit.
    error_code packet(const memcached_command& command, std::string& out);

private:
    enum class step : std::uint8_t { taken, more, too_large, bad };

    step take(std::string_view input);
    step take_line(std::string_view line, std::size_t end);
    step take_data(std::string_view input);

    std::size_t limit_ = 1024 * 1024;  // limits::message
    std::size_t at_ = 0;               // the offset of the first line, or data, that is not whole
    std::size_t scanned_ = 0;          // the line has no CR before this offset
    std::size_t data_ = 0;             // bytes of the data at at_
    bool in_data_ = false;
    bool in_values_ = false;  // an item was taken: more items or END follow
    bool is_whole_ = false;   // nothing follows
    bool is_lost_ = false;    // what follows ERROR may reply to no request
    std::uint64_t requests_ = 0, replies_ = 0;
    std::uint64_t last_value_ = 0;  // the number of the last request with a value
};

}  // namespace ice
