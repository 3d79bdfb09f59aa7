// The checks of memcached_command.hpp. A command is built even if it cannot be sent, so that the
// functions which make commands need no error of their own: memcached::packet() refuses it.
#include <algorithm>
#include <charconv>
#include <ice/memcached_command.hpp>

namespace ice {
namespace {

// What memcached may take for the end of a word.
bool ends_word(char c) noexcept {
    const auto byte = static_cast<unsigned char>(c);
    return byte <= ' ' || byte == 0x7f;
}

bool is_word(std::string_view text, std::size_t limit) noexcept {
    return !text.empty() && text.size() <= limit &&
           std::none_of(text.begin(), text.end(), ends_word);
}

bool is_letter(char c) noexcept { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

memcached_command storage(std::string_view command, std::string_view key, std::string_view value,
                          memcached_expiry when, std::uint32_t flags) {
    detail::memcached_builder made(command);
    return made.key(key).number(flags).expiry(when).number(value.size()).finish(value);
}

}  // namespace

namespace detail {

memcached_builder::memcached_builder(std::string_view command)
    : may_be_long_(command == "get" || command == "gets") {
    made_.bytes_ = command;
    made_.is_encodable_ = true;
}

void memcached_builder::word(std::string_view text) { (made_.bytes_ += ' ') += text; }

memcached_builder& memcached_builder::key(std::string_view key) {
    if (!is_word(key, memcached_command::key_limit)) made_.is_encodable_ = false;
    word(key);
    has_key_ = true;
    return *this;
}

memcached_builder& memcached_builder::number(std::uint64_t number) {
    char digits[20];  // of 64 bits
    word({digits, std::to_chars(digits, digits + sizeof digits, number).ptr});
    return *this;
}

memcached_builder& memcached_builder::expiry(memcached_expiry when) {
    if (!when.is_encodable()) made_.is_encodable_ = false;
    if (when.seconds() >= 0) return number(static_cast<std::uint64_t>(when.seconds()));
    word("-1");
    return *this;
}

memcached_builder& memcached_builder::flag(std::string_view flag) {
    const bool is_flag = is_word(flag, memcached_command::line_limit) && is_letter(flag[0]) &&
                         flag[0] != 'q' && ++flags_ <= memcached_command::flags_limit;
    const bool is_opaque = is_flag && flag[0] == 'O';
    if (!is_flag ||
        (is_opaque && (flag.size() < 2 || flag.size() - 1 > memcached_command::opaque_limit)))
        made_.is_encodable_ = false;
    word(flag);
    return *this;
}

memcached_command memcached_builder::finish() {
    made_.bytes_ += "\r\n";
    if (!has_key_ || (!may_be_long_ && made_.bytes_.size() > memcached_command::line_limit))
        made_.is_encodable_ = false;
    return std::move(made_);
}

memcached_command memcached_builder::finish(std::string_view value) {
    memcached_command made = finish();
    made.has_value_ = true;
    made.bytes_.append(value).append("\r\n");
    return made;
}

memcached_command memcached_builder::finish_without_key() {
    has_key_ = true;
    return finish();
}

}  // namespace detail

memcached_command memcached_set(std::string_view key, std::string_view value, memcached_expiry when,
                                std::uint32_t flags) {
    return storage("set", key, value, when, flags);
}

memcached_command memcached_add(std::string_view key, std::string_view value, memcached_expiry when,
                                std::uint32_t flags) {
    return storage("add", key, value, when, flags);
}

memcached_command memcached_replace(std::string_view key, std::string_view value,
                                    memcached_expiry when, std::uint32_t flags) {
    return storage("replace", key, value, when, flags);
}

// memcached reads the flags and the expiry of append and prepend, and does not use them.
memcached_command memcached_append(std::string_view key, std::string_view value) {
    return storage("append", key, value, {}, 0);
}

memcached_command memcached_prepend(std::string_view key, std::string_view value) {
    return storage("prepend", key, value, {}, 0);
}

memcached_command memcached_cas(std::string_view key, std::string_view value, std::uint64_t cas,
                                memcached_expiry when, std::uint32_t flags) {
    detail::memcached_builder made("cas");
    made.key(key).number(flags).expiry(when).number(value.size()).number(cas);
    return made.finish(value);
}

memcached_command memcached_incr(std::string_view key, std::uint64_t by) {
    return detail::memcached_builder("incr").key(key).number(by).finish();
}

memcached_command memcached_decr(std::string_view key, std::uint64_t by) {
    return detail::memcached_builder("decr").key(key).number(by).finish();
}

memcached_command memcached_delete(std::string_view key) {
    return detail::memcached_builder("delete").key(key).finish();
}

memcached_command memcached_touch(std::string_view key, memcached_expiry when) {
    return detail::memcached_builder("touch").key(key).expiry(when).finish();
}

// A negative delay would be one in the past, which is at once.
memcached_command memcached_flush_all(std::chrono::seconds delay) {
    detail::memcached_builder made("flush_all");
    if (delay > std::chrono::seconds(0)) made.expiry(delay);
    return made.finish_without_key();
}

memcached_command memcached_version() {
    return detail::memcached_builder("version").finish_without_key();
}

memcached_command memcached_mn() { return detail::memcached_builder("mn").finish_without_key(); }

}  // namespace ice
