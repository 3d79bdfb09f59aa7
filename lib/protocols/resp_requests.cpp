// The state machine of resp_requests.hpp. A request is an array without nested arrays, so one pass
// over the headers of its words finds its end.
#include <algorithm>
#include <array>
#include <ice/protocols/resp_requests.hpp>
#include <optional>
#include <utility>

namespace ice {
namespace {

constexpr std::size_t most_digits = 18;  // a length of 18 digits cannot overflow a sum
constexpr std::size_t least_word = 6;    // "$0\r\n\r\n"

// Sends "-ERR ..", and returns the error with which the connection ends.
errc refused(errc why, std::string_view text, std::string& out) {
    detail::append_resp_line('-', text, out);
    return why;
}
errc bad(std::string_view text, std::string& out) { return refused(errc::bad_message, text, out); }
errc too_large(std::string& out) {
    return refused(errc::message_too_large, "ERR Protocol error: the request is too long", out);
}

struct length {
    enum { whole, unfinished, wrong } is = wrong;
    std::size_t number = 0;
    std::size_t end = 0;  // the offset behind CR LF
};

// Reads the digits at `at`, and their CR LF. They are few, so it starts again when more bytes
// arrive.
length read_digits(std::string_view input, std::size_t at) noexcept {
    const std::size_t begin = at;
    std::size_t number = 0;
    for (;; ++at) {
        if (at == input.size()) return {length::unfinished};
        const auto digit = static_cast<unsigned char>(input[at] - '0');
        if (digit > 9) break;
        if (at - begin == most_digits) return {};
        number = 10 * number + digit;
    }
    if (at == begin || input[at] != '\r') return {};
    if (at + 1 == input.size()) return {length::unfinished};
    if (input[at + 1] != '\n') return {};
    return {length::whole, number, at + 2};
}

// The fast path: nearly all lengths have one or two digits.
inline length read_length(std::string_view input, std::size_t at) noexcept {
    if (input.size() - at >= 4) {
        const auto digit = [&](std::size_t i) {
            return static_cast<unsigned char>(input[at + i] - '0');
        };
        const std::size_t first = digit(0), second = digit(1);
        if (first <= 9 && input[at + 1] == '\r' && input[at + 2] == '\n')
            return {length::whole, first, at + 3};
        if (first <= 9 && second <= 9 && input[at + 2] == '\r' && input[at + 3] == '\n')
            return {length::whole, 10 * first + second, at + 4};
    }
    return read_digits(input, at);
}

bool is_blank(char c) noexcept { return c == ' ' || (c >= '\t' && c <= '\r') || c == '\0'; }

std::optional<unsigned> hex(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    const char small = static_cast<char>(c | 0x20);
    if (small >= 'a' && small <= 'f') return small - 'a' + 10;
    return std::nullopt;
}

// Splits an inline command into words.
class words {
public:
    explicit words(std::string_view line) : rest_(line) {}

    // Returns the next word, valid until the following call. None at the end of the line, or if a
    // quote is not closed.
    std::optional<std::string_view> next() {
        // The rules are those of sdssplitargs() in Redis: "" with escapes, '' in which only \' is
        // one.
        while (!rest_.empty() && is_blank(rest_[0])) rest_.remove_prefix(1);
        if (rest_.empty()) return std::nullopt;
        std::size_t plain = 0;
        while (plain < rest_.size() && !is_blank(rest_[plain]) && !is_quote(rest_[plain])) ++plain;
        if (plain == rest_.size() || is_blank(rest_[plain])) return take(plain);
        word_ = take(plain);
        const char quote = take(1)[0];
        // As in Redis, a blank or the end must follow a closing quote.
        if (!quoted(quote) || (!rest_.empty() && !is_blank(rest_[0]))) {
            unbalanced_ = true;
            return std::nullopt;
        }
        return word_;
    }
    bool unbalanced() const noexcept { return unbalanced_; }

private:
    static bool is_quote(char c) noexcept { return c == '"' || c == '\''; }

    std::string_view take(std::size_t n) {
        const auto taken = rest_.substr(0, n);
        rest_.remove_prefix(n);
        return taken;
    }

    // Appends what stands before the closing quote to word_. Returns false if there is no closing
    // quote.
    bool quoted(char quote) {
        while (!rest_.empty()) {
            const char c = take(1)[0];
            if (c == quote) return true;
            if (c != '\\' || rest_.empty() || (quote == '\'' && rest_[0] != '\'')) word_ += c;
            else if (quote == '\'') word_ += take(1);
            else word_ += escaped(take(1)[0]);
        }
        return false;
    }

