// telnet: lines of text as a telnet client sends them (RFC 854, the Network Virtual Terminal).
// Commands (IAC ..) never reach a message. It refuses every option, so a negotiation always ends.
#pragma once

#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/protocol.hpp>

namespace ice {

// Both ends of a connection use it. It echoes nothing: a client in line mode does that itself.
class ICE_API telnet {
public:
    // A line has at most 8 KiB.
    telnet() = default;

    // A line has at most `limit` bytes, counted without its end and without commands.
    explicit telnet(std::size_t limit) : limit_(limit) {}

    // Makes this the server's end of a connection, which answers AYT. A listener calls it; call it
    // yourself for a session without a listener.
    void as_server() noexcept { is_server_ = true; }

    // Returns a line without its end. A line ends with CR LF, with CR NUL (what clients send for
    // the Enter key in character mode; RFC 1123, 3.3.1: the same as CR LF), or with a bare LF (what
    // nc sends). IAC IAC is the byte 255. parse() drops any other CR, which moves a printer's head
    // (RFC 854), and NUL, which does nothing. So a line has neither, and can be sent back as it is.
    //
    // parse() appends IAC DONT x to `out` for each WILL x, and IAC WONT x for each DO x. It does
    // not answer WONT and DONT, which state what is already so (RFC 1143). A server answers AYT
    // with "[Yes]" on a line of its own (RFC 854; RFC 1123, 3.2.3), once for all that are in one
    // `input`. A client does not answer AYT, as the server would take "[Yes]" for a request.
    // parse() skips subnegotiations. Every other command does nothing. That includes the DM of a
    // Synch: RFC 1123, 3.2.4 would discard the bytes before it that are urgent, but parse() cannot
    // know which ones are.
    //
    // Bounds: parse() appends at most as many bytes as `input` has, and one "[Yes]". Once text or a
    // command has begun the line is unfinished, and timeouts::message bounds it. Whole commands
    // alone begin no line, but each restarts timeouts::idle. Errors: errc::message_too_large for a
    // longer line; errc::bad_message for a subnegotiation of more than 512 bytes.
    //
    // The line is a view into the input, or into this object if commands stood within it. It is
    // valid until the next parse().
    parsed<std::string_view> parse(std::string_view input, std::string& out);

    // Appends the text, with the byte 255 doubled, and CR LF. Returns errc::unencodable if the text
    // has a CR, LF or NUL in it: a CR would have to be sent as CR NUL, which ends a line on a
    // server. Returns errc::message_too_large beyond the limit. logic.hpp says what the session
    // does with an answer that is refused.
    error_code packet(std::string_view text, std::string& out);

private:
    enum class state : std::uint8_t { text, cr, iac, option, sub, sub_iac };
    enum class step : std::uint8_t { more, line, broken };

    parsed<std::string_view> parse_line(std::string_view input, std::string& out);
    parsed<std::string_view> gather(std::string_view input, std::string& out);
    step take(char byte, std::string& out);
    step command(char byte, std::string& out);

    std::size_t limit_ = 8 * 1024;
    std::string line_;          // the text of a line with commands in it
    std::size_t scanned_ = 0;   // no end of line, command, NUL or lone CR stands before this offset
    std::size_t sub_size_ = 0;  // bytes of the subnegotiation
    char verb_ = 0;             // WILL, WONT, DO or DONT
    state state_ = state::text;
    bool gathering_ = false;  // the line has commands in it: its text is in line_
    bool is_server_ = false;
    bool said_yes_ = false;  // an AYT of this burst was answered
};

}  // namespace ice
