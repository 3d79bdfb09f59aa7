// The state machine of resp.hpp. parse() checks a whole value, so the functions that read a value
// later rely on its form.
#include <algorithm>
#include <charconv>
#include <ice/protocols/resp.hpp>
#include <limits>
#include <stdexcept>
#include <utility>

namespace ice {
namespace {

constexpr std::size_t header_limit = 32;  // bytes of a number: 64 bits have 20 digits
constexpr std::size_t least_value = 3;    // "+\r\n": no element of an array is shorter

// What the first line of a value has behind the type.
enum class header : std::uint8_t {
    none,    // there is no such type
    text,    // a text or a number of any length: + - , (
    word,    // a number of 64 bits, t or f, or nothing: : # _
    length,  // the number of bytes that follow: $ ! =
    count    // the number of values that follow, or of pairs: * % ~ > |
};
header header_of(char type) noexcept {
    switch (type) {
        case '$':
        case '!':
        case '=': return header::length;
        case '*':
        case '%':
        case '~':
        case '>':
        case '|': return header::count;
        case '+':
        case '-':
        case ',':
        case '(': return header::text;
        case ':':
        case '#':
        case '_': return header::word;
        default: return header::none;
    }
}

// Reads a decimal number. RESP allows a sign +, which from_chars() does not.
bool read_number(std::string_view text, std::int64_t& number) noexcept {
    if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
    // from_chars() reads the sign of "-1" itself; "+-1" is no number.
    const char* end = text.data() + text.size();
    const auto [read, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && read == end;
}

bool remove_sign(std::string_view& text) noexcept {
    const bool is = text.starts_with('-') || text.starts_with('+');
    if (is) text.remove_prefix(1);
    return is;
}
// Removes digits. False if there are none.
bool remove_digits(std::string_view& text) noexcept {
    const std::size_t end = std::min(text.find_first_not_of("0123456789"), text.size());
    text.remove_prefix(end);
    return end != 0;
}

// Digits, a fraction, and an exponent; 1e400 is allowed. from_chars() would not do, as it reads
// other forms as well, and not all numbers.
bool is_double(std::string_view text) noexcept {
    remove_sign(text);
    if (text == "inf" || text == "nan") return true;  // Redis 7.0 sends also -nan
    if (!remove_digits(text)) return false;
    if (text.starts_with('.')) {
        text.remove_prefix(1);
        remove_digits(text);
    }
    if (text.starts_with('e') || text.starts_with('E')) {
        text.remove_prefix(1);
        remove_sign(text);
        if (!remove_digits(text)) return false;
    }
    return text.empty();
}

bool is_allowed(char type, std::string_view text) noexcept {
    std::int64_t number = 0;
    switch (type) {
        case ':': return read_number(text, number);
        case '#': return text == "t" || text == "f";
        case '_': return text.empty();
        case ',': return is_double(text);
        case '(': remove_sign(text); return remove_digits(text) && text.empty();
        // A simple string has neither CR nor LF in it.
        default: return text.find('\n') == text.npos;
    }
}

// The text of an error. A server that does not know AUTH may repeat its words, the last of them
// not whole: then only the code remains.
std::string without_secret(std::string_view text, std::string_view password) {
    text = text.substr(0, text.find(", with args beginning with"));  // Redis
    const auto begin = password.substr(0, 4);
    if (begin.empty() || text.find(begin) == text.npos) return std::string(text);
    const auto code = text.substr(0, text.find(' '));
    const bool is_code = code.find(begin) == code.npos;
    return std::string(is_code ? code : "ERR").append(" (a text that may hold the password)");
}

}  // namespace

resp::resp(resp_login login, std::size_t limit)
    : limit_(limit), login_(std::make_shared<const resp_login>(std::move(login))) {
    if (login_->version != 2 && login_->version != 3)
        throw std::invalid_argument("RESP has the versions 2 and 3");
}

std::size_t resp::log_in(std::string& out) const {
    if (is_server_ || login_ == nullptr) return 0;
    const resp_login& l = *login_;
    std::size_t commands = 0;
    const auto append = [&](const resp_value& command) {
        out += command.bytes();
        ++commands;
    };
    // AUTH by itself and not within HELLO: Redis 5 repeats the words of HELLO in its error.
    if (!l.user.empty()) append(resp_command("AUTH", l.user, l.password));
    else if (!l.password.empty()) append(resp_command("AUTH", l.password));
    if (l.version != 2) append(resp_command("HELLO", l.version));
    if (!l.name.empty()) append(resp_command("CLIENT", "SETNAME", l.name));
    if (l.database != 0) append(resp_command("SELECT", l.database));
    return commands;
}

error_code resp::logged_in(const resp_view& reply) const {
    if (!reply.is_error()) return {};
    return refusal_error(without_secret(reply.text(), login_->password));
}

parsed<resp_view> resp::parse(std::string_view input) {
    while (at_ < input.size()) {
        switch (take(input)) {
            case step::taken: break;
            case step::more: return need_more;
            case step::too_large: return errc::message_too_large;
            case step::bad: return errc::bad_message;
        }
        scanned_ = 0;
        while (depth_ != 0 && left_[depth_ - 1] == 0) --depth_;  // those whose last element it is
        if (depth_ == 0) {
            const std::size_t size = std::exchange(at_, 0);
            if (input[0] == '>' && !takes_pushes_) return skip{size};
            return {resp_view(input.substr(0, size)), size};
        }
    }
    return need_more;
}

// Takes the value at at_; of an array and the like only its header. Each error depends only on the
// bytes before it, so it is the same wherever the input is cut.
resp::step resp::take(std::string_view input) {
    const char type = input[at_];
    const header is = header_of(type);
    if (is == header::none) return step::bad;
    const bool is_text = is == header::text;
    // A number must end within header_limit, so digits without an end are refused early. A text may
    // be as long as the limit.
    const auto seen = is_text ? input : input.substr(0, at_ + header_limit);
    const std::size_t cr = seen.find('\r', std::max(scanned_, at_ + 1));
    if (cr == seen.npos) {
        if (seen.size() > limit_ || limit_ - seen.size() < 2) return step::too_large;  // 2: CR LF
        if (!is_text && seen.size() == at_ + header_limit) return step::bad;
        scanned_ = seen.size();
        return step::more;
    }
    if (cr > limit_ || limit_ - cr < 2) return step::too_large;
    // The next search begins at this CR, whose LF may be in the next segment.
    scanned_ = cr;
    if (cr + 1 == input.size()) return step::more;
    if (input[cr + 1] != '\n') return step::bad;

    const std::size_t end = cr + 2;
    const auto text = input.substr(at_ + 1, cr - at_ - 1);
    if (is == header::length || is == header::count) return take_number(input, text, end);
    return is_allowed(type, text) ? taken(end) : step::bad;
}

// Takes the value at at_, whose header ends at `end` and has this number.
resp::step resp::take_number(std::string_view input, std::string_view text, std::size_t end) {
    const char type = input[at_];
    // -1 is null, which RESP2 has of two types; no other number has a sign.
    if (text == "-1" && (type == '$' || type == '*')) return taken(end);
    std::int64_t number = 0;
    if (!read_number(text, number) || text[0] == '-' || text[0] == '+') return step::bad;
    const auto size = static_cast<std::size_t>(number);
    return header_of(type) == header::length ? take_bulk(input, end, size)
                                             : open_aggregate(type, end, size);
}

resp::step resp::taken(std::size_t end) {
    at_ = end;
    if (depth_ != 0) --left_[depth_ - 1];
    return step::taken;
}

// Compares by subtraction, as a declared size may be so large that a sum overflows.
resp::step resp::take_bulk(std::string_view input, std::size_t end, std::size_t size) {
    const std::size_t room = limit_ - end;
    if (room < 2 || size > room - 2) return step::too_large;
    const bool is_verbatim = input[at_] == '=';  // its text has three letters and ':' before it
    if (is_verbatim && size < 4) return step::bad;
    if (input.size() - end < size + 2) return step::more;
    if (input[end + size] != '\r' || input[end + size + 1] != '\n') return step::bad;
    if (is_verbatim && input[end + 3] != ':') return step::bad;
    return taken(end + size + 2);
}

// An element has at least three bytes, so a count that cannot fit is refused before they arrive.
resp::step resp::open_aggregate(char type, std::size_t end, std::size_t size) {
    // The value behind an attribute is its last element.
    const std::size_t each = type == '%' || type == '|' ? 2 : 1, last = type == '|' ? 1 : 0;
    const std::size_t most = std::min<std::size_t>((limit_ - end) / least_value,
                                                   std::numeric_limits<std::uint32_t>::max());
    if (last > most || size > (most - last) / each) return step::too_large;
    if (depth_ == depth_limit || (type == '>' && (depth_ != 0 || is_server_))) return step::bad;
    taken(end);  // counts as an element of the enclosing value
    left_[depth_++] = static_cast<std::uint32_t>(size * each + last);
    return step::taken;
}

error_code resp::packet(resp_view value, std::string& out) {
    // The bytes are a whole value already: parse() or a function above has made them.
    if (value.bytes().size() > limit_) return make_error_code(errc::message_too_large);
    out.append(value.bytes());
    return {};
}

}  // namespace ice
