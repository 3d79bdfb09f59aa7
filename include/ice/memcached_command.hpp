// memcached_command: a request of the protocol memcached. memcached_get(), memcached_set() .. make
// requests with keys and flags that the server cannot misread. No I/O.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

namespace ice {

// When an item expires. memcached counts in seconds, and takes a number beyond 30 days for a date.
class memcached_expiry {
public:
    memcached_expiry() = default;  // never
    // In so long, rounded up to seconds. Zero and less means at once. A request with more than 30
    // days is errc::unencodable: give a date instead.
    template <class Rep, class Period>
    memcached_expiry(std::chrono::duration<Rep, Period> lifetime)
        : seconds_(std::chrono::ceil<std::chrono::seconds>(lifetime).count()),
          encodable_(lifetime <= std::chrono::hours(24 * 30)) {
        if (seconds_ <= 0) seconds_ = -1;
    }
    // At this time of the server's clock. It is a number of 32 bits: a request with a date in the
    // first 30 days of 1970, or after January 2038, is errc::unencodable.
    memcached_expiry(std::chrono::sys_seconds date)
        : seconds_(date.time_since_epoch().count()),
          encodable_(date.time_since_epoch() > std::chrono::hours(24 * 30) &&
                     seconds_ <= std::numeric_limits<std::int32_t>::max()) {}

    std::int64_t seconds() const noexcept { return seconds_; }  // as they are sent
    bool is_encodable() const noexcept { return encodable_; }

private:
    std::int64_t seconds_ = 0;
    bool encodable_ = true;
};

namespace detail {
class memcached_builder;
}

// One request. A function below makes it. Each has exactly one reply, so a pool may share a
// connection among requests. memcached::packet() returns errc::unencodable, and nothing is sent,
// for a request that the server could misread, and so take a part of its value for a command:
// * A key has 1 to 250 bytes, without blanks and control characters.
// * A command line has at most 2048 bytes; that of get and gets has at most the protocol's limit.
// * A meta command has at most 16 flags, which have neither blanks nor control characters. An
//   opaque O has a token of 1 to 31 bytes. The flag q is refused: a quiet command may have no
//   reply, and then the next request would get the wrong one. Nor is there a batch of quiet
//   commands that mn ends: its replies do not say where they begin, and the protocol cannot count
//   requests, as push() may discard what packet() has made. A pipelined pool sends the commands of
//   many callers in one write without q, which would only save the few bytes of each miss.
class ICE_API memcached_command {
public:
    static constexpr std::size_t key_limit = 250;
    static constexpr std::size_t line_limit = 2048;  // memcached closes at a longer line
    static constexpr std::size_t flags_limit = 16;   // behind more it takes the value for a command
    static constexpr std::size_t opaque_limit = 31;

    memcached_command() = default;  // is not encodable

    std::string_view bytes() const noexcept { return bytes_; }
    bool is_encodable() const noexcept { return is_encodable_; }
    bool has_value() const noexcept { return has_value_; }  // a block of data behind its line

private:
    friend class detail::memcached_builder;
    std::string bytes_;
    bool is_encodable_ = false;
    bool has_value_ = false;
};

namespace detail {

// Builds a request, word by word. finish() is the last call.
class ICE_API memcached_builder {
public:
    explicit memcached_builder(std::string_view command);

    memcached_builder& key(std::string_view key);
    template <class Keys>
        requires(!std::convertible_to<const Keys&, std::string_view>)
    memcached_builder& key(const Keys& keys) {
        for (const std::string_view one : keys) key(one);
        return *this;
    }
    memcached_builder& number(std::uint64_t number);
    memcached_builder& expiry(memcached_expiry when);
    memcached_builder& flag(std::string_view flag);
    memcached_command finish();
    memcached_command finish(std::string_view value);  // its size is in the line already
    memcached_command finish_without_key();

private:
    void word(std::string_view text);

