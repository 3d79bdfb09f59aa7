// telnet: lines of text as a telnet client sends them (RFC 854, the Network Virtual Terminal).
// Commands (IAC ..) never reach a message; every option is refused, so a negotiation always ends.
#pragma once

#include <cstdint>
#include <ice/export.hpp>
#include <ice/protocol.hpp>

namespace ice {

class ICE_API telnet {
public:
    telnet() = default;

    // A line of at most `limit` bytes.
    explicit telnet(std::size_t limit) : limit_(limit) {}

    // A line without its end: CR LF, CR NUL (what clients send for the Enter key in character mode;
    // RFC 1123, 3.3.1: the same as CR LF) or a bare LF (what nc sends). IAC IAC is the byte 255.
    // Any other CR moves a printer's head (RFC 854), and a NUL does nothing: neither is text, so a
    // line has none of them, and can be sent back as it is.
    // `out` gets IAC DONT x for each WILL x and IAC WONT x for each DO x; WONT and DONT say what is
    // already so, and are not answered (RFC 1143). A subnegotiation is skipped.
    // errc::message_too_large: a longer line; errc::bad_message: a subnegotiation of more than 512
    // bytes, or more than 64 commands in one line.
    // The line is a view of the input, or of this object if commands stood within it: it lives
    // until the next parse().
    parsed<std::string_view> parse(std::string_view input, std::string& out);

    // Text, with 255 doubled, and CR LF. errc::unpackable if there is a CR, LF or NUL in it: a CR
    // would have to go out as CR NUL, which ends a line on a server.
    error_code packet(std::string_view text, std::string& out);

private:
    enum class state : std::uint8_t { text, cr, iac, option, sub, sub_iac };
    enum class step : std::uint8_t { more, line, broken };

    parsed<std::string_view> gather(std::string_view input, std::string& out);
    step take(char byte, std::string& out);
    step command(char byte);

    std::size_t limit_ = 8 * 1024;
    std::string line_;         // the text of a line with commands in it
    std::size_t scanned_ = 0;  // no end of line, command, NUL or lone CR stands before it
    std::size_t sub_size_ = 0;
    std::uint16_t commands_ = 0;
    char verb_ = 0;
    state state_ = state::text;
    bool gathering_ = false;
};

}  // namespace ice
