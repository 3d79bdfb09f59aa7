// The state machine of memcached.hpp. parse() checks a whole reply, so the functions that read a
// reply later rely on its form.
#include <algorithm>
#include <array>
#include <charconv>
#include <ice/protocols/memcached.hpp>
#include <utility>

namespace ice {
namespace {

// What may stand behind the first word of a line.
enum class form : std::uint8_t { nothing, text, flags, item, data };

struct first_word {
    std::string_view word;
    memcached_type is;
    form behind;
};

// Sorted by how often a client receives them.
constexpr std::array first_words{
    first_word{"VALUE", memcached_type::values, form::item},
    first_word{"END", memcached_type::values, form::nothing},
    first_word{"STORED", memcached_type::stored, form::nothing},
    first_word{"HD", memcached_type::meta_success, form::flags},
    first_word{"VA", memcached_type::meta_value, form::data},
    first_word{"EN", memcached_type::meta_miss, form::flags},
    first_word{"NF", memcached_type::not_found, form::flags},
    first_word{"NS", memcached_type::not_stored, form::flags},
    first_word{"EX", memcached_type::exists, form::flags},
    first_word{"MN", memcached_type::meta_noop, form::nothing},
    first_word{"NOT_FOUND", memcached_type::not_found, form::nothing},
    first_word{"NOT_STORED", memcached_type::not_stored, form::nothing},
    first_word{"EXISTS", memcached_type::exists, form::nothing},
    first_word{"DELETED", memcached_type::deleted, form::nothing},
    first_word{"TOUCHED", memcached_type::touched, form::nothing},
    first_word{"OK", memcached_type::ok, form::nothing},
    first_word{"VERSION", memcached_type::version, form::text},
    first_word{"ERROR", memcached_type::error, form::nothing},
    first_word{"CLIENT_ERROR", memcached_type::client_error, form::text},
    first_word{"SERVER_ERROR", memcached_type::server_error, form::text},
};
constexpr std::size_t longest_word = 12;  // CLIENT_ERROR

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

std::string_view word_of(std::string_view line) noexcept {
    line = line.substr(0, longest_word + 1);
    return line.substr(0, line.find_first_of(" \r"));
}

const first_word* find_word(std::string_view word) noexcept {
    const auto* const found = std::find_if(first_words.begin(), first_words.end(),
                                           [&](const auto& w) { return w.word == word; });
    return found == first_words.end() ? nullptr : found;
}

// Whether a line that begins with these bytes can be that of a reply.
bool can_begin(std::string_view bytes) noexcept {
    if (bytes.empty() || is_digit(bytes[0])) return true;
    const auto word = word_of(bytes);
    if (word.size() < bytes.size()) return find_word(word) != nullptr;
    return std::any_of(first_words.begin(), first_words.end(),
                       [&](const auto& w) { return w.word.starts_with(word); });
}

// Takes a number from the beginning of `line`.
template <class Number>
bool take_number(std::string_view& line, Number& number) noexcept {
    const char* const end = line.data() + line.size();
    const auto [read, error] = std::from_chars(line.data(), end, number);  // reads no sign
    if (error != std::errc()) return false;
    line.remove_prefix(static_cast<std::size_t>(read - line.data()));
    return true;
}

bool take_blank(std::string_view& line) noexcept {
    if (!line.starts_with(' ')) return false;
    line.remove_prefix(1);
    return true;
}

// Reads "VALUE <key> <flags> <bytes>[ <cas>]" without its first word.
bool read_item(std::string_view line, memcached_item& item, std::size_t& size) noexcept {
    if (!take_blank(line)) return false;
    item.key = line.substr(0, line.find(' '));
    line.remove_prefix(item.key.size());
    if (item.key.empty() || !take_blank(line) || !take_number(line, item.flags)) return false;
    if (!take_blank(line) || !take_number(line, size)) return false;
    if (line.empty()) return true;
    return take_blank(line) && take_number(line, item.cas) && line.empty();
}

// Whether the rest of a line has flags, as in " t-1 W": memcached ends some with a blank.
bool are_flags(std::string_view rest) noexcept { return rest.empty() || rest[0] == ' '; }

// The line with which a reply begins, without its line end. None has a CR in it (take()).
std::string_view line_of(std::string_view reply) noexcept {
    return reply.substr(0, reply.find('\r'));
}

}  // namespace

namespace detail {

memcached_type memcached_type_of(std::string_view reply) noexcept {
    if (reply.empty()) return memcached_type::values;  // a reply that was moved from
    if (is_digit(reply[0])) return memcached_type::number;
    const first_word* const found = find_word(word_of(reply));
    return found == nullptr ? memcached_type::values : found->is;
}

std::string_view memcached_text(std::string_view reply) noexcept {
    const memcached_type is = memcached_type_of(reply);
    if (is == memcached_type::values || is == memcached_type::meta_value) return {};
    auto line = line_of(reply);
    if (is == memcached_type::number) return line;
    line.remove_prefix(word_of(line).size());
    take_blank(line);
    return line;
}

std::string_view memcached_value(std::string_view reply) noexcept {
    if (memcached_type_of(reply) != memcached_type::meta_value) {
        memcached_item first;
        memcached_next(reply, first);
        return first.value;
    }
    const auto line = line_of(reply);
    const std::size_t begin = line.size() + 2;
    return reply.substr(begin, reply.size() - 2 - begin);
}

std::uint64_t memcached_number(std::string_view reply) noexcept {
    std::uint64_t number = 0;
    auto line = line_of(reply);
    return take_number(line, number) ? number : 0;
}

const char* memcached_flag(std::string_view reply, char flag, std::size_t& size) noexcept {
    const first_word* const found = find_word(word_of(reply));
    if (found == nullptr || (found->behind != form::flags && found->behind != form::data))
        return nullptr;
    auto rest = line_of(reply).substr(found->word.size());
    if (found->behind == form::data) {
        std::size_t data = 0;
        take_blank(rest);
        take_number(rest, data);
    }
    while (take_blank(rest)) {
        const auto word = rest.substr(0, rest.find(' '));
        if (!word.empty() && word[0] == flag) {
            size = word.size() - 1;
            return word.data() + 1;
        }
        rest.remove_prefix(word.size());
    }
    return nullptr;
}

std::size_t memcached_next(std::string_view items, memcached_item& item) noexcept {
    if (!items.starts_with("VALUE")) return 0;
    const auto line = line_of(items);
    std::size_t size = 0;
    if (!read_item(line.substr(5), item, size)) return 0;
    item.value = items.substr(line.size() + 2, size);
    return line.size() + 2 + size + 2;
}

}  // namespace detail

parsed<memcached_view> memcached::parse(std::string_view input) {
    while (at_ < input.size()) {
        if (is_lost_) return errc::bad_message;
        switch (in_data_ ? take_data(input) : take(input)) {
            case step::taken: break;
            case step::more: return need_more;
            case step::too_large: return errc::message_too_large;
            case step::bad: return errc::bad_message;
        }
        if (is_whole_) {
            const std::size_t size = std::exchange(at_, 0);
            const memcached_view reply(input.substr(0, size));
            is_whole_ = in_values_ = false;
            ++replies_;
            is_lost_ = replies_ <= last_value_ && reply.type() == memcached_type::error;
            return {reply, size};
        }
    }
    return need_more;
}

// Takes the line at at_. Each error depends only on the bytes before it, so it is the same wherever
// the input is cut: the first word is compared only as far as the limit lets it be.
memcached::step memcached::take(std::string_view input) {
    const std::size_t most = std::min(limit_, at_ < limit_ ? at_ + line_limit : at_);
    if (most < at_ + 2) return step::too_large;
    const auto text = input.substr(at_, most - 2 - at_);
    if (!can_begin(text)) return step::bad;
    const std::size_t cr = input.find('\r', std::max(scanned_, at_));
    const std::size_t seen = std::min(cr, input.size());
    if (seen > most - 2) return step::too_large;
    // The next search begins at this CR, whose LF may be in the next segment.
    scanned_ = seen;
    if (cr == input.npos || cr + 1 == input.size()) return step::more;
    if (input[cr + 1] != '\n') return step::bad;
    scanned_ = 0;
    return take_line(input.substr(at_, cr - at_), cr + 2);
}

memcached::step memcached::take_line(std::string_view line, std::size_t end) {
    if (line.find('\n') != line.npos) return step::bad;
    at_ = end;
    is_whole_ = true;
    if (!line.empty() && is_digit(line[0])) {
        std::uint64_t number = 0;
        return !in_values_ && take_number(line, number) && line.empty() ? step::taken : step::bad;
    }
    const first_word* const found = find_word(word_of(line));
    // Between items there is no other line, not even an error: memcached replaces all items by it.
    if (found == nullptr || (in_values_ && found->is != memcached_type::values)) return step::bad;
    line.remove_prefix(found->word.size());
    memcached_item item;
    bool good = false;
    switch (found->behind) {
        case form::nothing: good = line.empty(); break;
        case form::text: good = line.empty() || line[0] == ' '; break;
        case form::flags: good = are_flags(line); break;
        case form::item: good = read_item(line, item, data_); break;
        case form::data:
            good = take_blank(line) && take_number(line, data_) && are_flags(line);
            break;
    }
    if (!good) return step::bad;
    if (found->behind != form::item && found->behind != form::data) return step::taken;
    // Compares by subtraction, as a declared size may be so large that a sum overflows.
    const std::size_t room = limit_ - end;
    if (room < 2 || data_ > room - 2) return step::too_large;
    is_whole_ = false;
    in_data_ = true;
    in_values_ = found->behind == form::item;
    return step::taken;
}

memcached::step memcached::take_data(std::string_view input) {
    if (input.size() - at_ < data_ + 2) return step::more;
    if (input[at_ + data_] != '\r' || input[at_ + data_ + 1] != '\n') return step::bad;
    at_ += data_ + 2;
    in_data_ = false;
    is_whole_ = !in_values_;
    return step::taken;
}

error_code memcached::packet(const memcached_command& command, std::string& out) {
    if (!command.is_encodable()) return make_error_code(errc::unencodable);
    if (command.bytes().size() > limit_) return make_error_code(errc::message_too_large);
    out.append(command.bytes());
    ++requests_;
    if (command.has_value()) last_value_ = requests_;
    return {};
}

}  // namespace ice
