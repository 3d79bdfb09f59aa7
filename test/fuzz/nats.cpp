// Compares `nats` with a parser that splits each line into words, which is slow and obviously
// correct.
#include <ice/protocols/nats.hpp>

#include "fuzz.hpp"

namespace {

constexpr std::size_t none = std::string_view::npos;  // no whole message, or none at all

std::vector<std::string> split(std::string_view line) {
    std::vector<std::string> words;
    bool in_word = false;
    for (const char c : line) {
        if (c == ' ' || c == '\t') {
            in_word = false;
            continue;
        }
        if (!in_word) words.emplace_back();
        in_word = true;
        words.back() += c;
    }
    return words;
}

std::string upper(std::string text) {
    for (char& c : text) {
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    }
    return text;
}

// Of a text that has only digits: the number, if it is not larger than 64 bits.
bool is_number(const std::string& digits, std::uint64_t& n) {
    n = 0;
    for (const char c : digits) {
        const auto digit = static_cast<unsigned>(c - '0');
        if (digit > 9 || n > (UINT64_MAX - digit) / 10) return false;
        n = 10 * n + digit;
    }
    return !digits.empty();
}

// How many bytes the MSG or HMSG at the beginning takes, and its payload's.
std::size_t plain_size(std::string_view in, std::size_t limit, std::size_t& payload) {
    const std::size_t cr = in.find('\r');
    if (cr == none || in.substr(cr, 2) != "\r\n" || cr + 2 > ice::nats::line_limit) return none;
    const auto line = in.substr(0, cr);
    if (line.find('\n') != none) return none;
    const auto words = split(line);
    if (words.empty() || line[0] == ' ' || line[0] == '\t') return none;
    const bool has_headers = upper(words[0]) == "HMSG";
    if (!has_headers && upper(words[0]) != "MSG") return none;
    const std::size_t least = has_headers ? 5 : 4;
    if (words.size() != least && words.size() != least + 1) return none;
    std::uint64_t sid = 0, headers = 0, all = 0;
    if (!is_number(words[2], sid) || !is_number(words.back(), all)) return none;
    if (has_headers && !is_number(words[words.size() - 2], headers)) return none;
    if (headers > all || all > limit) return none;
    payload = all - headers;
    if (in.size() - cr - 2 < all + 2 || in.substr(cr + 2 + all, 2) != "\r\n") return none;
    return cr + 2 + all + 2;
}

// Bytes of lines that are no messages.
std::size_t other_line(std::string_view in) {
    const std::size_t end = in.find("\r\n");
    if (end == none) return none;
    const auto words = split(in.substr(0, end));
    if (words.empty()) return none;
    const std::string verb = upper(words[0]);
    return verb == "PING" || verb == "PONG" || verb == "+OK" || verb == "INFO" ? end + 2 : none;
}

// All of what a message says of itself is in it.
void walk(const ice::nats_message& m) {
    const auto inside = [&](std::string_view part) {
        return part.empty() || (part.data() >= m.bytes().data() &&
                                part.data() + part.size() <= m.bytes().data() + m.bytes().size());
    };
    fuzz::check(inside(m.subject()) && inside(m.reply_to()) && inside(m.payload()) &&
                    inside(m.text()) && inside(m.description()),
                "a part is in its message");
    std::size_t size = 0;
    for (const ice::nats_header& h : m.headers()) {
        fuzz::check(inside(h.name) && inside(h.value) && !h.name.empty(), "a header is in it");
        size += h.name.size() + h.value.size() + 3;
    }
    fuzz::check(size <= m.layout().headers_size, "each header has its bytes");
    fuzz::check(m.status() >= 0 && m.status() <= 999, "a status has three digits");
    if (const auto reply = ice::nats_reply(m, "x"))
        fuzz::check(reply->bytes().find("\r\n") + 5 == reply->bytes().size(), "one command");
}

// A subject, a header and a payload of any bytes: a command is one line, and a payload behind it.
void command(std::string_view text, std::string_view payload) {
    ice::nats p;
    std::string sent;
    (void)p.parse("INFO {\"headers\":true}\r\n", sent);
    for (const auto& made : {ice::nats_pub(text, payload), ice::nats_pub("a", payload, text),
                             ice::nats_sub(text, 1), ice::nats_sub("a", 1, text)}) {
        sent.clear();
        if (ice::packet(p, made, sent)) continue;
        const std::size_t end = sent.find("\r\n");
        fuzz::check(sent.find_first_of("\r\n\t\v\f") == end, "a line ends once");
        const bool is_pub = sent.starts_with("PUB");
        fuzz::check(sent.size() == end + 2 + (is_pub ? payload.size() + 2 : 0), "nothing else");
    }
    const std::vector<ice::nats_header> headers{{text, payload}};
    sent.clear();
    if (ice::packet(p, ice::nats_hpub("a", headers, ""), sent)) return;
    fuzz::check(std::count(sent.begin(), sent.end(), '\n') == 5, "a header is one line");
}

// JSON that is read has the same members when their text is written again.
void json(std::string_view text) {
    std::string quoted;
    ice::append_json_string(text, quoted);
    const auto info = ice::read_nats_info("{\"version\":" + quoted + "}");
    fuzz::check(info && info->version == text, "a string is read as it was written");
    if (const auto any = ice::read_nats_info(text))
        fuzz::check(text.find('{') != none && text.find('}') != none, "it is an object");
}

// A handshake, which answers more than it is fed.
void greeting(const ice::nats& p, const fuzz::input& in) {
    const auto whole = ice::testing::play(p, in.data());
    const auto cut = ice::testing::play(p, in.pieces());
    fuzz::check(
        whole.messages == cut.messages && whole.answers == cut.answers && whole.error == cut.error,
        "cut, it is the same handshake");
    fuzz::check(whole.answers.size() <= in.data().size() + 300, "one CONNECT");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    static const std::size_t limits[] = {1024 * 1024, 20};
    const std::size_t limit = limits[in.choose(2)];
    greeting(ice::nats(ice::nats_options{}, limit), in);
    json(in.data());

    // The same behind a handshake, so that messages are reached.
    ice::nats open(ice::nats_options{}, limit);
    std::string out;
    (void)open.parse("INFO {}\r\n", out);
    (void)open.parse("PONG\r\n", out);
    const auto seen = fuzz::same_at_every_cut(open, in);
    std::string_view rest = in.data();
    for (const ice::nats_message& m : seen.messages) {
        walk(m);
        for (std::size_t other = 0; (other = other_line(rest)) != none;) rest.remove_prefix(other);
        fuzz::check(rest.starts_with(m.bytes()), "it is the next message");
        rest.remove_prefix(m.bytes().size());
        if (m.is_error()) continue;
        std::size_t payload = 0;
        fuzz::check(plain_size(m.bytes(), limit, payload) == m.bytes().size(), "it has its size");
        fuzz::check(payload == m.payload().size(), "its payload has the right size");
    }
    for (std::size_t other = 0; !seen.error && (other = other_line(rest)) != none;)
        rest.remove_prefix(other);
    std::size_t payload = 0;
    fuzz::check(plain_size(rest, limit, payload) == none, "no whole message is left or refused");
    const std::size_t half = in.data().size() / 2;
    command(in.data().substr(0, half), in.data().substr(half));
    return 0;
}
