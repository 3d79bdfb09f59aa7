// The state machine of telnet.hpp. It accepts all 256 bytes in every state.
#include <cstring>
#include <ice/protocols/telnet.hpp>

namespace ice {
namespace {

// RFC 854, "TELNET COMMAND STRUCTURE".
constexpr char iac = '\xff', dont = '\xfe', do_ = '\xfd', wont = '\xfc', will = '\xfb', sb = '\xfa',
               ayt = '\xf6', se = '\xf0';

constexpr std::size_t subnegotiation_limit = 512;  // no option in use needs more than 40
constexpr std::size_t kept_line = 256;             // longer than people type; larger ones are freed

// The answer of BSD's telnetd to AYT. It begins with a line end, as the user may have typed a part
// of a line.
constexpr std::string_view yes = "\r\n[Yes]\r\n";

}  // namespace

// AYT is answered once in a burst. A burst ends where the session waits for more bytes. After a
// line the session may wait without another parse(), so the end of the input ends a burst too.
parsed<std::string_view> telnet::parse(std::string_view input, std::string& out) {
    // An empty input is the end of a burst: an idle connection keeps no large line.
    const bool unused = !gathering_ || line_.empty();
    if (input.empty() && unused && line_.capacity() > kept_line) std::string().swap(line_);
    auto found = gathering_ ? gather(input, out) : parse_line(input, out);
    if (found.size() == 0 || found.size() == input.size()) said_yes_ = false;
    return found;
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
        line_.clear();
        gathering_ = true;
        scanned_ = 0;
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
        if (line_.size() > limit_) return errc::message_too_large;
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
        case state::cr:
            state_ = state::text;
            // Any other byte behind a CR is taken as if the CR, which does nothing here, were not
            // there.
            if (byte == '\n' || byte == '\0') return step::line;
            [[fallthrough]];
        case state::text:
            if (byte == '\n') return step::line;
            if (byte == '\r') state_ = state::cr;
            else if (byte == iac) state_ = state::iac;
            else if (byte != '\0') line_ += byte;  // NUL is "No Operation" (RFC 854)
            return step::more;
        case state::iac: return command(byte, out);
        case state::option:
            state_ = state::text;
            // WONT and DONT get no answer: two ends that answered them would never stop (RFC 854).
            if (verb_ == will) out.append({iac, dont, byte});
            if (verb_ == do_) out.append({iac, wont, byte});
            return step::more;
        case state::sub:
            if (byte != iac) return ++sub_size_ > subnegotiation_limit ? step::broken : step::more;
            state_ = state::sub_iac;
            return step::more;
        case state::sub_iac:
            // IAC SE ends it. IAC IAC is a data byte (RFC 855), and other commands are skipped as
            // data.
            state_ = byte == se ? state::text : state::sub;
            if (byte == se) return step::more;
            return ++sub_size_ > subnegotiation_limit ? step::broken : step::more;
    }
    return step::broken;
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

error_code telnet::packet(std::string_view text, std::string& out) {
    if (text.size() > limit_) return make_error_code(errc::message_too_large);
    if (text.find_first_of(std::string_view("\r\n\0", 3)) != text.npos)
        return make_error_code(errc::unencodable);
    // The peer would take a single 255 for the beginning of a command.
    for (std::size_t at = text.find(iac); at != text.npos; at = text.find(iac)) {
        out.append(text.substr(0, at + 1)).push_back(iac);
        text.remove_prefix(at + 1);
    }
    out.append(text).append("\r\n");
    return {};
}

}  // namespace ice
