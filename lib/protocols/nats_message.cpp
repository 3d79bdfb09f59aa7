// Reads the headers of a message of NATS.
#include <algorithm>
#include <ice/nats_message.hpp>

namespace ice {
namespace {

constexpr std::string_view nats_headers_version = "NATS/1.0";

// What stands behind the version in the first line; empty if the bytes are no headers.
std::string_view nats_status_line(std::string_view headers) noexcept {
    if (!headers.starts_with(nats_headers_version)) return {};
    const auto line = headers.substr(0, std::min(headers.find("\r\n"), headers.size()));
    return line.substr(nats_headers_version.size());
}

std::string_view nats_trimmed(std::string_view text) noexcept {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_nats_digit(char c) noexcept { return c >= '0' && c <= '9'; }

}  // namespace

namespace detail {

int nats_status(std::string_view headers) noexcept {
    const auto line = nats_trimmed(nats_status_line(headers));
    const auto code = line.substr(0, line.find(' '));
    if (code.size() != 3 || !std::all_of(code.begin(), code.end(), is_nats_digit)) return 0;
    return (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
}

std::string_view nats_description(std::string_view headers) noexcept {
    const auto line = nats_trimmed(nats_status_line(headers));
    return nats_status(headers) == 0 ? std::string_view() : nats_trimmed(line.substr(3));
}

std::string_view nats_fields(std::string_view headers) noexcept {
    const std::size_t end = headers.find("\r\n");
    if (!headers.starts_with(nats_headers_version) || end == headers.npos) return {};
    return headers.substr(end + 2);
}

std::size_t nats_next(std::string_view fields, nats_header& header) noexcept {
    const std::size_t end = fields.find("\r\n");
    if (end == fields.npos) return 0;
    const auto line = fields.substr(0, end);
    const std::size_t colon = line.find(':');
    if (colon == line.npos || colon == 0) return 0;
    header.name = line.substr(0, colon);
    header.value = nats_trimmed(line.substr(colon + 1));
    return end + 2;
}

}  // namespace detail
}  // namespace ice
