// The checks of nats_command.hpp. A command is built even if it cannot be sent, so that the
// functions which make commands need no error of their own: nats::packet() refuses it.
#include <algorithm>
#include <charconv>
#include <ice/nats_command.hpp>

namespace ice {
namespace {

bool ends_nats_token(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= ' ' || byte == 0x7f;
}

bool is_nats_word(std::string_view text) noexcept {
    return !text.empty() && std::none_of(text.begin(), text.end(), ends_nats_token);
}

bool are_nats_tokens(std::string_view text, bool may_have_wildcards) noexcept {
    if (!is_nats_word(text)) return false;
    for (bool more = true; more;) {
        const std::size_t dot = text.find('.');
        const auto token = text.substr(0, dot);
        more = dot != text.npos;
        if (token.empty()) return false;
        if (!may_have_wildcards && (token == "*" || token == ">")) return false;
        if (token == ">" && more) return false;
        text.remove_prefix(more ? dot + 1 : 0);
    }
    return true;
}

bool is_nats_header(const nats_header& h) noexcept {
    const auto is_in_name = [](char c) { return c > ' ' && c < 0x7f && c != ':'; };
    const bool is_trimmed = h.value.empty() || (h.value.front() != ' ' && h.value.back() != ' ' &&
                                                h.value.front() != '\t' && h.value.back() != '\t');
    return !h.name.empty() && std::all_of(h.name.begin(), h.name.end(), is_in_name) && is_trimmed &&
           h.value.find_first_of("\r\n") == h.value.npos;
}

}  // namespace

// Builds a command, word by word.
struct nats_command_maker {
    explicit nats_command_maker(std::string_view verb, bool is_encodable = true) {
        made.bytes_ = verb;
        made.is_encodable_ = is_encodable;
    }
    nats_command_maker& word(std::string_view text) {
        (made.bytes_ += ' ') += text;
        return *this;
    }
    nats_command_maker& number(std::uint64_t n) {
        char digits[20];  // of 64 bits
        return word({digits, std::to_chars(digits, digits + sizeof digits, n).ptr});
    }
    nats_command_maker& optional(std::string_view text, bool is_good) {
        if (text.empty()) return *this;
        if (!is_good) made.is_encodable_ = false;
        return word(text);
    }
    nats_command_maker& line_end() {
        made.bytes_ += "\r\n";
        if (made.bytes_.size() > nats_command::line_limit) made.is_encodable_ = false;
        return *this;
    }
    nats_command_maker& payload(std::string_view headers, std::string_view bytes) {
        made.payload_size_ = headers.size() + bytes.size();
        made.has_headers_ = !headers.empty();
        made.bytes_.reserve(made.bytes_.size() + made.payload_size_ + 2);
        ((made.bytes_ += headers) += bytes) += "\r\n";
        return *this;
    }

    nats_command made;
};

bool is_nats_subject(std::string_view text) noexcept { return are_nats_tokens(text, false); }
bool is_nats_pattern(std::string_view text) noexcept { return are_nats_tokens(text, true); }

nats_command nats_pub(std::string_view subject, std::string_view payload,
                      std::string_view reply_to) {
    nats_command_maker pub("PUB", is_nats_subject(subject));
    pub.word(subject).optional(reply_to, is_nats_subject(reply_to)).number(payload.size());
    return std::move(pub.line_end().payload({}, payload).made);
}

nats_command nats_hpub(std::string_view subject, const std::vector<nats_header>& headers,
                       std::string_view payload, std::string_view reply_to) {
    nats_command_maker pub("HPUB", is_nats_subject(subject) &&
                                       std::all_of(headers.begin(), headers.end(), is_nats_header));
    std::string lines = "NATS/1.0\r\n";
    for (const nats_header& h : headers) ((lines += h.name) += ": ") += h.value, lines += "\r\n";
    lines += "\r\n";
    pub.word(subject).optional(reply_to, is_nats_subject(reply_to));
    pub.number(lines.size()).number(lines.size() + payload.size());
    return std::move(pub.line_end().payload(lines, payload).made);
}

nats_command nats_sub(std::string_view pattern, std::uint64_t sid, std::string_view queue) {
    nats_command_maker sub("SUB", is_nats_pattern(pattern));
    sub.word(pattern).optional(queue, is_nats_word(queue)).number(sid);
    return std::move(sub.line_end().made);
}

nats_command nats_unsub(std::uint64_t sid, std::uint64_t messages) {
    nats_command_maker unsub("UNSUB");
    unsub.number(sid);
    if (messages != 0) unsub.number(messages);
    return std::move(unsub.line_end().made);
}

nats_command nats_ping() {
    nats_command_maker ping("PING");
    return std::move(ping.line_end().made);
}

std::optional<nats_command> nats_reply(const nats_view& message, std::string_view payload) {
    if (!is_nats_subject(message.reply_to())) return std::nullopt;
    return nats_pub(message.reply_to(), payload);
}

}  // namespace ice
