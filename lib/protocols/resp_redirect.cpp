// Reads the redirections of Redis Cluster.
#include <charconv>
#include <ice/resp_redirect.hpp>

namespace ice {
namespace {

constexpr std::uint16_t last_slot = 16383;

bool read_digits_to(std::string_view digits, std::uint16_t& number) noexcept {
    const char* const end = digits.data() + digits.size();
    const auto [end_of_number, error] = std::from_chars(digits.data(), end, number);
    return error == std::errc() && end_of_number == end;
}

}  // namespace

std::optional<resp_redirect> redirect_of(resp_view reply) noexcept {
    if (!reply.is_error()) return std::nullopt;
    std::string_view text = reply.text();
    resp_redirect found;
    if (text.starts_with("MOVED ")) text.remove_prefix(6);
    else if (text.starts_with("ASK ")) text.remove_prefix(4);
    else return std::nullopt;
    if (reply.text().starts_with("ASK")) found.kind = resp_redirect::kinds::ask;

    const std::size_t blank = text.find(' ');
    // The last colon: Redis writes an IPv6 address without brackets.
    const std::size_t colon = text.rfind(':');
    if (blank == text.npos || colon == text.npos || colon < blank) return std::nullopt;
    found.host = text.substr(blank + 1, colon - blank - 1);
    if (found.host.starts_with('[') && found.host.ends_with(']'))
        found.host = found.host.substr(1, found.host.size() - 2);
    const bool is_whole = read_digits_to(text.substr(0, blank), found.slot) &&
                          read_digits_to(text.substr(colon + 1), found.port);
    if (!is_whole || found.slot > last_slot || found.port == 0 || found.host == "?" ||
        found.host.find(' ') != text.npos)
        return std::nullopt;
    return found;
}

}  // namespace ice
