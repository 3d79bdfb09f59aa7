// telnet: lines of text as a telnet client sends them (RFC 854, the Network Virtual Terminal).
// Commands (IAC ..) never reach a message. It refuses each option that its user does not ask for,
// and a negotiation always ends (RFC 1143).
#pragma once

#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/detail/telnet_negotiation.hpp>
#include <ice/protocol.hpp>

namespace ice {

// The size of a window in characters; 0 is unknown.
struct telnet_window {
    using owns = std::true_type;  // see ice::owned

    std::uint16_t columns = 0, rows = 0;
    bool operator==(const telnet_window&) const = default;
};

// The terminal of a client, which it tells a server that asks.
struct telnet_terminal {
    // 1 to 40 printable characters of ASCII, such as "XTERM-256COLOR" (RFC 1091). A client without
    // a type refuses to tell one.
    std::string type{};
    // A client refuses to tell a size of 0 columns and 0 rows.
    telnet_window window{};
};

// The options that a telnet asks for and agrees to; it refuses all others. By default it asks for
// nothing. parse() sends the requests when a session calls it first, before a peer has sent
// anything. A client without options, such as nc, shows them as a few odd characters.
struct telnet_options {
    // A server asks for the type of the client's terminal (RFC 1091): telnet::terminal_type(). It
    // is not for clients, which have `terminal`. The same holds for `window`.
    bool terminal_type = false;
    // A server asks for the size of the client's window (RFC 1073): telnet::window().
    bool window = false;
    // A server asks whether text may be UTF-8 (RFC 2066): telnet::is_utf8(). A client agrees.
    bool utf8 = false;
    // Both ends send bytes above 127 unchanged (RFC 856). Clients then end lines with a bare CR or
    // LF, and parse() takes a CR alone for the end of a line. Most clients send such bytes without
    // the option, too.
    bool binary = false;
    // No end sends GA (RFC 858). telnet and PuTTY then send each key at once instead of lines, and
    // their users cannot correct what they type.
    bool suppress_go_ahead = false;
    // A client lets its server show what the user types (RFC 857): telnet::is_echoed(). For a
    // client with a user; a server that echoes would send a program its own requests back.
    bool echo = false;
    // A client tells these if its server asks: by default nothing.
    telnet_terminal terminal{};
};

// Whether a client shows what its user types.
enum class telnet_echo : std::uint8_t { on, off };

// Text that a server sends without a line end, such as "name: ". With telnet_echo::off the client
// does not show the next line, which is a password:
//     co_await peer.send(ice::telnet_prompt("password: ", ice::telnet_echo::off));
//     const auto password = co_await peer.receive();
struct telnet_prompt {
    explicit telnet_prompt(std::string what, telnet_echo of_client = telnet_echo::on)
        : text(std::move(what)), echo(of_client) {}

    std::string text;
    telnet_echo echo;
};

// Both ends of a connection use it. It echoes nothing: a client in line mode does that itself.
class ICE_API telnet {
public:
    // A line has at most 8 KiB.
    telnet() = default;
    explicit telnet(telnet_options options) : telnet(8 * 1024, std::move(options)) {}

    // A line has at most `limit` bytes, counted without its end and without commands. Requires: the
    // type of options.terminal is empty or as telnet_terminal says; any other is not told.
    explicit telnet(std::size_t limit, telnet_options options = {});

    // Makes this the server's end of a connection, which answers AYT. A listener calls it; call it
    // yourself for a session without a listener.
    void as_server() noexcept;

    // Returns a line without its end. A line ends with CR LF, with CR NUL (what clients send for
    // the Enter key in character mode; RFC 1123, 3.3.1: the same as CR LF), or with a bare LF (what
    // nc sends). IAC IAC is the byte 255. parse() drops any other CR, which moves a printer's head
    // (RFC 854), and NUL, which does nothing. So a line has neither, and can be sent back as it is.
    //
    // parse() appends IAC DONT x to `out` for each WILL x that it refuses, and IAC WONT x for each
    // DO x. It does not answer a command that states what is already so (RFC 1143). A server
    // answers AYT with "[Yes]" on a line of its own (RFC 854; RFC 1123, 3.2.3), once for all that
    // are in one `input`. A client does not answer AYT, as the server would take "[Yes]" for a
    // request. parse() skips subnegotiations that are malformed, or of an option that is off. Every
    // other command does nothing. That includes the DM of a Synch: RFC 1123, 3.2.4 would discard
    // the bytes before it that are urgent, but parse() cannot know which ones are.
    //
    // Bounds: parse() appends at most as many bytes as `input` has, one "[Yes]", and the requests
    // of this end: 36 bytes for its options, once, and 5 for each line with telnet_echo::off. A
    // client tells its terminal in up to 46 bytes, at most 16 times for each connection. Once
    // text or a command has begun the line is unfinished, and timeouts::message bounds it. Whole
    // commands alone begin no line, but each restarts timeouts::idle. Errors:
    // errc::message_too_large for a longer line; errc::bad_message for a subnegotiation of more
    // than 512 bytes.
    //
    // The line is a view into the input, or into this object if commands stood within it. It is
    // valid until the next parse().
    parsed<std::string_view> parse(std::string_view input, std::string& out);

