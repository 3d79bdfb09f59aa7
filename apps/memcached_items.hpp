// memcached_items: what apps/keyvalue does for clients of memcached: its classic commands. The meta
// commands are in memcached_meta.hpp.
#pragma once

#include <algorithm>
#include <ice/protocols/memcached_requests.hpp>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "memcached_meta.hpp"
#include "memcached_store.hpp"

class memcached_items {
public:
    explicit memcached_items(bounded_map items) : items_(std::move(items)) {}

    // None if the client waits for no reply.
    std::optional<ice::memcached_view> operator()(ice::memcached_request_view r) {
        items_.look_at_clock();
        if (memcached_meta::has(r)) return meta_.answer(r, items_);
        const ice::memcached_view said = answer(r);
        if (r.is_quiet()) return std::nullopt;
        return said;
    }

private:
    using view = ice::memcached_view;
    using request = ice::memcached_request_view;

    view answer(request r) {
        const auto name = r.word(0), key = r.word(1);
        const std::size_t n = r.size();
        if (name == "version") return view("VERSION ice\r\n");
        if (name == "verbosity" && (n == 2 || n == 3)) return view("OK\r\n");
        if (name == "stats" && n == 1) return view("END\r\n");  // it counts nothing
        if (name == "flush_all") return flush_all(r);
        const bool is_gat = name == "gat" || name == "gats";
        if (is_gat && n > 2) return get(r, 2, name == "gats", items_.expiry(key));
        if ((name == "get" || name == "gets") && n > 1) return get(r, 1, name == "gets", {});
        if (n < 2 || is_gat) return view("ERROR\r\n");
        if (key.size() > memcached_store::key_limit) return bad_line();
        if (name == "cas" && n >= 6) return store(r, r.number(5));
        if (is_storage(name) && n >= 5) return store(r, {});
        if (name == "delete" && n <= 4) return forget(r);
        if ((name == "incr" || name == "decr") && n >= 3) return add(r, name == "incr");
        if (name == "touch" && n >= 3) return touch(key, items_.expiry(r.word(2)));
        return view("ERROR\r\n");
    }

    static bool is_storage(std::string_view name) {
        return name == "set" || name == "add" || name == "replace" || name == "append" ||
               name == "prepend";
    }

    view bad_line() const { return view("CLIENT_ERROR bad command line format\r\n"); }

    view keep(std::string_view key, memcached_store::header h, std::string_view value) {
        if (items_.keep(key, h, value)) return view("STORED\r\n");
        return view("SERVER_ERROR out of memory storing object\r\n");
    }

    view get(request r, std::size_t first, bool with_cas, std::optional<std::int64_t> touched) {
        if (first == 2 && !touched) return view("CLIENT_ERROR invalid exptime argument\r\n");
        std::vector<ice::memcached_item> found;
        auto word = r.begin();
        for (; first != 0; --first) ++word;
        for (; word != r.end(); ++word) {
            const auto key = *word;
            if (key.size() > memcached_store::key_limit) return bad_line();
            if (touched) touch(key, touched);
            if (const auto item = items_.find(key))
                found.push_back({key, item->value, item->flags, item->cas});
        }
        return made_ = ice::memcached_values(found, with_cas);
    }

    view store(request r, std::optional<std::uint64_t> cas) {
        const auto name = r.word(0), key = r.word(1);
        const auto flags = r.number(2);
        const auto expires = items_.expiry(r.word(3));
        if (!flags || *flags > std::numeric_limits<std::uint32_t>::max() || !expires ||
            (name == "cas" && !cas))
            return bad_line();
        const auto before = items_.find(key);
        if (name == "cas" && !before) return view("NOT_FOUND\r\n");
        if (name == "cas" && before->cas != *cas) return view("EXISTS\r\n");
        const bool adds = name == "append" || name == "prepend";
        if ((name == "add" && before) || ((adds || name == "replace") && !before))
            return view("NOT_STORED\r\n");
        if (!adds) return keep(key, {0, *expires, static_cast<std::uint32_t>(*flags)}, r.value());
        std::string whole(name == "append" ? before->value : r.value());
        whole += name == "append" ? r.value() : before->value;
        return keep(key, *before, whole);
    }

    view add(request r, bool up) {
        const auto by = r.number(2);
        if (!by) return view("CLIENT_ERROR invalid numeric delta argument\r\n");
        const auto before = items_.find(r.word(1));
        if (!before) return view("NOT_FOUND\r\n");
        const auto number = ice::detail::memcached_request_number(before->value);
        if (!number)
            return view("CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
        const std::uint64_t sum = up ? *number + *by : *number - std::min(*by, *number);
        const auto kept = keep(r.word(1), *before, std::to_string(sum));
        if (kept.is_error()) return kept;
        return made_ = ice::memcached_number(sum);
    }

    // Old clients send a time, which only 0 is left of.
    view forget(request r) {
        if (r.size() - (r.is_quiet() ? 1 : 0) > 2 && r.word(2) != "0") return bad_line();
        return view(items_.forget(r.word(1)) ? "DELETED\r\n" : "NOT_FOUND\r\n");
    }

    view touch(std::string_view key, std::optional<std::int64_t> expires) {
        if (!expires) return view("CLIENT_ERROR invalid exptime argument\r\n");
        if (!items_.find(key)) return view("NOT_FOUND\r\n");
        items_.set_expiry(key, *expires);
        return view("TOUCHED\r\n");
    }

    view flush_all(request r) {
        const auto delay = r.number(1);
        if (r.size() > 1 && !delay && r.word(1) != "noreply") return bad_line();
        items_.flush_in(
            static_cast<std::int64_t>(std::min<std::uint64_t>(delay.value_or(0), 1U << 31)));
        return view("OK\r\n");
    }

    memcached_store items_;
    memcached_meta meta_;
    ice::memcached_reply made_;  // the last answer that is no constant
};
