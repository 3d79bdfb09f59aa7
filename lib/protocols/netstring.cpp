// Reads the digits anew at each call: the limit has at most twenty, so a call costs the same
// however long the message is.
#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <ice/protocols/netstring.hpp>
#include <limits>

namespace ice {
namespace {

// A length of the limit and one digit more must not overflow.
constexpr std::size_t highest_limit = SIZE_MAX / 16;

}  // namespace

netstring::netstring(std::size_t limit) noexcept : limit_(std::min(limit, highest_limit)) {}

parsed<std::string_view> netstring::parse(std::string_view input) const {
    std::size_t size = 0, digits = 0;
    for (; digits < input.size() && input[digits] >= '0' && input[digits] <= '9'; ++digits) {
        if (digits == 1 && size == 0) return errc::bad_message;
        size = 10 * size + static_cast<std::size_t>(input[digits] - '0');
        if (size > limit_) return errc::message_too_large;
    }
    if (digits == input.size()) return need_more;
    if (digits == 0 || input[digits] != ':') return errc::bad_message;
    const std::string_view rest = input.substr(digits + 1);
    if (rest.size() <= size) return need_more;
    if (rest[size] != ',') return errc::bad_message;
    return {rest.substr(0, size), digits + 1 + size + 1};
}

error_code netstring::packet(std::string_view message, std::string& out) const {
    if (message.size() > limit_) return make_error_code(errc::message_too_large);
    std::array<char, std::numeric_limits<std::size_t>::digits10 + 1> digits{};
    const auto end =
        std::to_chars(digits.data(), digits.data() + digits.size(), message.size()).ptr;
    out.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
    out.append(1, ':').append(message).append(1, ',');
    return {};
}

}  // namespace ice