    // Appends the text, with the byte 255 doubled, and CR LF. Returns errc::unencodable if the text
    // has a CR, LF or NUL in it: a CR would have to be sent as CR NUL, which ends a line on a
    // server. Returns errc::message_too_large beyond the limit. logic.hpp says what the session
    // does with an answer that is refused.
    error_code packet(std::string_view text, std::string& out);

    // Appends the text of a prompt, without a line end; the errors are those of a line. With
    // telnet_echo::off it first asks the client to show nothing (IAC WILL ECHO). parse() appends
    // CR LF for the line that answers the prompt, as the client does not show its end either, and
    // the next parse() lets the client show what is typed (IAC WONT ECHO), unless another prompt
    // with telnet_echo::off came before it. Clients may refuse, and nc does not know the option:
    // they show the password. Requires: this is the server's end.
    error_code packet(const telnet_prompt& prompt, std::string& out);

    // Tells the server that the client's window has this size now; it appends nothing if the server
    // has not asked, and tells the size when that asks. Call it again if a push() of it is refused.
    // A new connection, as of a link, begins with the size of options.terminal. Requires: this is
    // the client's end.
    //     (void)session.push(ice::telnet_window{.columns = 132, .rows = 50});
    error_code packet(const telnet_window& window, std::string& out);

    // -- What the peer has told; a logic reads it as peer.protocol().window(). It may come after
    // the first line, or never. The option must have been asked for, or agreed to.

    // The first type that the client named, such as XTERM-256COLOR: up to 40 printable characters
    // of ASCII. Empty if unknown. The view is valid until the next parse(). A client has its own.
    std::string_view terminal_type() const noexcept { return terminal_type_; }
    // The size that the client told last. A client has its own.
    telnet_window window() const noexcept { return window_; }
    // Whether both ends have agreed on UTF-8.
    bool is_utf8() const noexcept { return charset_ == charset::utf8; }
    // Whether the server shows what the user of this client types, or hides a password: the client
    // must not show it. Each line may have its echo as the next message, which is empty after a
    // password.
    bool is_echoed() const noexcept;
    // How often one of the four has changed. A logic that keeps the number learns of a change.
    std::uint32_t changes() const noexcept { return changes_; }

private:
    enum class state : std::uint8_t { text, cr, ended_by_cr, iac, option, sub, sub_iac };
    enum class step : std::uint8_t { more, line, broken };
    enum class charset : std::uint8_t { unknown, asked, utf8, refused };
    enum class hidden : std::uint8_t { nothing, next_line, last_line };

    parsed<std::string_view> parse_line(std::string_view input, std::string& out);
    parsed<std::string_view> gather(std::string_view input, std::string& out);
    step take(char byte, std::string& out);
    step command(char byte, std::string& out);
    void begin_gathering() noexcept;
    std::size_t text_size() const noexcept { return line_.size() - sub_size_; }

    error_code check(std::string_view text) const noexcept;
    void ask(std::string& out);
    void line_came(std::string& out);
    bool agrees(std::uint8_t option) const noexcept;
    void answer_option(std::uint8_t option, std::string& out);
    void tell_terminal(detail::telnet_option option, std::string& out);
    void end_subnegotiation(std::string& out);
    void subnegotiated(std::string_view data, std::string& out);
    void answer_charset(std::string_view data, std::string& out);

    std::size_t limit_ = 8 * 1024;
    std::string line_;  // the text of a line with commands in it, then the subnegotiation
    std::string terminal_type_;
    std::size_t scanned_ = 0;  // no end of line, command, NUL or lone CR stands before this offset
    std::uint32_t changes_ = 0;
    telnet_window window_;
    std::uint16_t sub_size_ = 0;  // bytes of the subnegotiation
    detail::telnet_negotiation negotiation_;
    struct {
        bool terminal_type, window, utf8, binary, suppress_go_ahead, echo;
    } wants_{};
    std::uint8_t told_ = 0;  // how often the terminal was told in answer to the server
    char verb_ = 0;          // WILL, WONT, DO or DONT
    state state_ = state::text;
    charset charset_ = charset::unknown;
    hidden hidden_ = hidden::nothing;
    bool must_ask_ = true;  // the next parse() sends requests
    bool has_begun_ = false;
    bool asked_for_type_ = false;
    bool gathering_ = false;  // the line has commands in it: its text is in line_
    bool is_server_ = false;
    bool is_binary_ = false;  // the peer sends BINARY: a CR alone ends a line
    bool said_yes_ = false;   // an AYT of this burst was answered
};

}  // namespace ice
