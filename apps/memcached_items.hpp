// memcached_items: what apps/keyvalue does for clients of memcached: its classic commands, on a
// bounded_map. Items expire when they are looked up.
#pragma once

#include <charconv>
#include <chrono>
#include <cstring>
#include <ice/protocols/memcached_requests.hpp>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "bounded_map.hpp"

class memcached_items {
public:
    explicit memcached_items(bounded_map items) : items_(std::move(items)) {}

    // None if the client waits for no reply.
    std::optional<ice::memcached_view> operator()(ice::memcached_request_view r) {
        now_ = std::chrono::duration_cast<std::chrono::seconds>(
                   std::chrono::system_clock::now().time_since_epoch())
                   .count();
        if (flush_at_ != 0 && now_ >= flush_at_) flush();
        const ice::memcached_view said = answer(r);
        if (r.is_quiet()) return std::nullopt;
        return said;
    }

private:
    using view = ice::memcached_view;
    using request = ice::memcached_request_view;

    // How an item is stored: this, and behind it the value.
    struct header {
        std::uint64_t cas = 0;
        std::int64_t expires = 0;  // seconds since 1970; 0: never
        std::uint32_t flags = 0;
    };
    struct stored : header {
        std::string_view value;
    };

    static constexpr std::size_t key_limit = 250;

    view answer(request r) {
        const auto name = r.word(0), key = r.word(1);
        const std::size_t n = r.size();
        if (name == "version") return view("VERSION ice\r\n");
        if (name == "mn") return view("MN\r\n");
        if (name == "verbosity" && (n == 2 || n == 3)) return view("OK\r\n");
        if (name == "stats" && n == 1) return view("END\r\n");  // it counts nothing
        if (name == "flush_all") return flush_all(r);
        const bool is_gat = name == "gat" || name == "gats";
        if (is_gat && n > 2) return get(r, 2, name == "gats", expiry(key));
        if ((name == "get" || name == "gets") && n > 1) return get(r, 1, name == "gets", {});
        if (n < 2 || is_gat) return view("ERROR\r\n");
        if (key.size() > key_limit) return bad_line();
        if (name == "cas" && n >= 6) return store(r, r.number(5));
        if (is_storage(name) && n >= 5) return store(r, {});
        if (name == "delete" && n <= 4) return forget(r);
        if ((name == "incr" || name == "decr") && n >= 3) return add(r, name == "incr");
        if (name == "touch" && n >= 3) return touch(key, expiry(r.word(2)));
        return view("ERROR\r\n");
    }

    static bool is_storage(std::string_view name) {
        return name == "set" || name == "add" || name == "replace" || name == "append" ||
               name == "prepend";
    }

    view bad_line() const { return view("CLIENT_ERROR bad command line format\r\n"); }

