// Compares `length_prefixed` with a parser that reads digits to the base 256 or 128, and then
// writes the prefix of what it has found: only the same bytes are right.
#include <ice/limits.hpp>
#include <ice/protocols/length_prefixed.hpp>

#include "fuzz.hpp"

namespace {

struct variant {
    ice::length_prefix prefix;
    std::size_t bytes;  // 0: a varint
    bool big;
};
constexpr variant variants[] = {
    {ice::length_prefix::u8, 1, true},      {ice::length_prefix::u16_be, 2, true},
    {ice::length_prefix::u16_le, 2, false}, {ice::length_prefix::u32_be, 4, true},
    {ice::length_prefix::u32_le, 4, false}, {ice::length_prefix::u64_be, 8, true},
    {ice::length_prefix::u64_le, 8, false}, {ice::length_prefix::varint, 0, false}};

std::string varint(std::uint64_t value) {
    std::string text;
    for (; value >= 128; value /= 128) text += static_cast<char>(value % 128 + 128);
    return text + static_cast<char>(value);
}

// What precedes a message of `size` bytes.
std::string head(const variant& v, bool counted, std::uint64_t size) {
    if (v.bytes == 0) {
        std::size_t own = counted ? 1 : 0;
        while (counted && varint(size + own).size() > own) ++own;
        return varint(size + own);
    }
    std::uint64_t length = size + (counted ? v.bytes : 0);
    std::string text;
    for (std::size_t i = 0; i < v.bytes; ++i, length /= 256)
        text.insert(v.big ? 0 : text.size(), 1, static_cast<char>(length % 256));
    return text;
}

// Reads the first message: returns its size, and what is wrong with it.
struct first {
    std::size_t head = 0, size = 0;
    bool whole = false;
    ice::error_code error;
};
first read(const variant& v, bool counted, std::size_t limit, std::string_view input) {
    first found;
    std::size_t n = v.bytes;
    if (n == 0) {
        while (n < input.size() && n < 10 && static_cast<unsigned char>(input[n]) >= 128) ++n;
        ++n;
    }
    if (v.bytes == 0 && n > 10) found.error = ice::errc::bad_message;
    if (found.error || input.size() < n) return found;
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < n; ++i) {
        const auto byte = static_cast<unsigned char>(input[v.big ? i : n - 1 - i]);
        length = v.bytes == 0 ? length * 128 + byte % 128 : length * 256 + byte;
    }
    const std::uint64_t own = counted ? n : 0;
    if (length < own || head(v, counted, length - own) != input.substr(0, n)) {
        found.error = ice::errc::bad_message;
    } else if (length - own > limit) {
        found.error = ice::errc::message_too_large;
    } else {
        found.head = n;
        found.size = length - own;
        found.whole = input.size() - n >= found.size;
    }
    return found;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    static const std::size_t limits[] = {1024 * 1024, 5, ice::unlimited};
    const variant& v = variants[in.choose(8)];
    const bool counted = in.choose(2) == 1;
    const std::size_t limit = limits[in.choose(3)];
    ice::length_prefixed p(v.prefix, limit);
    if (counted) p = p.counting_prefix();
    const auto seen = fuzz::same_at_every_cut(p, in);

    std::string_view rest = in.data();
    for (const std::string& found : seen.messages) {
        const first next = read(v, counted, limit, rest);
        fuzz::check(next.whole && rest.substr(next.head, next.size) == found, "it is the next one");
        std::string sent;
        fuzz::check(!ice::packet(p, std::string_view(found), sent) &&
                        sent == rest.substr(0, next.head + next.size),
                    "a message can be sent back, as the same bytes");
        rest.remove_prefix(sent.size());
    }
    const first next = read(v, counted, limit, rest);
    fuzz::check(seen.error == next.error, "the error is that of the next message");
    fuzz::check(!next.whole, "no message is left over");
    return 0;
}
