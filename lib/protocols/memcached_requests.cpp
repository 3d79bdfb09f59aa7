// The state machine of memcached_requests.hpp. The line says whether a value follows, and how long
// it is.
#include <algorithm>
#include <array>
#include <charconv>
#include <ice/protocols/memcached_requests.hpp>
#include <utility>

namespace ice {
namespace {

// The commands with a value or with noreply. The words of their lines: the length of the value, and
// the first one that can be noreply.
struct known_command {
    std::string_view name;
    std::size_t length_at, quiet_at;
};
constexpr std::array known_commands{
    known_command{"set", 4, 5},       known_command{"add", 4, 5},
    known_command{"replace", 4, 5},   known_command{"append", 4, 5},
    known_command{"prepend", 4, 5},   known_command{"cas", 4, 6},
    known_command{"ms", 2, 0},        known_command{"delete", 0, 2},
    known_command{"incr", 0, 3},      known_command{"decr", 0, 3},
    known_command{"touch", 0, 3},     known_command{"flush_all", 0, 1},
    known_command{"verbosity", 0, 1},
};

const known_command* find_command(std::string_view name) noexcept {
    const auto* const found = std::find_if(known_commands.begin(), known_commands.end(),
                                           [&](const auto& c) { return c.name == name; });
    return found == known_commands.end() ? nullptr : found;
}

// Sends an error, and returns that with which the connection ends.
errc refuse(errc why, std::string_view reply, std::string& out) {
    out.append(reply).append("\r\n");
    return why;
}
errc bad_line(std::string& out) {
    return refuse(errc::bad_message, "CLIENT_ERROR bad command line format", out);
}

bool is_control(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte < ' ' || byte == 0x7f;
}

memcached_reply text_reply(std::string reply, std::string_view text) {
    for (const char c : text) reply += is_control(c) ? ' ' : c;
    return memcached_reply(std::move(reply += "\r\n"));
}

}  // namespace

namespace detail {

std::string_view memcached_request_line(std::string_view bytes) noexcept {
    auto line = bytes.substr(0, bytes.find('\n'));
    if (line.ends_with('\r')) line.remove_suffix(1);
    return line;
}

std::string_view memcached_request_word(std::string_view& line) noexcept {
    line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
    const auto word = line.substr(0, line.find(' '));
    line.remove_prefix(word.size());
    return word;
}

std::string_view memcached_request_value(std::string_view bytes) noexcept {
    const std::size_t end = bytes.find('\n');
    if (end == bytes.npos || end + 1 == bytes.size()) return {};
    return bytes.substr(end + 1, bytes.size() - end - 3);  // CR LF is behind it
}

bool memcached_request_is_quiet(std::string_view bytes) noexcept {
    const memcached_request_view request(bytes);
    const auto* const known = find_command(request.word(0));
    if (known == nullptr || known->quiet_at == 0) return false;
    const std::size_t last = request.size() - 1;
    return last >= known->quiet_at && request.word(last) == "noreply";
}

std::optional<std::uint64_t> memcached_request_number(std::string_view word) noexcept {
    std::uint64_t number = 0;
    const char* const end = word.data() + word.size();
    const auto [read, error] = std::from_chars(word.data(), end, number);  // reads no sign
    if (error != std::errc() || read != end) return std::nullopt;
    return number;
}

}  // namespace detail

memcached_reply memcached_values(std::span<const memcached_item> items, bool with_cas) {
    std::string out;
    const auto number = [&out](std::uint64_t n) {
        char digits[20];  // of 64 bits
        (out += ' ').append(digits, std::to_chars(digits, digits + sizeof digits, n).ptr);
    };
    for (const memcached_item& item : items) {
        out.append("VALUE ").append(item.key);
        number(item.flags);
        number(item.value.size());
        if (with_cas) number(item.cas);
        out.append("\r\n").append(item.value).append("\r\n");
    }
    return memcached_reply(std::move(out += "END\r\n"));
}

memcached_reply memcached_number(std::uint64_t number) {
    return memcached_reply(std::to_string(number) + "\r\n");
}

memcached_reply memcached_client_error(std::string_view text) {
    return text_reply("CLIENT_ERROR ", text);
}

memcached_reply memcached_server_error(std::string_view text) {
    return text_reply("SERVER_ERROR ", text);
}

parsed<memcached_request_view> memcached_requests::parse(std::string_view input, std::string& out) {
    if (input.empty()) return need_more;
    return in_value_ ? value(input, out) : line(input, out);
}

// Each error depends only on the bytes before it, so it is the same wherever the input is cut.
parsed<memcached_request_view> memcached_requests::line(std::string_view input, std::string& out) {
    const std::size_t lf = input.find('\n', at_);
    const std::size_t seen = std::min(lf, input.size());
    // Whether the line may be long shows in its first bytes, which an end may not cut off here.
    const bool is_long = input.starts_with("get ") || input.starts_with("gets ");
    const std::size_t most = is_long ? limit_ : std::min(line_limit, limit_);
    if (seen >= most) return refuse(errc::message_too_large, "CLIENT_ERROR line too long", out);
    if (lf == input.npos) {
        at_ = input.size();
        return need_more;
    }
    at_ = 0;
    const auto text = detail::memcached_request_line(input.substr(0, lf));
    if (std::any_of(text.begin(), text.end(), is_control)) return bad_line(out);
    const memcached_request_view request(input.substr(0, lf + 1));
    const auto command = request.word(0);
    if (command.empty()) return skip{lf + 1};
    if (command == "quit" && request.size() == 1) return errc::closed;
    const auto* const known = find_command(command);
    if (known == nullptr || known->length_at == 0) return {request, lf + 1};

    const auto size = detail::memcached_request_number(request.word(known->length_at));
    if (!size) return bad_line(out);
    const std::size_t room = limit_ - (lf + 1);
    if (room < 2 || *size > room - 2)
        return refuse(errc::message_too_large, "SERVER_ERROR object too large for cache", out);
    at_ = lf + 1;
    value_ = static_cast<std::size_t>(*size);
    in_value_ = true;
    return value(input, out);
}

parsed<memcached_request_view> memcached_requests::value(std::string_view input, std::string& out) {
    if (input.size() - at_ < value_ + 2) return need_more;
    if (input.substr(at_ + value_, 2) != "\r\n")
        return refuse(errc::bad_message, "CLIENT_ERROR bad data chunk", out);
    const std::size_t size = std::exchange(at_, 0) + value_ + 2;
    in_value_ = false;
    return {memcached_request_view(input.substr(0, size)), size};
}

}  // namespace ice
