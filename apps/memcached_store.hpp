// memcached_store: the items of apps/keyvalue for clients of memcached, with flags, expiry and
// version (cas), on a bounded_map. Items expire when they are looked up.
#pragma once

#include <charconv>
#include <chrono>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "bounded_map.hpp"

class memcached_store {
public:
    static constexpr std::size_t key_limit = 250;

    explicit memcached_store(bounded_map items) : items_(std::move(items)) {}

    // How an item is stored: this, and behind it the value.
    struct header {
        std::uint64_t cas = 0;
        std::int64_t expires = 0;  // seconds since 1970; 0: never
        std::uint32_t flags = 0;
    };
    struct item : header {
        std::string_view value;  // valid until its key is stored anew or forgotten
    };

    // Reads the clock: all until the next call happens at this moment.
    void look_at_clock() {
        now_ = std::chrono::duration_cast<std::chrono::seconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count();
        if (flush_at_ != 0 && now_ >= flush_at_) flush();
    }

    // As memcached reads it: a date, or up to 30 days from now; a negative number has passed.
    std::optional<std::int64_t> expiry(std::string_view word) const {
        std::int64_t seconds = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), seconds);
        if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
        if (seconds < 0) return now_ - 1;
        return seconds == 0 || seconds > 60 * 60 * 24 * 30 ? seconds : now_ + seconds;
    }
    // The seconds that are left; -1: it does not expire.
    std::int64_t lifetime(const header& h) const { return h.expires == 0 ? -1 : h.expires - now_; }

    std::optional<item> find(std::string_view key) {
        const std::string* const text = items_.find(key);
        if (text == nullptr) return std::nullopt;
        item found;
        std::memcpy(static_cast<header*>(&found), text->data(), sizeof(header));
        found.value = std::string_view(*text).substr(sizeof(header));
        if (found.expires == 0 || found.expires > now_) return found;
        items_.forget(key);
        return std::nullopt;
    }

    // Stores an item with a new version, which h.cas is then. False if there is no room for it.
    bool keep(std::string_view key, header& h, std::string_view value) {
        h.cas = ++last_cas_;
        std::string text(sizeof h, '\0');
        std::memcpy(text.data(), &h, sizeof h);
        return items_.keep(key, text.append(value));
    }

    // Writes over the header: a caller may have a view of the value. Requires: there is the item.
    void set_expiry(std::string_view key, std::int64_t expires) {
        std::string* const text = items_.find_to_change(key);
        header h;
        std::memcpy(&h, text->data(), sizeof h);
        h.expires = expires;
        std::memcpy(text->data(), &h, sizeof h);
    }

    bool forget(std::string_view key) {
        const bool was_there = find(key).has_value();
        items_.forget(key);
        return was_there;
    }

    void flush_in(std::int64_t seconds) {
        flush_at_ = now_ + seconds;
        if (seconds == 0) flush();
    }

private:
    void flush() {
        items_.forget_all();
        flush_at_ = 0;
    }

    bounded_map items_;
    std::uint64_t last_cas_ = 0;
    std::int64_t now_ = 0, flush_at_ = 0;  // seconds since 1970
};
