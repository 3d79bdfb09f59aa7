// `telnet`: lines contain only text, and an answer to options is never longer than the options, so
// two ends cannot answer each other for ever.
#include <ice/protocols/telnet.hpp>

#include "fuzz.hpp"

namespace {

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
void check_it_ends(std::string said) {
    ice::telnet ends[2];
    for (unsigned turn = 0; !said.empty(); ++turn) {
        fuzz::check(turn < 4, "a negotiation ends");
        said = answers(ends[turn % 2], said);
    }
}

// A server says "[Yes]" to AYT once for each piece that it is given, so only the rest of its
// answers is the same at every cut. Returns how many it has taken out.
std::size_t take_out_yes(std::string& answers) {
    constexpr std::string_view yes = "\r\n[Yes]\r\n";
    std::size_t n = 0;
    for (std::size_t at = 0; at < answers.size();) {
        if (answers[at] == '\xff') {
            at += 3;
            continue;
        }
        fuzz::check(answers.compare(at, yes.size(), yes) == 0, "an answer is one of the two");
        answers.erase(at, yes.size());
        ++n;
    }
    return n;
}

void check_server(ice::telnet p, const fuzz::input& in, std::string_view refusals) {
    p.as_server();
    const auto whole = ice::testing::play(p, in.data());
    const std::size_t at_once = [&] {
        auto answers = whole.answers;
        return take_out_yes(answers);
    }();
    fuzz::check(at_once <= 1, "a burst has one answer to AYT");
    for (const auto& pieces : {in.pieces(), fuzz::byte_by_byte(in.data())}) {
        auto seen = ice::testing::play(p, pieces);
        const std::size_t n = take_out_yes(seen.answers);
        fuzz::check(n >= at_once && n <= pieces.size(), "each piece has one at most");
        fuzz::check(seen.answers == refusals, "a server refuses what a client refuses");
        fuzz::check(seen.messages == whole.messages && seen.error == whole.error,
                    "cut, it is the same to a server");
    }
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
    check_server(ice::telnet(limit), in, seen.answers);
    return 0;
}
