// The state machine of resp.hpp. parse() checks a whole value, so the functions that read a value
// later rely on its form.
#include <algorithm>
#include <ice/protocols/resp.hpp>
#include <limits>
#include <utility>

namespace ice {
namespace {

constexpr std::size_t header_limit = 32;  // bytes of a number: 64 bits have 20 digits
constexpr std::size_t least_value = 3;    // "+\r\n": no element of an array is shorter

// Reads a decimal number. RESP allows a sign +, which from_chars() does not.
bool read_number(std::string_view text, std::int64_t& number) noexcept {
    if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
    // from_chars() reads the sign of "-1" itself; "+-1" is no number.
    const char* end = text.data() + text.size();
    const auto [read, error] = std::from_chars(text.data(), end, number);
    return error == std::errc() && read == end;
}

// Reads the first line of an array or a bulk string that is well-formed and not null. It uses no
// from_chars(), as a length has one or two digits as a rule and a call costs more.
struct head {
    std::size_t number = 0;
    std::size_t end = 0;  // the offset behind CR LF
};
head head_of(std::string_view value) noexcept {
    head found;
    std::size_t at = 1;
    for (; value[at] != '\r'; ++at)
        found.number = 10 * found.number + static_cast<unsigned char>(value[at] - '0');
    found.end = at + 2;
    return found;
}

inline resp_type type_of(std::string_view value) noexcept {
    if (value.size() < least_value) return resp_type::null_bulk;  // a value that was moved from
    // Of a string or an array, whose only length with a sign is -1 (take()). parse() accepts no
    // other type than these five, so the default is a bulk string.
    const bool is_null = value[1] == '-';
    switch (value[0]) {
        case '+': return resp_type::simple_string;
        case '-': return resp_type::error;
        case ':': return resp_type::integer;
        case '*': return is_null ? resp_type::null_array : resp_type::array;
        default: return is_null ? resp_type::null_bulk : resp_type::bulk_string;
    }
}

}  // namespace

namespace detail {

resp_type resp_type_of(std::string_view value) noexcept { return type_of(value); }

std::string_view resp_text(std::string_view value) noexcept {
    switch (type_of(value)) {
        case resp_type::simple_string:
        case resp_type::error:
        case resp_type::integer: return value.substr(1, value.size() - least_value);
        case resp_type::bulk_string: {
            const std::size_t begin = head_of(value).end;
            return value.substr(begin, value.size() - 2 - begin);
        }
        default: return {};
    }
}

std::int64_t resp_integer(std::string_view value) noexcept {
    std::int64_t number = 0;
    if (type_of(value) == resp_type::integer) read_number(resp_text(value), number);
    return number;
}

std::size_t resp_elements(std::string_view value) noexcept {
    if (type_of(value) != resp_type::array) return 0;
    return head_of(value).number;
}

std::string_view resp_first_element(std::string_view array) noexcept {
    if (type_of(array) != resp_type::array) return {};
    return array.substr(head_of(array).end);
}

// Without recursion, as arrays may be nested: the elements of an array are more values to pass.
std::size_t resp_size(std::string_view begins_with_a_value) noexcept {
    const std::string_view bytes = begins_with_a_value;
    if (bytes[0] == '$' && bytes[1] != '-') {  // the most frequent type of elements
        const head only = head_of(bytes);
        return only.end + only.number + 2;
    }
    std::size_t at = 0;
    for (std::size_t left = 1; left != 0; --left) {
        const auto value = bytes.substr(at);
        const char type = value[0];
        if ((type != '$' && type != '*') || value[1] == '-') {
            // A value of one line: its text has no LF, and a null has no bytes behind its header.
            at += value.find('\n') + 1;
            continue;
        }
        const head first = head_of(value);
        at += first.end;
        if (type == '$') at += first.number + 2;
        else left += first.number;
    }
    return at;
}

void append_resp_header(char type, std::int64_t number, std::string& out) {
    char line[24];  // 64 bits have 20 digits
    line[0] = type;
    char* end = std::to_chars(line + 1, line + sizeof line - 2, number).ptr;
    *end++ = '\r';
    *end++ = '\n';
    out.append(line, end);
}

void append_resp_bulk(std::string_view text, std::string& out) {
    append_resp_header('$', static_cast<std::int64_t>(text.size()), out);
    out.append(text).append("\r\n");
}

void append_resp_line(char type, std::string_view text, std::string& out) {
    out.push_back(type);
    for (const char c : text) out.push_back(c == '\r' || c == '\n' ? ' ' : c);
    out.append("\r\n");
}

}  // namespace detail

resp_value resp_simple_string(std::string_view text) {
    std::string out;
    detail::append_resp_line('+', text, out);
    return resp_value(std::move(out));
}

resp_value resp_error(std::string_view text) {
    std::string out;
    detail::append_resp_line('-', text, out);
    return resp_value(std::move(out));
}

resp_value resp_integer(std::int64_t number) {
    std::string out;
    detail::append_resp_header(':', number, out);
    return resp_value(std::move(out));
}

resp_value resp_bulk_string(std::string_view text) {
    std::string out;
    detail::append_resp_bulk(text, out);
    return resp_value(std::move(out));
}

resp_value resp_null_bulk() { return {}; }

resp_value resp_null_array() { return resp_value("*-1\r\n"); }

resp_value resp_array(std::initializer_list<resp_view> elements) {
    std::string out;
    detail::append_resp_header('*', static_cast<std::int64_t>(elements.size()), out);
    for (const resp_view& element : elements) out.append(element.bytes());
    return resp_value(std::move(out));
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
        while (depth_ != 0 && left_[depth_ - 1] == 0) --depth_;  // arrays whose last element it is
        if (depth_ == 0) {
            const std::size_t size = std::exchange(at_, 0);
            return {resp_view(input.substr(0, size)), size};
        }
    }
    return need_more;
}

