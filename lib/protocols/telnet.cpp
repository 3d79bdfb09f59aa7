// The state machine of telnet.hpp. It accepts all 256 bytes in every state.
#include <algorithm>
#include <cassert>
#include <ice/protocols/telnet.hpp>
#include <utility>

namespace ice {
namespace {

// RFC 854, "TELNET COMMAND STRUCTURE".
constexpr char iac = '\xff', dont = '\xfe', do_ = '\xfd', wont = '\xfc', will = '\xfb', sb = '\xfa',
               ayt = '\xf6', se = '\xf0';

constexpr std::uint16_t subnegotiation_limit = 512;  // no option in use needs more than 40
constexpr std::size_t kept_line = 256;  // longer than people type; larger ones are freed

// The answer of BSD's telnetd to AYT. It begins with a line end, as the user may have typed a part
// of a line.
constexpr std::string_view yes = "\r\n[Yes]\r\n";

using detail::telnet_option;
using detail::telnet_side;

// RFC 1091: IS and SEND. RFC 2066: REQUEST, ACCEPTED and REJECTED.
constexpr char type_is = '\0', send_type = '\1';
constexpr char charset_request = '\1', charset_accepted = '\2', charset_rejected = '\3';
constexpr std::size_t longest_type = 40;  // RFC 1091: names of Assigned Numbers
// Servers ask for the type until it repeats, some four times (MTTS), and once for the window.
constexpr std::uint8_t most_told = 16;

bool is_type(std::string_view text) noexcept {
    const auto printable = [](char c) { return c >= ' ' && c <= '~'; };
    return text.size() <= longest_type && std::ranges::all_of(text, printable);
}

void append_subnegotiation(telnet_option of, std::initializer_list<std::string_view> parts,
                           std::string& out) {
    out.append({iac, sb, static_cast<char>(of)});
    for (const std::string_view part : parts) out.append(part);
    out.append({iac, se});
}

// The peer would take a single 255 for the beginning of a command.
void append_text(std::string_view text, std::string& out) {
    for (std::size_t at = text.find(iac); at != text.npos; at = text.find(iac)) {
        out.append(text.substr(0, at + 1)).push_back(iac);
        text.remove_prefix(at + 1);
    }
    out.append(text);
}

void append_window(const telnet_window& window, std::string& out) {
    const auto low = [](unsigned n) { return static_cast<char>(n & 0xff); };
    const char bytes[] = {low(window.columns >> 8U), low(window.columns), low(window.rows >> 8U),
                          low(window.rows)};
    std::string doubled;
    append_text({bytes, sizeof bytes}, doubled);
    append_subnegotiation(telnet_option::window_size, {doubled}, out);
}

// Without regard to case, as RFC 2066 compares names.
bool names_utf8(std::string_view name) noexcept {
    constexpr std::string_view utf8 = "utf-8";
    return std::ranges::equal(
        name, utf8, [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a - 'A' + 'a' : a) == b; });
}

}  // namespace

// An end has either a terminal of its own or that of its peer, so both are kept in one place.
telnet::telnet(std::size_t limit, telnet_options options)
    : limit_(limit), terminal_type_(std::move(options.terminal.type)),
      window_(options.terminal.window),
      wants_{options.terminal_type,     options.window, options.utf8, options.binary,
             options.suppress_go_ahead, options.echo} {
    assert(is_type(terminal_type_));
    if (!is_type(terminal_type_)) terminal_type_.clear();
}

void telnet::as_server() noexcept {
    is_server_ = true;
    terminal_type_.clear();
    window_ = {};
}

bool telnet::is_echoed() const noexcept {
    return negotiation_.is_on(telnet_side::peer, telnet_option::echo);
}

// AYT is answered once in a burst. A burst ends where the session waits for more bytes. After a
// line the session may wait without another parse(), so the end of the input ends a burst too.
parsed<std::string_view> telnet::parse(std::string_view input, std::string& out) {
    // An empty input is the end of a burst: an idle connection keeps no large line.
    const bool unused = !gathering_ || line_.empty();
    if (input.empty() && unused && line_.capacity() > kept_line) std::string().swap(line_);
    if (must_ask_) ask(out);
    if (is_binary_ && !gathering_ && !input.empty()) begin_gathering();
    auto found = gathering_ ? gather(input, out) : parse_line(input, out);
    if (found.size() == 0 || found.size() == input.size()) said_yes_ = false;
    if (found.has_message() && hidden_ == hidden::next_line) line_came(out);
    return found;
}

