// nats_message: what a NATS server sends: a message of a subject, with headers if it has any, or an
// error. nats::parse() makes it. No I/O.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/detail/part_iterator.hpp>
#include <ice/protocol.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace ice {

enum class nats_type : std::uint8_t {
    message,  // MSG or HMSG: it was published on a subject
    error,    // -ERR, and a text; of those that end no connection: nats.hpp
    pong,     // PONG, after nats::take_pongs()
    info,     // INFO, after nats::take_infos(): nats::server() has what it says
};

// One header. Its views are valid as long as the bytes that they refer to.
struct nats_header {
    std::string_view name;   // printable ASCII without ':'
    std::string_view value;  // any bytes but CR and LF
};

namespace detail {

// Where the parts of a message are in its bytes.
struct nats_layout {
    std::uint64_t sid = 0;
    std::uint32_t headers = 0;              // their offset, that of "NATS/1.0"
    std::uint32_t headers_size = 0;         // with the empty line at their end
    std::uint32_t payload_size = 0;         // the payload follows the headers
    std::uint16_t text = 0, text_size = 0;  // the subject, or the text of an error
    std::uint16_t reply_to = 0, reply_to_size = 0;
    nats_type type = nats_type::message;
};

// These functions read headers. They take any bytes, as the server does not check what a publisher
// sends.
ICE_API int nats_status(std::string_view headers) noexcept;
ICE_API std::string_view nats_description(std::string_view headers) noexcept;
// The headers without their first line.
ICE_API std::string_view nats_fields(std::string_view headers) noexcept;
// Returns the bytes of the first header of `fields`; 0 at their end.
ICE_API std::size_t nats_next(std::string_view fields, nats_header& header) noexcept;

}  // namespace detail

// One message: a nats_view of bytes elsewhere, or a nats_message with bytes of its own. A
// nats_view that parse() returned is valid until the next parse(). The accessors never fail: a
// part that the message does not have is empty.
template <class Bytes>
class basic_nats_message {
public:
    using owns = std::is_same<Bytes, std::string>;  // see ice::owned

    basic_nats_message() = default;
    basic_nats_message(Bytes bytes, const detail::nats_layout& layout)
        : bytes_(std::move(bytes)), layout_(layout) {}
    template <class Other>
        requires(!std::same_as<Bytes, Other>)
    basic_nats_message(const basic_nats_message<Other>& other)
        : bytes_(other.bytes()), layout_(other.layout()) {}

    nats_type type() const noexcept { return layout_.type; }
    bool is_error() const noexcept { return type() == nats_type::error; }

    // What it was published on; without wildcards.
    std::string_view subject() const noexcept {
        return type() == nats_type::message ? part(layout_.text, layout_.text_size)
                                            : std::string_view();
    }
    // The number that the subscription was given.
    std::uint64_t sid() const noexcept { return layout_.sid; }
    // Where the publisher expects a reply: nats_reply() sends one. Empty if it expects none.
    std::string_view reply_to() const noexcept {
        return part(layout_.reply_to, layout_.reply_to_size);
    }
    std::string_view payload() const noexcept {
        return part(layout_.headers + layout_.headers_size, layout_.payload_size);
    }
    // The text of an error, such as "Permissions Violation for Publish to "a"".
    std::string_view text() const noexcept {
        return is_error() ? part(layout_.text, layout_.text_size) : std::string_view();
    }

    // Of the headers' first line, as in "NATS/1.0 503 No Responders": 503; 0 without one.
    int status() const noexcept { return detail::nats_status(all_headers()); }
    std::string_view description() const noexcept {
        return detail::nats_description(all_headers());
    }
    // Whether it is the server's reply to a request that nobody has received: no subscription has
    // its subject.
    bool has_no_responders() const noexcept { return payload().empty() && status() == 503; }
    // The value of the first header with this name; compares with case, as clients of NATS do.
    std::optional<std::string_view> header(std::string_view name) const noexcept {
        for (const nats_header one : headers()) {
            if (one.name == name) return one.value;
        }
        return std::nullopt;
    }

    using iterator = detail::part_iterator<nats_header, detail::nats_next>;
    struct range {
        iterator first;
        iterator begin() const { return first; }
        iterator end() const { return {}; }
    };
    // In the order in which they were sent; a name may come more than once. The server does not
    // check what a publisher sends: headers end at the first line that is none.
    range headers() const noexcept { return {iterator(detail::nats_fields(all_headers()))}; }

    // The message as it was sent.
    std::string_view bytes() const noexcept { return bytes_; }
    const detail::nats_layout& layout() const noexcept { return layout_; }
    template <class Other>
    bool operator==(const basic_nats_message<Other>& other) const noexcept {
        return bytes() == other.bytes();
    }

private:
    // Empty if the bytes were moved from.
    std::string_view part(std::size_t at, std::size_t size) const noexcept {
        const std::string_view all = bytes_;
        return at + size <= all.size() ? all.substr(at, size) : std::string_view();
    }
    std::string_view all_headers() const noexcept {
        return part(layout_.headers, layout_.headers_size);
    }

    Bytes bytes_{};
    detail::nats_layout layout_;
};

using nats_view = basic_nats_message<std::string_view>;
using nats_message = basic_nats_message<std::string>;

template <>
struct owned<nats_view> {
    using type = nats_message;
};

}  // namespace ice
