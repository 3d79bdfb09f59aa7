// Reads and makes the values of resp_value.hpp. parse() has checked a whole value, so the functions
// that read one rely on its form.
#include <cmath>
#include <ice/resp_value.hpp>
#include <limits>

namespace ice {
namespace {

constexpr std::size_t shortest = 3;  // "+\r\n": no value is shorter

// Reads the first line of an array, a bulk string or the like that is well-formed and not null. It
// uses no from_chars(), as a length has one or two digits as a rule and a call costs more.
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

inline bool is_null(std::string_view value) noexcept { return value[1] == '-'; }

// How many values stand in one of this type, whose header has the number n. An attribute has the
// value behind it as its last one.
std::size_t elements_of(char type, std::size_t n) noexcept {
    switch (type) {
        case '%': return 2 * n;
        case '|': return 2 * n + 1;
        default: return n;
    }
}

// Returns the offset behind so many values. Without recursion, as arrays may be nested: the
// elements of an array are more values to pass.
std::size_t pass(std::string_view bytes, std::size_t left) noexcept {
    std::size_t at = 0;
    for (; left != 0; --left) {
        const auto value = bytes.substr(at);
        switch (value[0]) {
            case '$':
            case '!':
            case '=': {
                const bool is_empty = is_null(value);
                const head first = is_empty ? head() : head_of(value);
                at += is_empty ? 5 : first.end + first.number + 2;  // 5: "$-1\r\n"
                break;
            }
            case '*':
            case '%':
            case '~':
            case '>':
            case '|': {
                if (is_null(value)) {
                    at += 5;  // "*-1\r\n"
                    break;
                }
                const head first = head_of(value);
                at += first.end;
                left += elements_of(value[0], first.number);
                break;
            }
            default: at += value.find('\n') + 1;  // one line, whose text has no LF
        }
    }
    return at;
}

[[gnu::noinline]] std::string_view behind_attributes(std::string_view value) noexcept {
    while (value.size() >= shortest && value[0] == '|') {
        const head first = head_of(value);
        value.remove_prefix(first.end);
        value.remove_prefix(pass(value, 2 * first.number));
    }
    return value;
}

// A value without its attribute. Empty for a value that was moved from. Inline, as each accessor
// of a server's words calls it, and hardly a value has an attribute.
inline std::string_view body_of(std::string_view value) noexcept {
    return !value.empty() && value[0] == '|' ? behind_attributes(value) : value;
}

std::string_view one_line(std::string_view body) noexcept {
    return body.substr(1, body.size() - shortest);
}

double double_of(std::string_view text) noexcept {
    if (text.starts_with('+')) text.remove_prefix(1);
    const bool is_negative = text.starts_with('-');
    if (is_negative) text.remove_prefix(1);
    double number = 0;
    if (text == "inf") number = std::numeric_limits<double>::infinity();
    else if (text == "nan") number = std::numeric_limits<double>::quiet_NaN();
    else if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc()) {
        // Out of range: it is too small if its exponent is negative, or it has only a fraction.
        const bool is_small = text.find('-') != text.npos ||
                              (text.starts_with("0.") && text.find_first_of("eE") == text.npos);
        number = is_small ? 0 : std::numeric_limits<double>::infinity();
    }
    return is_negative ? -number : number;
}

resp_value aggregate(char type, std::initializer_list<resp_view> elements) {
    std::string out;
    detail::append_resp_header(type, static_cast<std::int64_t>(elements.size()), out);
    for (const resp_view& element : elements) out.append(element.bytes());
    return resp_value(std::move(out));
}

}  // namespace