void telnet::begin_gathering() noexcept {
    line_.clear();
    gathering_ = true;
    scanned_ = 0;
}

// The fast path: a line without commands. memchr finds its end, and it is returned as a view.
parsed<std::string_view> telnet::parse_line(std::string_view input, std::string& out) {
    const auto rest = input.substr(scanned_);
    const std::size_t end = rest.find('\n');
    const auto fresh = rest.substr(0, end);
    const std::size_t cr = fresh.find('\r');
    const bool lone_cr = cr != fresh.npos && cr + 1 != fresh.size();
    if (lone_cr || fresh.find(iac) != fresh.npos || fresh.find('\0') != fresh.npos) {
        // gather() begins again with the first byte of the line, as parse_line() has consumed none.
        begin_gathering();
        return gather(input, out);
    }
    if (end == rest.npos) {
        scanned_ = input.size() - (cr == fresh.npos ? 0 : 1);               // LF may follow the CR
        const bool too_long = !input.empty() && input.size() - 1 > limit_;  // 1: the CR
        if (too_long) return errc::message_too_large;
        return need_more;
    }
    std::size_t size = scanned_ + end;
    const std::size_t used = size + 1;
    scanned_ = 0;
    if (size != 0 && input[size - 1] == '\r') --size;
    if (size > limit_) return errc::message_too_large;
    return {input.substr(0, size), used};
}

// A line with commands or dropped bytes in it: collects the text in line_, and skips all bytes.
parsed<std::string_view> telnet::gather(std::string_view input, std::string& out) {
    for (std::size_t i = 0; i < input.size(); ++i) {
        const step taken = take(input[i], out);
        if (taken == step::broken) return errc::bad_message;
        if (text_size() > limit_) return errc::message_too_large;
        if (taken == step::line) {
            // line_ keeps the text: it is the message, until the next parse().
            gathering_ = false;
            return {std::string_view(line_), i + 1};
        }
    }
    if (input.empty()) return need_more;
    // Options alone begin no line: a client may negotiate at once and type much later.
    const bool begun = !line_.empty() || state_ != state::text;
    return skip{.size = input.size(), .unfinished = begun};
}

telnet::step telnet::take(char byte, std::string& out) {
    switch (state_) {
        case state::ended_by_cr:
            state_ = state::text;
            if (byte == '\n') return step::more;  // of CR LF
            return take(byte, out);
        case state::cr:
            state_ = state::text;
            // Any other byte behind a CR is taken as if the CR, which does nothing here, were not
            // there.
            if (byte == '\n' || byte == '\0') return step::line;
            [[fallthrough]];
        case state::text:
            if (byte == '\n') return step::line;
            if (byte == '\r') {
                state_ = is_binary_ ? state::ended_by_cr : state::cr;
                return is_binary_ ? step::line : step::more;
            }
            if (byte == iac) state_ = state::iac;
            else if (byte != '\0') line_ += byte;  // NUL is "No Operation" (RFC 854)
            return step::more;
        case state::iac: return command(byte, out);
        case state::option:
            state_ = state::text;
            answer_option(static_cast<std::uint8_t>(byte), out);
            return step::more;
        case state::sub_iac:
            // IAC SE ends it. IAC IAC is a data byte (RFC 855), and other commands are skipped as
            // data.
            if (byte == se) {
                end_subnegotiation(out);
                return step::more;
            }
            state_ = state::sub;
            break;
        case state::sub:
            if (byte != iac) break;
            state_ = state::sub_iac;
            return step::more;
    }
    if (sub_size_ == subnegotiation_limit) return step::broken;
    ++sub_size_;
    line_ += byte;
    return step::more;
}

