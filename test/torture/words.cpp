// Makes and checks texts without the protocols of ice, as the other side of them.
#include "words.hpp"

#include <charconv>

#include "world.hpp"

namespace torture {
namespace {

using test::take_number;

constexpr std::size_t longest = 10'000'000;

char body_byte(std::uint64_t id, std::size_t place) noexcept {
    return static_cast<char>('A' + (id * 7 + place + place / 26) % 26);
}

}  // namespace

std::string_view name(speech s) noexcept {
    switch (s) {
        case speech::raw: return "raw";
        case speech::line: return "line";
        case speech::telnet: return "telnet";
        case speech::resp: return "resp";
        case speech::greeting: return "greeting";
    }
    return "?";
}

std::string to_text(const question& q) {
    return fmt::format("{}{} ", test::numbered('q', q.id), q.size);
}

std::optional<question> to_question(std::string_view text) {
    const auto id = take_number(text, 'q');
    if (!id) return std::nullopt;
    std::size_t size = 0;
    std::from_chars(text.data(), text.data() + text.size(), size);
    return question{*id, size};
}

std::string to_text(const answer& a) {
    std::string text = test::numbered(a.kind, a.id) + test::numbered('u', a.session);
    for (std::size_t i = 0; i < a.size; ++i) text += body_byte(a.id, i);
    return text;
}

std::optional<answer> to_answer(std::string_view text) {
    if (text.empty()) return std::nullopt;
    answer a{.kind = text.front()};
    const auto id = take_number(text, a.kind);
    if (!id) return std::nullopt;
    const auto session = take_number(text, 'u');
    if (!session) return std::nullopt;
    a.id = *id;
    a.session = *session;
    a.size = text.size();
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != body_byte(a.id, i)) return std::nullopt;
    }
    return a;
}

char raw_byte(std::uint64_t conversation, std::uint64_t place) noexcept {
    return body_byte(conversation, place);
}

void pack_text(speech s, std::string_view text, std::string& out) {
    if (s == speech::resp) out += fmt::format("${}\r\n", text.size());
    out += text;
    out += "\r\n";
}

void pack_question(speech s, const question& q, std::string& out) {
    if (s == speech::resp) out += "*1\r\n";
    pack_text(s, to_text(q), out);
}

std::optional<std::string> take_text(speech s, std::string& input) {
    std::size_t begin = 0;
    std::size_t end = input.find("\r\n");
    if (end == input.npos) {
        check(input.size() < longest, "an answer without an end");
        return std::nullopt;
    }
    if (s == speech::resp) {
        check(input.front() == '$', "an answer that is no bulk string");
        std::size_t size = longest;
        std::from_chars(input.data() + 1, input.data() + end, size);
        check(size < longest, "an answer of no length");
        begin = end + 2;
        end = begin + size;
        if (input.size() < end + 2) return std::nullopt;
        check(input.compare(end, 2, "\r\n") == 0, "an answer that does not end where it should");
    }
    std::string text = input.substr(begin, end - begin);
    input.erase(0, end + 2);
    return text;
}

}  // namespace torture