    char escaped(char c) {
        switch (c) {
            case 'n': return '\n';
            case 'r': return '\r';
            case 't': return '\t';
            case 'b': return '\b';
            case 'a': return '\a';
            default: break;
        }
        if (c != 'x' || rest_.size() < 2) return c;
        const auto high = hex(rest_[0]), low = hex(rest_[1]);
        if (!high || !low) return c;
        rest_.remove_prefix(2);
        return static_cast<char>(16 * *high + *low);
    }

    std::string_view rest_;
    std::string word_;  // a word with quotes, without them
    bool unbalanced_ = false;
};

}  // namespace

parsed<resp_view> resp_requests::parse(std::string_view input, std::string& out) {
    if (input.empty()) {  // the end of a burst: an idle connection keeps no large buffer
        if (inline_.capacity() > 256) std::string().swap(inline_);
        return need_more;
    }
    return input[0] == '*' ? array(input, out) : inline_command(input, out);
}

// Each error depends only on the bytes before it, so it is the same wherever the input is cut.
parsed<resp_view> resp_requests::array(std::string_view input, std::string& out) {
    if (at_ == 0) {
        // Redis ignores a null array and an empty one, and replies to neither.
        constexpr std::string_view null = "*-1\r\n";
        if (input.size() > 1 && input[1] == '-' && null.starts_with(input.substr(0, null.size()))) {
            if (input.size() < null.size()) return need_more;
            return skip{null.size()};
        }
        const length count = read_length(input, 1);
        if (count.is == length::unfinished) return need_more;
        if (count.is == length::wrong) return bad("ERR Protocol error: invalid array length", out);
        if (count.number == 0) return skip{count.end};
        // A count that cannot fit is refused before the words arrive, as each has at least six
        // bytes.
        if (count.end > limit_ || count.number > (limit_ - count.end) / least_word)
            return too_large(out);
        at_ = count.end;
        left_ = count.number;
    }
    // Local copies, which the loop can hold in registers.
    std::size_t at = at_, left = left_;
    while (left != 0) {
        const auto unfinished = [&] {
            at_ = at;
            left_ = left;
            return need_more;
        };
        if (at == input.size()) return unfinished();
        if (input[at] != '$') return bad("ERR Protocol error: expected '$'", out);
        const length size = read_length(input, at + 1);
        if (size.is == length::unfinished) return unfinished();
        if (size.is == length::wrong) return bad("ERR Protocol error: invalid bulk length", out);
        if (size.end > limit_ || limit_ - size.end < 2 || size.number > limit_ - size.end - 2)
            return too_large(out);
        const std::size_t end = size.end + size.number;
        if (input.size() < end + 2) return unfinished();
        if (input[end] != '\r' || input[end + 1] != '\n')
            return bad("ERR Protocol error: a bulk string is longer than its length", out);
        at = end + 2;
        --left;
    }
    at_ = 0;
    return {resp_view(input.substr(0, at)), at};
}

parsed<resp_view> resp_requests::inline_command(std::string_view input, std::string& out) {
    const std::size_t most = std::min(inline_limit, limit_);
    const std::size_t lf = input.find('\n', at_);
    if (lf == input.npos ? input.size() >= most : lf >= most) return too_large(out);
    if (lf == input.npos) {
        at_ = input.size();
        return need_more;
    }
    at_ = 0;

    // The number of words is known last, so the header is written into room that is left for it:
    // "*1365\r\n" is the longest.
    constexpr std::size_t room = 8;
    static_assert(inline_limit < 100'000);
    inline_.assign(room, ' ');
    std::size_t count = 0;
    words all(input.substr(0, lf));
    while (const auto word = all.next()) {
        // A web page can make a browser send HTTP to this port, with commands in the body. Redis
        // closes such a connection as well.
        if (count == 0 && (*word == "POST" || *word == "Host:")) return errc::bad_message;
        detail::append_resp_bulk(*word, inline_);
        ++count;
    }
    if (all.unbalanced()) return bad("ERR Protocol error: unbalanced quotes in request", out);
    if (count == 0) return skip{lf + 1};
    std::string header;  // short enough for std::string's own buffer
    detail::append_resp_header('*', static_cast<std::int64_t>(count), header);
    const std::size_t begin = room - header.size();
    inline_.replace(begin, header.size(), header);
    return {resp_view(std::string_view(inline_).substr(begin)), lf + 1};
}

}  // namespace ice