// Takes the byte after an IAC.
telnet::step telnet::command(char byte, std::string& out) {
    state_ = state::text;
    if (byte == iac) {  // the data byte 255
        line_ += byte;
        return step::more;
    }
    if (byte == sb) {
        state_ = state::sub;
        sub_size_ = 0;
    } else if (byte == will || byte == wont || byte == do_ || byte == dont) {
        state_ = state::option;
        verb_ = byte;
    } else if (byte == ayt && is_server_ && !said_yes_) {
        out.append(yes);
        said_yes_ = true;
    }
    return step::more;
}

// Our own requests.
void telnet::ask(std::string& out) {
    must_ask_ = false;
    if (hidden_ == hidden::last_line) {
        hidden_ = hidden::nothing;
        negotiation_.request(telnet_side::us, telnet_option::echo, false, out);
    }
    if (has_begun_) return;
    has_begun_ = true;
    const auto request = [&](bool wanted, telnet_side of, telnet_option what) {
        if (wanted) negotiation_.request(of, what, true, out);
    };
    request(is_server_ && wants_.terminal_type, telnet_side::peer, telnet_option::terminal_type);
    request(is_server_ && wants_.window, telnet_side::peer, telnet_option::window_size);
    request(is_server_ && wants_.utf8, telnet_side::us, telnet_option::charset);
    for (const telnet_side each : {telnet_side::us, telnet_side::peer})
        request(wants_.binary, each, telnet_option::binary);
    request(wants_.suppress_go_ahead, telnet_side::us, telnet_option::suppress_go_ahead);
}

// The line that answers a prompt with telnet_echo::off. The echo stays off until the logic could
// send another such prompt: otherwise a quick user would see the beginning of the second password.
void telnet::line_came(std::string& out) {
    if (negotiation_.is_on(telnet_side::us, telnet_option::echo)) out.append("\r\n");
    hidden_ = hidden::last_line;
    must_ask_ = true;
}

// Whether the peer may have what it asks for by the command verb_.
bool telnet::agrees(std::uint8_t number) const noexcept {
    const bool of_peer = verb_ == will;
    switch (static_cast<telnet_option>(number)) {
        case telnet_option::binary: return wants_.binary;
        case telnet_option::suppress_go_ahead: return wants_.suppress_go_ahead;
        case telnet_option::charset: return wants_.utf8;
        case telnet_option::echo:
            return of_peer ? !is_server_ && wants_.echo : hidden_ != hidden::nothing;
        case telnet_option::terminal_type:
            if (of_peer) return is_server_ && wants_.terminal_type;
            return !is_server_ && !terminal_type_.empty();
        case telnet_option::window_size:
            if (of_peer) return is_server_ && wants_.window;
            return !is_server_ && window_ != telnet_window();
    }
    return false;
}

// Each of the two further requests is sent once, so that a peer that turns an option off and on
// cannot make us send more than it does.
void telnet::answer_option(std::uint8_t number, std::string& out) {
    const bool was_echoed = is_echoed();
    const bool told_window = negotiation_.is_on(telnet_side::us, telnet_option::window_size);
    negotiation_.receive(static_cast<detail::telnet_verb>(static_cast<unsigned char>(verb_)),
                         number, agrees(number), out);
    is_binary_ = negotiation_.is_on(telnet_side::peer, telnet_option::binary);
    if (is_echoed() != was_echoed) ++changes_;
    if (negotiation_.is_on(telnet_side::us, telnet_option::window_size) && !told_window)
        tell_terminal(telnet_option::window_size, out);
    if (!asked_for_type_ && negotiation_.is_on(telnet_side::peer, telnet_option::terminal_type)) {
        asked_for_type_ = true;
        append_subnegotiation(telnet_option::terminal_type, {{&send_type, 1}}, out);
    }
    if (charset_ == charset::unknown &&
        negotiation_.is_on(telnet_side::us, telnet_option::charset)) {
        charset_ = charset::asked;
        append_subnegotiation(telnet_option::charset, {{&charset_request, 1}, ";UTF-8"}, out);
    }
}

// A server that asks again and again gets no more than most_told answers, as they are longer than
// its requests.
void telnet::tell_terminal(telnet_option of, std::string& out) {
    if (told_ == most_told) return;
    ++told_;
    if (of == telnet_option::window_size) return append_window(window_, out);
    append_subnegotiation(of, {{&type_is, 1}, terminal_type_}, out);
}

