// Compares `resp` with a parser of a few lines, which is slow, recursive and obviously correct.
#include <ice/protocols/resp.hpp>

#include "fuzz.hpp"

namespace {

constexpr std::size_t none = std::string_view::npos;  // no whole value, or none at all

std::size_t plain_size(std::string_view in, std::size_t depth);

// Of a text that has only digits.
std::size_t count(std::string_view digits) {
    std::size_t n = 0;
    for (const char c : digits) {
        if (c < '0' || c > '9' || n > 1'000'000'000) return none;
        n = 10 * n + static_cast<std::size_t>(c - '0');
    }
    return digits.empty() ? none : n;
}

std::size_t plain_elements(std::string_view in, std::size_t at, std::size_t n, std::size_t depth) {
    for (; n != 0; --n) {
        const std::size_t size = plain_size(in.substr(at), depth);
        if (size == none) return none;
        at += size;
    }
    return at;
}

// How many bytes the value at the beginning takes.
std::size_t plain_size(std::string_view in, std::size_t depth) {
    const std::size_t end = in.find("\r\n");
    if (end == none || end == 0) return none;
    const auto text = in.substr(1, end - 1);
    // Zeros before a number are allowed, and 64 bits have 20 digits: 30 are enough. Nor are the
    // forms of a double here, but digits with a fraction.
    if (in[0] != '+' && in[0] != '-' && text.size() > 30) return none;
    switch (in[0]) {
        case '_': return text.empty() ? end + 2 : none;
        case '#': return text == "t" || text == "f" ? end + 2 : none;
        case '(': return count(text) == none ? none : end + 2;
        case ',': {
            const std::size_t dot = text.find('.');
            const bool is = count(text.substr(0, dot)) != none &&
                            (dot == none || count(text.substr(dot + 1)) != none);
            return is ? end + 2 : none;
        }
        case '+':
        case '-': return text.find_first_of("\r\n") == none ? end + 2 : none;
        case ':': {
            const bool sign = text.starts_with('-') || text.starts_with('+');
            return count(text.substr(sign ? 1 : 0)) == none ? none : end + 2;
        }
        default: break;
    }
    if (text == "-1") return in[0] == '$' || in[0] == '*' ? end + 2 : none;
    const std::size_t n = count(text);
    if (n == none) return none;
    if (in[0] == '>' && depth != 0) return none;
    const std::string_view aggregates = "*~>%|";
    if (const std::size_t i = aggregates.find(in[0]); i != none) {
        const std::size_t elements = (i >= 3 ? 2 * n : n) + (i == 4 ? 1 : 0);
        return depth == ice::resp::depth_limit ? none
                                               : plain_elements(in, end + 2, elements, depth + 1);
    }
    if (in[0] == '=' && (n < 4 || in.size() < end + 6 || in[end + 5] != ':')) return none;
    if ((in[0] != '$' && in[0] != '!' && in[0] != '=') || in.size() - end - 2 < n + 2) return none;
    return in.substr(end + 2 + n, 2) == "\r\n" ? end + n + 4 : none;
}

// How many values there are in one, itself included; all of what they say of themselves is in it.
std::size_t walk(ice::resp_view v) {
    const auto inside = [&](std::string_view part) {
        return part.empty() || (part.data() >= v.bytes().data() &&
                                part.data() + part.size() <= v.bytes().data() + v.bytes().size());
    };
    fuzz::check(inside(v.text()), "a text is in its value");
    std::size_t values = 1, elements = 0;
    for (const ice::resp_view element : v) {
        fuzz::check(inside(element.bytes()), "an element is in its array");
        values += walk(element);
        ++elements;
    }
    fuzz::check(elements == v.size(), "an array has as many elements as it says");
    for (const auto& [key, value] : v.attributes()) {
        fuzz::check(inside(key.bytes()) && inside(value.bytes()), "an attribute is in its value");
        values += walk(key) + walk(value);
    }
    for (const auto& [key, value] : v.pairs()) {
        fuzz::check(inside(key.bytes()), "a key is in its map");
        elements -= value.bytes().data() == nullptr || !inside(value.bytes()) ? 1 : 2;
    }
    const auto type = v.type();
    fuzz::check(elements == 0 || (type != ice::resp_type::map && type != ice::resp_type::array),
                "pairs are all elements");
    static_cast<void>(v.number());
    static_cast<void>(v.integer());
    return values;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    static const std::size_t limits[] = {1024 * 1024, 40};
    const std::size_t limit = limits[in.choose(2)];
    ice::resp first(limit);
    const bool takes = in.choose(2) == 1;
    if (takes) first.take_pushes();
    const auto seen = fuzz::same_at_every_cut(first, in);

    std::string_view rest = in.data();
    const auto skip_pushes = [&] {
        while (!takes && rest.starts_with('>') && plain_size(rest, 0) != none &&
               plain_size(rest, 0) <= limit)
            rest.remove_prefix(plain_size(rest, 0));
    };
    for (const ice::resp_value& value : seen.messages) {
        skip_pushes();
        // A push with a number that plain_size() does not read: the rest is not compared.
        if (!takes && rest.starts_with('>')) return 0;
        fuzz::check(value.bytes().size() <= limit, "no value is beyond the limit");
        fuzz::check(rest.starts_with(value.bytes()), "it is the next value");
        // Integers of more digits than plain_size() counts are another matter.
        const std::size_t plain = plain_size(rest, 0);
        fuzz::check(plain == value.bytes().size() || plain == none, "it has the right size");
        fuzz::check(walk(value) <= value.bytes().size() / 3, "each value has three bytes");
        rest.remove_prefix(value.bytes().size());

        ice::resp p(limit);
        std::string sent;
        fuzz::check(!ice::packet(p, ice::resp_view(value), sent) && sent == value.bytes(),
                    "a value can be sent back");
    }
    skip_pushes();
    const std::size_t next = plain_size(rest, 0);
    fuzz::check(next == none || next > limit, "no whole value is left over or refused");
    return 0;
}
