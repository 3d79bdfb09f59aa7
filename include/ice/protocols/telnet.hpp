// telnet: lines of text as a telnet client sends them (RFC 854, the Network Virtual Terminal).
// Commands (IAC ..) never reach a message; every option is refused, so a negotiation always ends.
#pragma once

#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>

namespace ice {

class ICE_API telnet {
public:
    telnet() = default;

    // A line of at most `limit` bytes.
    explicit telnet(std::size_t limit) : limit_(limit) {}

    // From here on this is the server's end of a connection: it answers AYT. A listener calls it;
    // call it yourself for a session without one.
    void as_server() noexcept { is_server_ = true; }

    // A line without its end: CR LF, CR NUL (what clients send for the Enter key in character mode;
    // RFC 1123, 3.3.1: the same as CR LF) or a bare LF (what nc sends). IAC IAC is the byte 255.
    // Any other CR moves a printer's head (RFC 854), and a NUL does nothing: neither is text, so a
    // line has none of them, and can be sent back as it is.
    // `out` gets IAC DONT x for each WILL x and IAC WONT x for each DO x; WONT and DONT say what is
    // already so, and are not answered (RFC 1143). A server answers AYT with "[Yes]" on a line of
    // its own (RFC 854; RFC 1123, 3.2.3), once for all that are in one `input`; a client does not,
    // as the server would take it for a request. A subnegotiation is skipped. Every other command
    // does nothing, also the DM of a Synch: parse() cannot know which bytes were urgent, and so
    // does not discard them (RFC 1123, 3.2.4, would).
    // Commands are not counted: a client may keep its connection alive by them. `out` gets at most
    // as many bytes as `input` has, and one "[Yes]". Once text or a command has begun, the line is
    // unfinished, and timeouts::message bounds it; whole commands alone begin no line.
    // errc::message_too_large: a longer line; errc::bad_message: a subnegotiation of more than 512
    // bytes.
    // The line is a view of the input, or of this object if commands stood within it: it lives
    // until the next parse().
    parsed<std::string_view> parse(std::string_view input, std::string& out);

    // Text, with 255 doubled, and CR LF. errc::unencodable if there is a CR, LF or NUL in it: a CR
    // would have to go out as CR NUL, which ends a line on a server. errc::message_too_large beyond
    // the limit. What becomes of an answer then stands in logic.hpp.
    error_code packet(std::string_view text, std::string& out);

private:
    enum class state : std::uint8_t { text, cr, iac, option, sub, sub_iac };
    enum class step : std::uint8_t { more, line, broken };

    parsed<std::string_view> parse_line(std::string_view input, std::string& out);
    parsed<std::string_view> gather(std::string_view input, std::string& out);
    step take(char byte, std::string& out);
    step command(char byte, std::string& out);

    std::size_t limit_ = 8 * 1024;
    std::string line_;         // the text of a line with commands in it
    std::size_t scanned_ = 0;  // no end of line, command, NUL or lone CR stands before it
    std::size_t sub_size_ = 0;
    char verb_ = 0;
    state state_ = state::text;
    bool gathering_ = false;
    bool is_server_ = false;
    bool said_yes_ = false;  // to an AYT of this burst
};

}  // namespace ice
