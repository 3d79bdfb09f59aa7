// Reads and writes lengths. A varint that counts itself has the only size that is minimal.
#include <array>
#include <bit>
#include <ice/protocols/length_prefixed.hpp>

namespace ice {
namespace {

constexpr std::size_t varint_bits = 7;  // of each byte; the eighth says that another one follows
constexpr std::size_t longest_varint = 10;  // bytes of 64 bits
constexpr std::size_t malformed = longest_varint + 1;

// In bytes; 0: it depends on the value.
std::size_t fixed_size(length_prefix prefix) noexcept {
    switch (prefix) {
        case length_prefix::u8: return 1;
        case length_prefix::u16_be:
        case length_prefix::u16_le: return 2;
        case length_prefix::u32_be:
        case length_prefix::u32_le: return 4;
        case length_prefix::u64_be:
        case length_prefix::u64_le: return 8;
        case length_prefix::varint: break;
    }
    return 0;
}

bool is_big_endian(length_prefix prefix) noexcept {
    return prefix == length_prefix::u16_be || prefix == length_prefix::u32_be ||
           prefix == length_prefix::u64_be;
}

std::size_t varint_size(std::uint64_t value) noexcept {
    const auto bits = static_cast<std::size_t>(std::bit_width(value | 1));  // 0 takes a byte, too
    return (bits + varint_bits - 1) / varint_bits;
}

// Returns the size of the varint, 0 if the input ends within it, or `malformed`.
std::size_t read_varint(std::string_view input, std::uint64_t& value) noexcept {
    for (std::size_t i = 0; i < input.size(); ++i) {
        const auto byte = static_cast<unsigned char>(input[i]);
        // The last byte has room for one bit of 64, and none may follow it.
        if (i == longest_varint - 1 && byte > 1) return malformed;
        value |= std::uint64_t{byte & 0x7fU} << (varint_bits * i);
        if (byte < 0x80) return i + 1;
    }
    return 0;
}

std::uint64_t read_fixed(std::string_view bytes, bool big_endian) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const std::size_t at = big_endian ? i : bytes.size() - 1 - i;
        value = value << 8 | static_cast<unsigned char>(bytes[at]);
    }
    return value;
}

}  // namespace

length_prefixed length_prefixed::counting_prefix() const noexcept {
    length_prefixed copy = *this;
    copy.counts_prefix_ = true;
    return copy;
}

// A varint that counts itself may need a byte more because of that byte.
std::size_t length_prefixed::prefix_size(std::uint64_t message) const noexcept {
    std::size_t size = fixed_size(prefix_);
    if (size != 0) return size;
    if (!counts_prefix_) return varint_size(message);
    do ++size;
    while (varint_size(message + size) > size);
    return size;
}

parsed<std::string_view> length_prefixed::parse(std::string_view input) const {
    std::uint64_t length = 0;
    std::size_t size = fixed_size(prefix_);
    if (size == 0) {
        size = read_varint(input, length);
        if (size == malformed) return errc::bad_message;
        if (size == 0) return need_more;
    } else {
        if (input.size() < size) return need_more;
        length = read_fixed(input.substr(0, size), is_big_endian(prefix_));
    }
    if (counts_prefix_) {
        if (length < size) return errc::bad_message;
        length -= size;
    }
    if (size != prefix_size(length)) return errc::bad_message;
    if (length > limit_) return errc::message_too_large;
    const auto message = static_cast<std::size_t>(length);
    if (input.size() - size < message) return need_more;
    return {input.substr(size, message), size + message};
}

error_code length_prefixed::packet(std::string_view message, std::string& out) const {
    const std::size_t size = prefix_size(message.size());
    std::uint64_t length = message.size();
    if (counts_prefix_) length += size;
    const bool is_varint = prefix_ == length_prefix::varint;
    if (!is_varint && size < sizeof length && length >> (8 * size) != 0)
        return make_error_code(errc::unencodable);
    if (message.size() > limit_) return make_error_code(errc::message_too_large);

    std::array<char, longest_varint> prefix{};
    const std::size_t bits = is_varint ? varint_bits : 8;
    for (std::size_t i = 0; i < size; ++i, length >>= bits) {
        const std::size_t at = is_big_endian(prefix_) ? size - 1 - i : i;
        const std::uint64_t follows = is_varint && i + 1 < size ? 0x80 : 0;
        const std::uint64_t mask = is_varint ? 0x7f : 0xff;
        prefix[at] = static_cast<char>((length & mask) | follows);
    }
    out.append(prefix.data(), size).append(message);
    return {};
}

}  // namespace ice