void telnet::end_subnegotiation(std::string& out) {
    state_ = state::text;
    const std::string_view data = std::string_view(line_).substr(text_size());
    if (!data.empty()) subnegotiated(data, out);
    line_.resize(text_size());
    sub_size_ = 0;
}

void telnet::subnegotiated(std::string_view data, std::string& out) {
    const auto of = static_cast<telnet_option>(data.front());
    data.remove_prefix(1);
    if (of == telnet_option::charset) return answer_charset(data, out);
    const auto number = [&](std::size_t at) {
        const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(data[i]); };
        return static_cast<std::uint16_t>(byte(at) << 8 | byte(at + 1));
    };
    if (of == telnet_option::window_size && data.size() == 4 &&
        negotiation_.is_on(telnet_side::peer, of)) {
        const telnet_window told{number(0), number(2)};
        if (told != window_) ++changes_;
        window_ = told;
    }
    if (of == telnet_option::terminal_type && data.starts_with(type_is) &&
        negotiation_.is_on(telnet_side::peer, of)) {
        const std::string_view type = data.substr(1);
        if (!is_type(type)) return;
        if (type != terminal_type_) ++changes_;
        terminal_type_ = type;
    }
    if (of == telnet_option::terminal_type && data == std::string_view(&send_type, 1) &&
        negotiation_.is_on(telnet_side::us, of))
        tell_terminal(of, out);
}

// RFC 2066. A request is a list of names behind a separator of the peer's choice. The answer is
// never longer. "[TTABLE]" begins requests that also offer tables, which are refused. If the
// requests of both ends cross, that of the server stands.
void telnet::answer_charset(std::string_view data, std::string& out) {
    const auto set = [&](charset to) {
        if ((to == charset::utf8) != is_utf8()) ++changes_;
        charset_ = to;
    };
    const char said = data.empty() ? '\0' : data.front();
    if (charset_ == charset::asked && negotiation_.is_on(telnet_side::us, telnet_option::charset)) {
        if (said == charset_accepted)
            set(names_utf8(data.substr(1)) ? charset::utf8 : charset::refused);
        if (said == charset_rejected) set(charset::refused);
    }
    if (said != charset_request || !negotiation_.is_on(telnet_side::peer, telnet_option::charset))
        return;
    std::string_view names = data.substr(1);
    const char separator = names.empty() ? '\0' : names.front();
    const bool crosses = is_server_ && charset_ == charset::asked;
    while (!names.empty() && !crosses) {
        names.remove_prefix(1);
        const std::string_view name = names.substr(0, names.find(separator));
        names.remove_prefix(name.size());
        if (!names_utf8(name)) continue;
        set(charset::utf8);
        return append_subnegotiation(telnet_option::charset, {{&charset_accepted, 1}, name}, out);
    }
    append_subnegotiation(telnet_option::charset, {{&charset_rejected, 1}}, out);
}

error_code telnet::check(std::string_view text) const noexcept {
    if (text.size() > limit_) return make_error_code(errc::message_too_large);
    if (text.find_first_of(std::string_view("\r\n\0", 3)) != text.npos)
        return make_error_code(errc::unencodable);
    return {};
}

error_code telnet::packet(std::string_view text, std::string& out) {
    if (const error_code ec = check(text)) return ec;
    append_text(text, out);
    out.append("\r\n");
    return {};
}

error_code telnet::packet(const telnet_prompt& prompt, std::string& out) {
    if (const error_code ec = check(prompt.text)) return ec;
    const bool off = prompt.echo == telnet_echo::off;
    if (off || hidden_ != hidden::nothing) {
        const std::size_t before = out.size();
        negotiation_.request(telnet_side::us, telnet_option::echo, off, out);
        // push() may have discarded an earlier request, as the outbox was full.
        if (out.size() == before) negotiation_.repeat(telnet_side::us, telnet_option::echo, out);
    }
    hidden_ = off ? hidden::next_line : hidden::nothing;
    append_text(prompt.text, out);
    return {};
}

error_code telnet::packet(const telnet_window& window, std::string& out) {
    assert(!is_server_);
    window_ = window;
    if (negotiation_.is_on(telnet_side::us, telnet_option::window_size)) append_window(window, out);
    return {};
}

}  // namespace ice