    memcached_command made_;
    std::size_t flags_ = 0;
    bool has_key_ = false;
    bool may_be_long_ = false;
};

template <class... Keys>
memcached_command memcached_retrieval(memcached_builder made, const Keys&... keys) {
    static_assert(sizeof...(keys) != 0, "ice: memcached replies ERROR to a get without a key");
    (made.key(keys), ...);
    return made.finish();
}
template <class... Flags>
memcached_builder memcached_meta(memcached_builder made, const Flags&... flags) {
    (made.flag(flags), ...);
    return made;
}

}  // namespace detail

// Reads items. Each of `keys` is a key, or a container of keys such as std::vector<std::string>;
// there is at least one. gets and gats read memcached_item::cas as well. gat and gats set expiries.
template <class... Keys>
memcached_command memcached_get(const Keys&... keys) {
    return detail::memcached_retrieval(detail::memcached_builder("get"), keys...);
}
template <class... Keys>
memcached_command memcached_gets(const Keys&... keys) {
    return detail::memcached_retrieval(detail::memcached_builder("gets"), keys...);
}
template <class... Keys>
memcached_command memcached_gat(memcached_expiry when, const Keys&... keys) {
    return detail::memcached_retrieval(detail::memcached_builder("gat").expiry(when), keys...);
}
template <class... Keys>
memcached_command memcached_gats(memcached_expiry when, const Keys&... keys) {
    return detail::memcached_retrieval(detail::memcached_builder("gats").expiry(when), keys...);
}

// Stores an item with a value of any bytes: always, only if there is none, or only if there is one.
//     auto reply = co_await pool.request(ice::memcached_set("key", value, 10min));
//     if (reply && reply->type() == ice::memcached_type::stored) ..
ICE_API memcached_command memcached_set(std::string_view key, std::string_view value,
                                        memcached_expiry when = {}, std::uint32_t flags = 0);
ICE_API memcached_command memcached_add(std::string_view key, std::string_view value,
                                        memcached_expiry when = {}, std::uint32_t flags = 0);
ICE_API memcached_command memcached_replace(std::string_view key, std::string_view value,
                                            memcached_expiry when = {}, std::uint32_t flags = 0);
// Stores an item if it was not modified since a reply to gets had this `cas`.
ICE_API memcached_command memcached_cas(std::string_view key, std::string_view value,
                                        std::uint64_t cas, memcached_expiry when = {},
                                        std::uint32_t flags = 0);
// Adds bytes to the value of an item, behind it or before it.
ICE_API memcached_command memcached_append(std::string_view key, std::string_view value);
ICE_API memcached_command memcached_prepend(std::string_view key, std::string_view value);

// Changes a value of decimal digits, which memcached reads as 64 bits: incr wraps around, decr
// ends at 0. The reply is a `number`, not_found, or a client_error if the value is no number.
ICE_API memcached_command memcached_incr(std::string_view key, std::uint64_t by);
ICE_API memcached_command memcached_decr(std::string_view key, std::uint64_t by);
ICE_API memcached_command memcached_delete(std::string_view key);
ICE_API memcached_command memcached_touch(std::string_view key, memcached_expiry when);
// Invalidates all items, at once or after a delay.
ICE_API memcached_command memcached_flush_all(std::chrono::seconds delay = {});
ICE_API memcached_command memcached_version();

// The meta commands get, set, delete and arithmetic, with their flags, of memcached 1.6 and later.
// An older server takes the value of ms for commands.
//     auto reply = co_await pool.request(ice::memcached_mg("key", "v", "t"));  // value and expiry
//     if (reply && reply->is_hit()) use(reply->value(), reply->flag('t'));
template <std::convertible_to<std::string_view>... Flags>
memcached_command memcached_mg(std::string_view key, const Flags&... flags) {
    return detail::memcached_meta(detail::memcached_builder("mg").key(key), flags...).finish();
}
template <std::convertible_to<std::string_view>... Flags>
memcached_command memcached_ms(std::string_view key, std::string_view value,
                               const Flags&... flags) {
    detail::memcached_builder made("ms");
    made.key(key).number(value.size());
    return detail::memcached_meta(std::move(made), flags...).finish(value);
}
template <std::convertible_to<std::string_view>... Flags>
memcached_command memcached_md(std::string_view key, const Flags&... flags) {
    return detail::memcached_meta(detail::memcached_builder("md").key(key), flags...).finish();
}
template <std::convertible_to<std::string_view>... Flags>
memcached_command memcached_ma(std::string_view key, const Flags&... flags) {
    return detail::memcached_meta(detail::memcached_builder("ma").key(key), flags...).finish();
}
// Does nothing: for a health check.
ICE_API memcached_command memcached_mn();

}  // namespace ice