namespace detail {

resp_type resp_type_of(std::string_view value) noexcept {
    const std::string_view body = body_of(value);
    if (body.size() < shortest) return resp_type::null_bulk;  // a value that was moved from
    switch (body[0]) {
        case '+': return resp_type::simple_string;
        case '-': return resp_type::error;
        case ':': return resp_type::integer;
        case '*': return is_null(body) ? resp_type::null_array : resp_type::array;
        case '_': return resp_type::null;
        case '#': return resp_type::boolean;
        case ',': return resp_type::double_number;
        case '(': return resp_type::big_number;
        case '!': return resp_type::bulk_error;
        case '=': return resp_type::verbatim_string;
        case '%': return resp_type::map;
        case '~': return resp_type::set;
        case '>': return resp_type::push;
        default: return is_null(body) ? resp_type::null_bulk : resp_type::bulk_string;
    }
}

std::string_view resp_text(std::string_view value) noexcept {
    if (value.size() >= shortest && value[0] == '$' && !is_null(value)) {  // the most frequent type
        const std::size_t begin = head_of(value).end;
        return value.substr(begin, value.size() - 2 - begin);
    }
    const std::string_view body = body_of(value);
    if (body.size() < shortest) return {};
    switch (body[0]) {
        case '$':
        case '!':
        case '=': {
            if (is_null(body)) return {};
            std::size_t begin = head_of(body).end;
            if (body[0] == '=') begin += 4;  // "txt:"
            return body.substr(begin, body.size() - 2 - begin);
        }
        case '+':
        case '-':
        case ':':
        case ',':
        case '(': return one_line(body);
        default: return {};
    }
}

std::int64_t resp_integer(std::string_view value) noexcept {
    std::string_view body = body_of(value);
    std::int64_t number = 0;
    if (body.size() < shortest || body[0] != ':') return number;
    body = one_line(body);
    if (body[0] == '+') body.remove_prefix(1);  // from_chars() does not read it
    std::from_chars(body.data(), body.data() + body.size(), number);
    return number;
}

double resp_number(std::string_view value) noexcept {
    const std::string_view body = body_of(value);
    if (body.size() < shortest) return 0;
    if (body[0] == ',') return double_of(one_line(body));
    return static_cast<double>(resp_integer(body));
}

bool resp_boolean(std::string_view value) noexcept { return body_of(value) == "#t\r\n"; }

std::size_t resp_elements(std::string_view value) noexcept {
    const std::string_view body = body_of(value);
    if (body.size() < shortest || is_null(body)) return 0;
    if (body[0] == '*' || body[0] == '~' || body[0] == '>') return head_of(body).number;
    return body[0] == '%' ? 2 * head_of(body).number : 0;
}

std::string_view resp_first_element(std::string_view array) noexcept {
    const std::string_view body = body_of(array);
    if (body.size() >= shortest && body[0] == '*' && !is_null(body))
        return body.substr(head_of(body).end);
    if (body.size() < shortest || is_null(body)) return {};
    switch (body[0]) {
        case '*':
        case '%':
        case '~':
        case '>': return body.substr(head_of(body).end);
        default: return {};
    }
}

std::string_view resp_attributes(std::string_view value) noexcept {
    if (value.size() < shortest || value[0] != '|') return {};
    const head first = head_of(value);
    const std::string_view elements = value.substr(first.end);
    return elements.substr(0, pass(elements, 2 * first.number));
}

std::size_t resp_size(std::string_view begins_with_a_value) noexcept {
    const std::string_view bytes = begins_with_a_value;
    if (bytes[0] == '$' && !is_null(bytes)) {  // the most frequent type of elements
        const head only = head_of(bytes);
        return only.end + only.number + 2;
    }
    return pass(bytes, 1);
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
    return aggregate('*', elements);
}

resp_value resp_null() { return resp_value("_\r\n"); }

resp_value resp_boolean(bool is) { return resp_value(is ? "#t\r\n" : "#f\r\n"); }

resp_value resp_double(double number) {
    std::string out = ",";
    if (std::isnan(number)) {
        out += "nan";  // not "-nan", as to_chars() may write
    } else {
        char digits[32];  // 64 bits have 24 characters: -2.2250738585072014e-308
        out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
    }
    return resp_value(std::move(out.append("\r\n")));
}

resp_value resp_verbatim_string(std::string_view text, std::string_view format) {
    assert(format.size() == 3);
    std::string out;
    detail::append_resp_header('=', static_cast<std::int64_t>(text.size() + 4), out);
    out.append(format).append(":").append(text).append("\r\n");
    return resp_value(std::move(out));
}

resp_value resp_map(std::initializer_list<std::pair<resp_view, resp_view>> pairs) {
    std::string out;
    detail::append_resp_header('%', static_cast<std::int64_t>(pairs.size()), out);
    for (const auto& [key, value] : pairs) out.append(key.bytes()).append(value.bytes());
    return resp_value(std::move(out));
}

resp_value resp_set(std::initializer_list<resp_view> elements) { return aggregate('~', elements); }

resp_value resp_push(std::initializer_list<resp_view> elements) { return aggregate('>', elements); }

}  // namespace ice