    // As memcached reads it: a date, or up to 30 days from now; a negative number has passed.
    std::optional<std::int64_t> expiry(std::string_view word) const {
        std::int64_t seconds = 0;
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), seconds);
        if (error != std::errc() || end != word.data() + word.size()) return std::nullopt;
        if (seconds < 0) return now_ - 1;
        return seconds == 0 || seconds > 60 * 60 * 24 * 30 ? seconds : now_ + seconds;
    }

    std::optional<stored> find(std::string_view key) {
        const std::string* const text = items_.find(key);
        if (text == nullptr) return std::nullopt;
        stored found;
        std::memcpy(static_cast<header*>(&found), text->data(), sizeof(header));
        found.value = std::string_view(*text).substr(sizeof(header));
        if (found.expires == 0 || found.expires > now_) return found;
        items_.forget(key);
        return std::nullopt;
    }

    view keep(std::string_view key, header h, std::string_view value) {
        std::string text(sizeof h, '\0');
        std::memcpy(text.data(), &h, sizeof h);
        if (!items_.keep(key, text.append(value)))
            return view("SERVER_ERROR out of memory storing object\r\n");
        return view("STORED\r\n");
    }

    view get(request r, std::size_t first, bool with_cas, std::optional<std::int64_t> touched) {
        if (first == 2 && !touched) return view("CLIENT_ERROR invalid exptime argument\r\n");
        std::vector<ice::memcached_item> found;
        auto word = r.begin();
        for (; first != 0; --first) ++word;
        for (; word != r.end(); ++word) {
            const auto key = *word;
            if (key.size() > key_limit) return bad_line();
            if (touched) touch(key, touched);
            if (const auto item = find(key))
                found.push_back({key, item->value, item->flags, item->cas});
        }
        return made_ = ice::memcached_values(found, with_cas);
    }

    view store(request r, std::optional<std::uint64_t> cas) {
        const auto name = r.word(0), key = r.word(1);
        const auto flags = r.number(2);
        const auto expires = expiry(r.word(3));
        if (!flags || *flags > std::numeric_limits<std::uint32_t>::max() || !expires ||
            (name == "cas" && !cas))
            return bad_line();
        const auto before = find(key);
        if (name == "cas" && !before) return view("NOT_FOUND\r\n");
        if (name == "cas" && before->cas != *cas) return view("EXISTS\r\n");
        const bool adds = name == "append" || name == "prepend";
        if ((name == "add" && before) || ((adds || name == "replace") && !before))
            return view("NOT_STORED\r\n");
        if (!adds)
            return keep(key, {++last_cas_, *expires, static_cast<std::uint32_t>(*flags)},
                        r.value());
        std::string whole(name == "append" ? before->value : r.value());
        whole += name == "append" ? r.value() : before->value;
        return keep(key, {++last_cas_, before->expires, before->flags}, whole);
    }

    view add(request r, bool up) {
        const auto by = r.number(2);
        if (!by) return view("CLIENT_ERROR invalid numeric delta argument\r\n");
        const auto before = find(r.word(1));
        if (!before) return view("NOT_FOUND\r\n");
        const auto number = ice::detail::memcached_request_number(before->value);
        if (!number)
            return view("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
        const std::uint64_t sum = up ? *number + *by : *number - std::min(*by, *number);
        const auto kept =
            keep(r.word(1), {++last_cas_, before->expires, before->flags}, std::to_string(sum));
        if (kept.is_error()) return kept;
        return made_ = ice::memcached_number(sum);
    }

    // Old clients send a time, which only 0 is left of.
    view forget(request r) {
        if (r.size() - (r.is_quiet() ? 1 : 0) > 2 && r.word(2) != "0") return bad_line();
        const bool was_there = find(r.word(1)).has_value();
        items_.forget(r.word(1));
        return view(was_there ? "DELETED\r\n" : "NOT_FOUND\r\n");
    }

    // Writes over the header: gat may have a view of the value already, if it names a key twice.
    view touch(std::string_view key, std::optional<std::int64_t> expires) {
        if (!expires) return view("CLIENT_ERROR invalid exptime argument\r\n");
        const auto found = find(key);
        if (!found) return view("NOT_FOUND\r\n");
        header h = *found;
        h.expires = *expires;
        std::memcpy(items_.find_to_change(key)->data(), &h, sizeof h);
        return view("TOUCHED\r\n");
    }

    view flush_all(request r) {
        const auto delay = r.number(1);
        if (r.size() > 1 && !delay && r.word(1) != "noreply") return bad_line();
        flush_at_ =
            now_ + static_cast<std::int64_t>(std::min<std::uint64_t>(delay.value_or(0), 1U << 31));
        if (flush_at_ == now_) flush();
        return view("OK\r\n");
    }

    void flush() {
        items_.forget_all();
        flush_at_ = 0;
    }

    bounded_map items_;
    ice::memcached_reply made_;  // the last answer that is no constant
    std::uint64_t last_cas_ = 0;
    std::int64_t now_ = 0, flush_at_ = 0;  // seconds since 1970
};