// Takes the value at at_; of an array only its header. Each error depends only on the bytes before
// it, so it is the same wherever the input is cut.
resp::step resp::take(std::string_view input) {
    const char type = input[at_];
    const bool is_text = type == '+' || type == '-';
    if (!is_text && type != ':' && type != '$' && type != '*') return step::bad;
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
    std::int64_t number = 0;
    if (is_text) {
        // A simple string has neither CR nor LF in it (RESP2).
        if (text.find('\n') != text.npos) return step::bad;
    } else if (!read_number(text, number)) {
        return step::bad;
    }
    if (type != ':' && !is_text && text != "-1") {  // -1 is null; no other length has a sign
        if (text[0] == '-' || text[0] == '+') return step::bad;
        const auto size = static_cast<std::size_t>(number);
        return type == '$' ? take_bulk(input, end, size) : open_array(end, size);
    }
    return taken(end);
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
    if (input.size() - end < size + 2) return step::more;
    if (input[end + size] != '\r' || input[end + size + 1] != '\n') return step::bad;
    return taken(end + size + 2);
}

// An element has at least three bytes, so a count that cannot fit is refused before they arrive.
resp::step resp::open_array(std::size_t end, std::size_t size) {
    if (size > (limit_ - end) / least_value) return step::too_large;
    if (size > std::numeric_limits<std::uint32_t>::max()) return step::too_large;
    if (depth_ == depth_limit) return step::bad;
    taken(end);  // counts as an element of the enclosing array
    left_[depth_++] = static_cast<std::uint32_t>(size);
    return step::taken;
}

error_code resp::packet(resp_view value, std::string& out) {
    // The bytes are a whole value already: parse() or a function above has made them.
    if (value.bytes().size() > limit_) return make_error_code(errc::message_too_large);
    out.append(value.bytes());
    return {};
}

}  // namespace ice
