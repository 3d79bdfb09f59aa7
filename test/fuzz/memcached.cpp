// Compares `memcached` with a parser that splits each line into words, which is slow and obviously
// correct.
#include <ice/protocols/memcached.hpp>
#include <set>

#include "fuzz.hpp"

namespace {

constexpr std::size_t none = std::string_view::npos;  // no whole reply, or none at all

std::vector<std::string> split(std::string_view line) {
    std::vector<std::string> words(1);
    for (const char c : line) {
        if (c == ' ') words.emplace_back();
        else words.back() += c;
    }
    return words;
}

// Of a text that has only digits: the number, if it is not larger than `most`.
bool is_number(const std::string& digits, std::uint64_t most, std::uint64_t& n) {
    n = 0;
    for (const char c : digits) {
        const auto digit = static_cast<unsigned>(c - '0');
        if (digit > 9 || n > (most - digit) / 10) return false;
        n = 10 * n + digit;
    }
    return !digits.empty();
}

// The size of a block of data with its line end; `none` if it is not whole.
std::size_t block(std::string_view in, std::size_t at, std::uint64_t size) {
    if (in.size() - at < 2 || in.size() - at - 2 < size) return none;
    return in.substr(at + size, 2) == "\r\n" ? size + 2 : none;
}

// How many bytes the reply at the beginning takes.
std::size_t plain_size(std::string_view in) {
    static const std::set<std::string> alone{"END",    "STORED",  "MN", "NOT_FOUND", "NOT_STORED",
                                             "EXISTS", "DELETED", "OK", "TOUCHED",   "ERROR"};
    static const std::set<std::string> more{"HD", "EN",      "NF",           "NS",
                                            "EX", "VERSION", "CLIENT_ERROR", "SERVER_ERROR"};
    for (std::size_t at = 0;;) {
        const std::size_t cr = in.find('\r', at);
        if (cr == none || in.substr(cr, 2) != "\r\n") return none;
        const auto line = in.substr(at, cr - at);
        if (line.find('\n') != none || line.size() + 2 > ice::memcached::line_limit) return none;
        const auto words = split(line);
        const bool first = at == 0;
        std::uint64_t size = 0, ignored = 0;
        at = cr + 2;
        if (words[0] == "VALUE") {
            const bool good = (words.size() == 4 || words.size() == 5) && !words[1].empty() &&
                              is_number(words[2], UINT32_MAX, ignored) &&
                              is_number(words[3], UINT64_MAX, size) &&
                              (words.size() == 4 || is_number(words[4], UINT64_MAX, ignored));
            const std::size_t data = good ? block(in, at, size) : none;
            if (data == none) return none;
            at += data;
            continue;
        }
        if (words == std::vector<std::string>{"END"}) return at;
        if (!first) return none;
        if (words[0] == "VA") {
            const bool good = words.size() >= 2 && is_number(words[1], UINT64_MAX, size);
            const std::size_t data = good ? block(in, at, size) : none;
            return data == none ? none : at + data;
        }
        if (more.contains(words[0])) return at;
        if (words.size() != 1) return none;
        return alone.contains(words[0]) || is_number(words[0], UINT64_MAX, ignored) ? at : none;
    }
}

// All of what a reply says of itself is in it.
void walk(ice::memcached_view r) {
    const auto inside = [&](std::string_view part) {
        return part.empty() || (part.data() >= r.bytes().data() &&
                                part.data() + part.size() <= r.bytes().data() + r.bytes().size());
    };
    fuzz::check(inside(r.text()) && inside(r.value()), "a text is in its reply");
    for (const char name : {'t', 'O', ' ', '\0'})
        fuzz::check(inside(r.flag(name).value_or("")), "a flag is in its reply");
    std::size_t size = 5;  // of END
    for (const ice::memcached_item& item : r) {
        fuzz::check(inside(item.key) && inside(item.value), "an item is in its reply");
        fuzz::check(!item.key.empty(), "an item has a key");
        size += std::string_view("VALUE k 0 0\r\n\r\n").size() + item.value.size();
    }
    fuzz::check(r.begin() == r.end() || size <= r.bytes().size(), "each item has its bytes");
}

// A key, a flag and a value of any bytes: a command is one line, and a value behind it.
void command(std::string_view key, std::string_view value) {
    for (const auto& made : {ice::memcached_get(key, "other"), ice::memcached_set(key, value),
                             ice::memcached_mg("k", key), ice::memcached_ms(key, value, "c")}) {
        ice::memcached p;
        std::string sent;
        if (ice::packet(p, made, sent)) continue;
        const std::size_t end = sent.find("\r\n");
        fuzz::check(sent.find_first_of("\r\n\t\v\f") == end, "a line ends once");
        const std::size_t behind = made.has_value() ? value.size() + 2 : 0;
        fuzz::check(sent.size() == end + 2 + behind, "nothing is behind it but a value");
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    static const std::size_t limits[] = {1024 * 1024, 40};
    const std::size_t limit = limits[in.choose(2)];
    const auto seen = fuzz::same_at_every_cut(ice::memcached(limit), in);

    std::string_view rest = in.data();
    for (const ice::memcached_reply& reply : seen.messages) {
        fuzz::check(reply.bytes().size() <= limit, "no reply is beyond the limit");
        fuzz::check(rest.starts_with(reply.bytes()), "it is the next reply");
        fuzz::check(plain_size(rest) == reply.bytes().size(), "it has the right size");
        walk(reply);
        rest.remove_prefix(reply.bytes().size());
    }
    const std::size_t next = plain_size(rest);
    fuzz::check(next == none || next > limit, "no whole reply is left over or refused");
    const std::size_t half = in.data().size() / 2;
    command(in.data().substr(0, half), in.data().substr(half));
    return 0;
}
