// Parses with any delimiter, and packs lines. It is compiled as C++23 where the compiler can, for
// std::string::resize_and_overwrite().
#include <algorithm>
#include <ice/protocols/line.hpp>
#include <stdexcept>

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace ice {
namespace {

constexpr std::int16_t no_char = 256;
constexpr std::size_t usual_most = 256;  // for longer texts memchr and memcpy are worth their calls
const error_code no_error;               // constructing one costs a call

// Copies a text that does not contain `c`. Returns false if it does; then the bytes at `to` are
// unspecified. With SSE2 it makes no call, so no register is saved for one: that halves the cost of
// memchr and memcpy.
bool copy_without(char c, std::string_view text, char* to) noexcept {
#ifdef __SSE2__
    constexpr std::size_t block = sizeof(__m128i);
    if (text.size() >= block) {
        const __m128i wanted = _mm_set1_epi8(c);
        __m128i found = _mm_setzero_si128();
        const auto copy = [&](std::size_t at) {
            const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(text.data() + at));
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to + at), b);
            found = _mm_or_si128(found, _mm_cmpeq_epi8(b, wanted));
        };
        const std::size_t last = text.size() - block;
        for (std::size_t at = 0; at < last; at += block) copy(at);
        copy(last);  // overlaps the block before it
        return _mm_movemask_epi8(found) == 0;
    }
    for (const char one : text) {
        if (one == c) return false;
        *to++ = one;
    }
    return true;
#else
    if (text.find(c) != text.npos) return false;
    std::copy(text.begin(), text.end(), to);
    return true;
#endif
}

}  // namespace

line::line(std::string delimiter, std::size_t limit)
    : delimiter_(std::move(delimiter)),
      limit_(static_cast<std::uint32_t>(std::min<std::size_t>(limit, UINT32_MAX))) {
    if (delimiter_.empty()) throw std::invalid_argument("line: an empty delimiter");
    const bool usual = delimiter_.size() == 2 && delimiter_[0] != delimiter_[1];
    first_of_two_ = usual ? static_cast<std::int16_t>(delimiter_[0]) : no_char;
    last_ = delimiter_.back();
}

// Searches for the last byte of the delimiter, and compares the whole delimiter only there.
parsed<std::string_view> line::parse_any(std::string_view input) {
    while (scanned_ < input.size()) {
        scanned_ = std::min(input.find(last_, scanned_), input.size() - 1) + 1;
        const auto found = input.substr(0, scanned_);
        if (!found.ends_with(delimiter_)) continue;
        scanned_ = 0;
        const std::size_t size = found.size() - delimiter_.size();
        if (size > limit_) return errc::message_too_large;
        return {found.substr(0, size), found.size()};
    }
    // The last bytes may be the beginning of the delimiter, so they do not count for the limit yet.
    if (scanned_ >= delimiter_.size() && scanned_ - delimiter_.size() >= limit_)
        return errc::message_too_large;
    return need_more;
}

// The fast path: a text that does not contain the last byte of a delimiter of two bytes, and for
// which `out` has room.
error_code line::packet(std::string_view text, std::string& out) {
#ifdef __cpp_lib_string_resize_and_overwrite  // append() twice asks for room twice: twice the cost
    const std::size_t before = out.size();
    const std::size_t size = before + text.size() + 2;
    if (first_of_two_ != no_char && text.size() <= std::min<std::size_t>(limit_, usual_most) &&
        size <= out.capacity()) {
        // Ignores the size parameter, as GCC 12 may pass a larger one.
        out.resize_and_overwrite(size, [&](char* all, std::size_t) {
            if (!copy_without(last_, text, all + before)) return before;
            std::memcpy(all + before + text.size(), delimiter_.data(), 2);
            return size;
        });
        if (out.size() == size) return no_error;
    }
#endif
    return packet_any(text, out);
}

// Appends first, and then searches: the text's end and the delimiter's beginning may form another
// delimiter.
error_code line::packet_any(std::string_view text, std::string& out) const {
    if (text.size() > limit_) return make_error_code(errc::message_too_large);
    const std::size_t before = out.size();
    out.append(text).append(delimiter_);
    if (out.find(delimiter_, before) == before + text.size()) return {};
    out.resize(before);
    return make_error_code(errc::unencodable);
}

}  // namespace ice
