// A strict reader of JSON, as far as INFO of NATS needs it: it goes once over the text.
#include <charconv>
#include <ice/nats_info.hpp>

namespace ice {
namespace {

constexpr int nats_json_depth = 16;  // INFO of nats-server 2.10 has two levels

class nats_json_reader {
public:
    explicit nats_json_reader(std::string_view text) : rest_(text) {}

    // Each returns whether such a value, or byte, comes next, and takes it.
    bool take(char c) noexcept {
        skip_blanks();
        if (!rest_.starts_with(c)) return false;
        rest_.remove_prefix(1);
        return true;
    }
    bool boolean(bool& value) noexcept {
        skip_blanks();
        value = word("true");
        return value || word("false");
    }
    bool string(std::string& value);
    bool number(std::uint64_t& value) noexcept;
    bool strings(std::vector<std::string>& value);
    bool skip_value(int depth);
    bool is_over() noexcept {
        skip_blanks();
        return rest_.empty();
    }

private:
    void skip_blanks() noexcept {
        const std::size_t end = rest_.find_first_not_of(" \t\r\n");
        rest_.remove_prefix(end == rest_.npos ? rest_.size() : end);
    }
    bool word(std::string_view text) noexcept {
        if (!rest_.starts_with(text)) return false;
        rest_.remove_prefix(text.size());
        return true;
    }
    bool digits() noexcept {
        std::size_t n = rest_.find_first_not_of("0123456789");
        if (n == rest_.npos) n = rest_.size();
        rest_.remove_prefix(n);
        return n != 0;
    }
    bool skip_number() noexcept;
    bool skip_members(int depth, char end);
    bool escape(std::string& value);
    bool code_unit(unsigned& unit) noexcept;

    std::string_view rest_;
};

void append_nats_utf8(unsigned code, std::string& out) {
    const auto tail = [&](int shift) { out += static_cast<char>(0x80 | ((code >> shift) & 0x3f)); };
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else if (code < 0x800) {
        out += static_cast<char>(0xc0 | (code >> 6));
        tail(0);
    } else if (code < 0x10000) {
        out += static_cast<char>(0xe0 | (code >> 12));
        tail(6);
        tail(0);
    } else {
        out += static_cast<char>(0xf0 | (code >> 18));
        tail(12);
        tail(6);
        tail(0);
    }
}

bool nats_json_reader::code_unit(unsigned& unit) noexcept {
    if (rest_.size() < 4) return false;
    const char* const end = rest_.data() + 4;
    const auto [read, error] = std::from_chars(rest_.data(), end, unit, 16);
    rest_.remove_prefix(4);
    return error == std::errc() && read == end;
}

// What stands behind a backslash. A surrogate must have its other half behind it.
bool nats_json_reader::escape(std::string& value) {
    constexpr std::string_view names = "\"\\/bfnrt", means = "\"\\/\b\f\n\r\t";
    if (rest_.empty()) return false;
    const char name = rest_[0];
    rest_.remove_prefix(1);
    if (name != 'u') {
        const std::size_t at = names.find(name);
        if (at != names.npos) value += means[at];
        return at != names.npos;
    }
    unsigned unit = 0, low = 0;
    if (!code_unit(unit)) return false;
    if (unit >= 0xd800 && unit < 0xe000) {
        if (unit >= 0xdc00 || !word("\\u") || !code_unit(low)) return false;
        if (low < 0xdc00 || low >= 0xe000) return false;
        unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    }
    append_nats_utf8(unit, value);
    return true;
}

bool nats_json_reader::string(std::string& value) {
    if (!take('"')) return false;
    value.clear();
    while (!rest_.empty()) {
        const char c = rest_[0];
        rest_.remove_prefix(1);
        if (c == '"') return true;
        if (static_cast<unsigned char>(c) < ' ') return false;
        if (c != '\\') value += c;
        else if (!escape(value)) return false;
    }
    return false;
}

// Whole numbers only: none that a client uses is another one.
bool nats_json_reader::number(std::uint64_t& value) noexcept {
    skip_blanks();
    auto copy = *this;
    if (!copy.skip_number()) return false;
    const char* const end = copy.rest_.data();
    const auto [read, error] = std::from_chars(rest_.data(), end, value);
    *this = copy;
    return error == std::errc() && read == end;
}

bool nats_json_reader::strings(std::vector<std::string>& value) {
    value.clear();
    if (!take('[')) return false;
    if (take(']')) return true;
    std::string one;
    do {
        if (!string(one)) return false;
        if (value.size() != nats_info::urls_limit) value.push_back(std::move(one));
    } while (take(','));
    return take(']');
}

bool nats_json_reader::skip_number() noexcept {
    word("-");
    if (!word("0") && !digits()) return false;
    if (word(".") && !digits()) return false;
    if (!word("e") && !word("E")) return true;
    if (!word("+")) word("-");
    return digits();
}

// The members of an object or an array, behind its first byte.
bool nats_json_reader::skip_members(int depth, char end) {
    std::string name;
    if (take(end)) return true;
    do {
        if (end == '}' && (!string(name) || !take(':'))) return false;
        if (!skip_value(depth + 1)) return false;
    } while (take(','));
    return take(end);
}

bool nats_json_reader::skip_value(int depth) {
    if (depth > nats_json_depth) return false;
    skip_blanks();
    if (rest_.empty()) return false;
    std::string ignored;
    switch (rest_[0]) {
        case '"': return string(ignored);
        case '{': return take('{') && skip_members(depth, '}');
        case '[': return take('[') && skip_members(depth, ']');
        case 't': return word("true");
        case 'f': return word("false");
        case 'n': return word("null");
        default: return skip_number();
    }
}

bool read_nats_member(nats_json_reader& in, std::string_view name, nats_info& info) {
    if (name == "server_id") return in.string(info.server_id);
    if (name == "server_name") return in.string(info.server_name);
    if (name == "version") return in.string(info.version);
    if (name == "connect_urls") return in.strings(info.connect_urls);
    if (name == "max_payload") return in.number(info.max_payload);
    if (name == "client_id") return in.number(info.client_id);
    if (name == "headers") return in.boolean(info.headers);
    if (name == "auth_required") return in.boolean(info.auth_required);
    if (name == "tls_required") return in.boolean(info.tls_required);
    if (name == "ldm") return in.boolean(info.lame_duck);
    if (name == "nonce") {
        std::string nonce;
        const bool is_text = in.string(nonce);
        info.has_nonce = !nonce.empty();
        return is_text;
    }
    return in.skip_value(2);
}

}  // namespace

std::optional<nats_info> read_nats_info(std::string_view json) {
    nats_json_reader in(json);
    std::optional<nats_info> info(std::in_place);
    std::string name;
    if (!in.take('{')) return std::nullopt;
    if (in.take('}')) return in.is_over() ? info : std::nullopt;
    do {
        if (!in.string(name) || !in.take(':')) return std::nullopt;
        if (!read_nats_member(in, name, *info)) return std::nullopt;
    } while (in.take(','));
    return in.take('}') && in.is_over() ? info : std::nullopt;
}

void append_json_string(std::string_view text, std::string& out) {
    constexpr std::string_view hex = "0123456789abcdef";
    out += '"';
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < ' ') {
            (out += "\\u00") += hex[byte >> 4];
            out += hex[byte & 15];
            continue;
        }
        if (c == '"' || c == '\\') out += '\\';
        out += c;
    }
    out += '"';
}

}  // namespace ice
