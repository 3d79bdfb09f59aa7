// length_prefixed: messages of any bytes behind their length, in 1, 2, 4 or 8 bytes or a varint.
// parse() looks only at the prefix, so a call costs the same however the bytes arrive.
#pragma once

#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>

namespace ice {

// How a length is written: in how many bits, and in which order of bytes. be is big-endian, the
// network byte order; le is little-endian.
enum class length_prefix : std::uint8_t {
    u8,
    u16_be,  // DNS over TCP (RFC 1035, 4.2.2)
    u16_le,
    u32_be,  // Kafka
    u32_le,
    u64_be,
    u64_le,
    varint,  // LEB128 as in protobuf: 7 bits a byte, the lowest first; 1 to 10 bytes
};

// Both ends of a connection use it.
//     ice::length_prefixed()                                    32 bits, big-endian
//     ice::length_prefixed(ice::length_prefix::varint)          protobuf's writeDelimitedTo()
//     ice::length_prefixed(ice::length_prefix::u16_le, 1024)    messages of at most 1024 bytes
class ICE_API length_prefixed {
public:
    // 32 bits, big-endian; limit 1 MiB.
    length_prefixed() = default;

    // A message has at most `limit` bytes without its prefix. limits::message bounds it as well,
    // and counts the prefix. A larger `limit` than the prefix can express has no effect.
    explicit length_prefixed(length_prefix prefix, std::size_t limit = 1024 * 1024) noexcept
        : limit_(limit), prefix_(prefix) {}

    // Returns a copy whose lengths count the bytes of the prefix, too. So the length of an empty
    // message is the size of the prefix.
    [[nodiscard]] length_prefixed counting_prefix() const noexcept;

    // Returns the message without its prefix, a view into the input. An empty message is a message.
    // The prefix is checked as soon as it is whole, and nothing is allocated for the bytes that it
    // announces. Errors: errc::message_too_large for a length beyond the limit. errc::bad_message
    // for a length that counts the prefix and is smaller than it, for a varint of more than 64
    // bits, and for one that is longer than its value needs. protobuf's parsers accept the latter;
    // but with two forms of one length, two parsers of one stream could disagree.
    parsed<std::string_view> parse(std::string_view input) const;

    // Appends the prefix and the message. Returns errc::unencodable if the prefix cannot express
    // the length, and errc::message_too_large beyond the limit. logic.hpp says what the session
    // does with an answer that is refused.
    error_code packet(std::string_view message, std::string& out) const;

private:
    std::size_t prefix_size(std::uint64_t message) const noexcept;

    std::size_t limit_ = 1024 * 1024;
    length_prefix prefix_ = length_prefix::u32_be;
    bool counts_prefix_ = false;
};

}  // namespace ice
