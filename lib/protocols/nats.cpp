// The state machine of nats.hpp.
#include <algorithm>
#include <charconv>
#include <ice/protocols/nats.hpp>
#include <ice/version.hpp>
#include <limits>
#include <utility>

namespace ice {
namespace {

enum class nats_verb : std::uint8_t { none, msg, hmsg, ping, pong, ok, err, info };

struct nats_first_word {
    std::string_view word;
    nats_verb is;
};
// Sorted by how often a client receives them.
constexpr nats_first_word nats_first_words[] = {
    {"MSG", nats_verb::msg},   {"HMSG", nats_verb::hmsg}, {"PING", nats_verb::ping},
    {"PONG", nats_verb::pong}, {"INFO", nats_verb::info}, {"+OK", nats_verb::ok},
    {"-ERR", nats_verb::err}};
constexpr std::size_t nats_longest_word = 4;

char nats_upper(char c) noexcept { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c; }

// Whether `text` begins with `word`, in any case. Requires: `word` is in capital letters.
bool nats_begins(std::string_view text, std::string_view word) noexcept {
    return text.size() >= word.size() &&
           std::equal(word.begin(), word.end(), text.begin(),
                      [](char a, char b) { return a == nats_upper(b); });
}

// The first word of a line, or what it can become while it has not ended; none if no line begins
// with these bytes.
nats_verb nats_verb_of(std::string_view input) noexcept {
    const auto begin = input.substr(0, nats_longest_word + 1);
    const auto word = begin.substr(0, begin.find_first_of(" \t\r"));
    const bool is_whole = word.size() < begin.size();
    for (const auto& one : nats_first_words) {
        if (is_whole && one.word.size() != word.size()) continue;
        if (one.word.size() >= word.size() && nats_begins(word, one.word.substr(0, word.size())))
            return one.is;
    }
    return nats_verb::none;
}

std::string_view nats_trim(std::string_view text) noexcept {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == text.npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

// Takes the next word of a line.
std::string_view nats_next_word(std::string_view& line) noexcept {
    line = nats_trim(line);
    const auto word = line.substr(0, line.find_first_of(" \t"));
    line.remove_prefix(word.size());
    return word;
}

bool read_nats_number(std::string_view digits, std::uint64_t& number) noexcept {
    const char* const end = digits.data() + digits.size();
    const auto [read, error] = std::from_chars(digits.data(), end, number);  // reads no sign
    return error == std::errc() && read == end;
}

// After any other error the server closes the connection (server/errors.go of nats-server).
bool ends_no_connection(std::string_view text) noexcept {
    return nats_begins(text, "PERMISSIONS VIOLATION") || nats_begins(text, "INVALID SUBJECT") ||
           nats_begins(text, "MAXIMUM SUBSCRIPTIONS EXCEEDED");
}

// A server that repeats what it was sent must not bring a secret into the log.
bool has_nats_secret(std::string_view text, std::string_view secret) noexcept {
    return !secret.empty() && text.find(secret) != text.npos;
}

}  // namespace

nats::nats(nats_options options, std::size_t limit)
    : limit_(std::min<std::size_t>(limit, std::numeric_limits<std::uint32_t>::max())),
      options_(std::make_shared<const nats_options>(std::move(options))) {}

// Each error depends only on the bytes before it, so it is the same wherever the input is cut.
parsed<nats_view> nats::parse(std::string_view input, std::string& out) {
    if (end_ != 0) return take_payload(input);
    if (input.empty()) return need_more;
    const nats_verb verb = nats_verb_of(input);
    if (verb == nats_verb::none) return errc::bad_message;
    const std::size_t most = verb == nats_verb::info ? info_limit : line_limit;
    const std::size_t cr = input.find('\r', scanned_);
    const std::size_t seen = std::min(cr, input.size());
    if (seen > most - 2) return errc::message_too_large;
    // The next search begins at this CR, whose LF may be in the next segment.
    scanned_ = seen;
    if (cr == input.npos || cr + 1 == input.size()) return need_more;
    if (input[cr + 1] != '\n') return errc::bad_message;
    scanned_ = 0;
    const auto line = input.substr(0, cr);
    if (line.find('\n') != line.npos) return errc::bad_message;
    if (verb != nats_verb::msg && verb != nats_verb::hmsg) return take_line(line, cr + 2, out);
    if (const error_code wrong = begin_message(line, verb == nats_verb::hmsg)) return wrong;
    return take_payload(input);
}

// The bytes of a line, with its CR LF, are the `size` bytes at its begin.
parsed<nats_view> nats::take_line(std::string_view line, std::size_t size, std::string& out) {
    const nats_verb verb = nats_verb_of(line);
    if (verb == nats_verb::info) return take_info(line, size, out);
    if (verb == nats_verb::err) return take_error(line, size);
    if (phase_ == phase::greeting || nats_trim(line).size() > nats_longest_word)
        return errc::bad_message;
    if (verb == nats_verb::ping) out += "PONG\r\n";
    if (verb != nats_verb::pong) return skip{size};
    const bool ends_handshake = std::exchange(phase_, phase::open) == phase::handshake;
    if (!ends_handshake && pings_ != 0) --pings_;
    if (!ends_handshake && !takes_pongs_) return skip{size};
    detail::nats_layout layout;
    layout.type = nats_type::pong;
    return {nats_view({line.data(), size}, layout), size};
}

parsed<nats_view> nats::take_info(std::string_view line, std::size_t size, std::string& out) {
    auto read = read_nats_info(line.substr(nats_longest_word));
    if (!read) return errc::bad_message;
    server_ = *std::move(read);
    if (phase_ == phase::greeting) {
        if (const auto why = refuses_server(); !why.empty()) return refusal_error(why);
        append_connect(out);
        phase_ = phase::handshake;
        return skip{size};
    }
    if (!takes_infos_ || phase_ != phase::open) return skip{size};
    detail::nats_layout layout;
    layout.type = nats_type::info;
    return {nats_view({line.data(), size}, layout), size};
}

parsed<nats_view> nats::take_error(std::string_view line, std::size_t size) {
    auto text = nats_trim(line.substr(nats_longest_word));
    if (text.size() >= 2 && text.front() == '\'' && text.back() == '\'')
        text = text.substr(1, text.size() - 2);
    if (!ends_no_connection(text)) {
        if (options_ != nullptr &&
            (has_nats_secret(text, options_->password) || has_nats_secret(text, options_->token)))
            text = "an error of the NATS server, with a text that holds the secret";
        return refusal_error(text.empty() ? "an error of the NATS server, without a text" : text);
    }
    detail::nats_layout layout;
    layout.type = nats_type::error;
    layout.text = static_cast<std::uint16_t>(text.data() - line.data());
    layout.text_size = static_cast<std::uint16_t>(text.size());
    return {nats_view({line.data(), size}, layout), size};
}

// MSG <subject> <sid> [reply-to] <bytes>, HMSG <subject> <sid> [reply-to] <headers> <bytes>
error_code nats::begin_message(std::string_view line, bool has_headers) {
    if (phase_ != phase::open) return errc::bad_message;
    const std::size_t size = line.size() + 2;
    auto rest = line.substr(has_headers ? 4 : 3);
    std::string_view words[5];
    std::size_t count = 0;
    while (count != 5 && !nats_trim(rest).empty()) words[count++] = nats_next_word(rest);
    const std::size_t least = has_headers ? 4 : 3;
    if ((count != least && count != least + 1) || !nats_trim(rest).empty())
        return errc::bad_message;
    std::uint64_t all = 0, headers = 0;
    detail::nats_layout& m = message_;
    m = {};
    if (!read_nats_number(words[1], m.sid) || !read_nats_number(words[count - 1], all) ||
        (has_headers && !read_nats_number(words[count - 2], headers)) || headers > all)
        return errc::bad_message;
    if (all > limit_) return errc::message_too_large;
    m.text = static_cast<std::uint16_t>(words[0].data() - line.data());
    m.text_size = static_cast<std::uint16_t>(words[0].size());
    if (count != least) {
        m.reply_to = static_cast<std::uint16_t>(words[2].data() - line.data());
        m.reply_to_size = static_cast<std::uint16_t>(words[2].size());
    }
    m.headers = static_cast<std::uint32_t>(size);
    m.headers_size = static_cast<std::uint32_t>(headers);
    m.payload_size = static_cast<std::uint32_t>(all - headers);
    end_ = size + static_cast<std::size_t>(all);
    return {};
}

parsed<nats_view> nats::take_payload(std::string_view input) {
    if (input.size() > end_ && input[end_] != '\r') return errc::bad_message;
    if (input.size() < end_ + 2) return need_more;
    if (input[end_ + 1] != '\n') return errc::bad_message;
    const std::size_t size = std::exchange(end_, 0) + 2;
    return {nats_view(input.substr(0, size), message_), size};
}

error_code nats::packet(const nats_command& command, std::string& out) {
    if (!command.is_encodable() || (command.has_headers() && !server_.headers))
        return make_error_code(errc::unencodable);
    if (command.payload_size() > limit_ || command.payload_size() > server_.max_payload)
        return make_error_code(errc::message_too_large);
    out.append(command.bytes());
    if (command.bytes() == "PING\r\n") ++pings_;
    return {};
}

error_code nats::logged_in(const nats_view& reply) const noexcept {
    return reply.is_error() ? refusal_error(reply.text()) : error_code();
}

std::string_view nats::refuses_server() const noexcept {
    if (server_.tls_required) return "the NATS server requires TLS, which this client has not";
    const bool has_secret =
        options_ != nullptr && !(options_->user.empty() && options_->token.empty());
    if (server_.auth_required && server_.has_nonce && !has_secret)
        return "the NATS server requires a log-in, and there is no user or token; nkeys are not "
               "supported";
    return {};
}

void nats::append_connect(std::string& out) const {
    static const nats_options none;
    const nats_options& o = options_ == nullptr ? none : *options_;
    const auto text = [&](std::string_view name, std::string_view value) {
        if (value.empty()) return;
        ((out += ",\"") += name) += "\":";
        append_json_string(value, out);
    };
    out += R"(CONNECT {"verbose":false,"pedantic":false,"tls_required":false,"lang":"c++",)"
           R"("protocol":1)";  // 1: the server sends further INFOs
    text("version", version);
    text("name", o.name);
    text("user", o.user);
    if (!o.user.empty()) text("pass", o.password);
    text("auth_token", o.token);
    out += o.echo ? R"(,"echo":true)" : R"(,"echo":false)";
    out += server_.headers ? R"(,"headers":true,"no_responders":true)" : "";
    out += "}\r\nPING\r\n";
}

}  // namespace ice
