// Telnet's bytes: lines without what is no text, and an answer to options that is never longer than
// what asked for it, so that two ends cannot talk each other to death.
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
    return 0;
}
