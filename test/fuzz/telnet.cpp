// `telnet`: lines contain only text, and an answer to options is never longer than the options, so
// two ends cannot answer each other for ever. With options it sends its own requests, and no more.
#include <ice/protocols/telnet.hpp>

#include "fuzz.hpp"

namespace {

constexpr std::string_view yes = "\r\n[Yes]\r\n";
const ice::telnet_options all{.terminal_type = true,
                              .window = true,
                              .utf8 = true,
                              .binary = true,
                              .suppress_go_ahead = true,
                              .echo = true,
                              .terminal = {"XTERM-256COLOR", {255, 24}}};
constexpr std::size_t terminal_size = 16 * (6 + 14);  // the most bytes that a client tells of it

// One end feeds what it got to `p`; this is what it says to that.
std::string answers(ice::telnet& p, std::string_view heard) {
    std::string said;
    while (!heard.empty()) {
        const auto found = p.parse(heard, said);
        fuzz::check(!found.has_message(), "what is answered has no text");
        if (found.failed() || found.size() == 0) break;
        heard.remove_prefix(found.size());
    }
    return said;
}

// Two ends that answer each other fall silent (RFC 1143, 1: they need not).
void check_it_ends(std::string said, const ice::telnet_options& wanted = {}) {
    ice::telnet ends[2] = {ice::telnet(wanted), ice::telnet(wanted)};
    ends[0].as_server();
    for (unsigned turn = 0; !said.empty(); ++turn) {
        fuzz::check(turn < 10, "a negotiation ends");
        said = answers(ends[turn % 2], said);
    }
}

// A server says "[Yes]" to AYT once for each piece that it is given, so only the rest of its
// answers is the same at every cut. Returns how many it has taken out.
std::size_t take_out_yes(std::string& answers) {
    std::size_t n = 0;
    for (std::size_t at = 0; at < answers.size();) {
        if (answers[at] == '\xff') {
            const bool is_sub = answers.compare(at + 1, 1, "\xfa") == 0;
            at = is_sub ? answers.find("\xff\xf0", at) + 2 : at + 3;
            continue;
        }
        if (answers.compare(at, 4, "\r\n\xff\xfc") == 0) {  // after a password
            at += 2;
            continue;
        }
        fuzz::check(answers.compare(at, yes.size(), yes) == 0, "an answer is one of the two");
        answers.erase(at, yes.size());
        ++n;
    }
    return n;
}

// `own`: the most bytes of its own requests.
std::string check_server(ice::telnet p, const fuzz::input& in, std::size_t own) {
    p.as_server();
    const auto whole = ice::testing::play(p, in.data());
    const std::size_t at_once = [&] {
        auto answers = whole.answers;
        return take_out_yes(answers);
    }();
    auto others = whole.answers;
    take_out_yes(others);
    fuzz::check(at_once <= 1, "a burst has one answer to AYT");
    fuzz::check(whole.answers.size() <= in.data().size() + own + yes.size(), "its own requests");
    for (const std::string& line : whole.messages)
        fuzz::check(line.find_first_of(std::string("\r\n\0", 3)) == line.npos,
                    "a line has no CR, LF or NUL");
    for (const auto& pieces : {in.pieces(), fuzz::byte_by_byte(in.data())}) {
        auto seen = ice::testing::play(p, pieces);
        const std::size_t n = take_out_yes(seen.answers);
        fuzz::check(n >= at_once && n <= pieces.size(), "each piece has one at most");
        fuzz::check(seen.answers == others, "cut, the other answers are the same");
        fuzz::check(seen.messages == whole.messages && seen.error == whole.error,
                    "cut, it is the same to a server");
    }
    return others;
}

// A server that asks for everything, and for a password, is given the same bytes.
void check_options(std::size_t limit, const fuzz::input& in) {
    ice::telnet p(limit, all);
    std::string prompt;
    const ice::telnet_prompt password("?", ice::telnet_echo::off);
    fuzz::check(!ice::packet(p, password, prompt), "a prompt can be sent");
    check_server(p, in, 36 + 5);
}

// A client that has a terminal, and agrees to everything, is given the same bytes.
void check_client(std::size_t limit, const fuzz::input& in) {
    ice::telnet p(limit, all);
    const auto whole = ice::testing::play(p, in.data());
    fuzz::check(whole.answers.size() <= in.data().size() + 36 + terminal_size, "few answers");
    for (const auto& pieces : {in.pieces(), fuzz::byte_by_byte(in.data())}) {
        const auto seen = ice::testing::play(p, pieces);
        fuzz::check(seen.messages == whole.messages && seen.answers == whole.answers &&
                        seen.error == whole.error,
                    "cut, it is the same to a client");
    }
    // A window that changes at the end is told whole, or not at all.
    std::string said;
    for (std::string_view rest = in.data(); !rest.empty();) {
        const auto found = p.parse(rest, said);
        if (found.failed() || found.size() == 0) break;
        rest.remove_prefix(found.size());
    }
    said.clear();
    fuzz::check(!ice::packet(p, ice::telnet_window{0xff00, 0xffff}, said), "a window is sent");
    fuzz::check(said.empty() || said == "\xff\xfa\x1f\xff\xff" + std::string(1, '\0') +
                                            "\xff\xff\xff\xff\xff\xf0",
                "each 255 is doubled");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    fuzz::input in(bytes, size);
    static const std::size_t limits[] = {8 * 1024, 4};
    const std::size_t limit = limits[in.choose(2)];
    const auto seen = fuzz::same_at_every_cut(ice::telnet(limit), in);

    for (const std::string& line : seen.messages) {
        fuzz::check(line.size() <= limit, "no line is beyond the limit");
        fuzz::check(line.find_first_of(std::string("\r\n\0", 3)) == line.npos,
                    "a line has no CR, LF or NUL");
        ice::telnet p(limit);
        std::string sent;
        fuzz::check(!ice::packet(p, line, sent), "a line can be sent back");
        const auto back = ice::testing::play(ice::telnet(limit), sent);
        fuzz::check(back.messages == std::vector<std::string>{line} && back.answers.empty() &&
                        !back.error && back.left == 0,
                    "a line that was sent is the line that comes");
    }
    check_it_ends(seen.answers);
    check_it_ends(seen.answers, all);
    const auto refusals = check_server(ice::telnet(limit), in, 0);
    fuzz::check(refusals == seen.answers, "a server refuses what a client refuses");
    if (in.data().empty()) return 0;  // parse() is not called, and asks for nothing
    check_options(limit, in);
    check_client(limit, in);
    return 0;
}
