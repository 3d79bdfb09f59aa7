// memcached_meta: the meta commands mg, ms, md, ma and mn of memcached (doc/protocol.txt of 1.6.18)
// for apps/keyvalue. Flags of stale items, of access times and of base64 keys are refused.
#pragma once

#include <algorithm>
#include <bitset>
#include <ice/protocols/memcached_requests.hpp>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include "memcached_store.hpp"

// The flags of one command. A flag is a letter, and behind some a token.
class memcached_flags {
public:
    // Reads those with a meaning before an item is found, and checks all.
    memcached_flags(ice::memcached_request_view r, const memcached_store& items) {
        const auto name = r.word(0);
        std::bitset<256> seen;
        if (r.size() > most_words) {
            fail("options flags are too long");
            return;
        }
        for (auto at = begin(r); at != r.end(); ++at) {
            const auto letter = static_cast<unsigned char>((*at)[0]);
            const bool is_known = !(letter == 'N' && name == "mg") &&
                                  read(static_cast<char>(letter), (*at).substr(1), items);
            if (!is_known || seen[letter]) {
                fail(seen[letter] && is_known ? "duplicate flag" : "invalid flag");
                break;
            }
            seen.set(letter);
        }
        if (error != nullptr && (name == "ma" || name == "md")) fail("invalid or duplicate flag");
        if (error == nullptr && is_opaque_too_long_) fail("opaque token too long");
    }

    // Behind the key, and the length of a value.
    static ice::memcached_request_view::iterator begin(ice::memcached_request_view r) {
        return std::next(r.begin(), r.word(0) == "ms" ? 3 : 2);
    }

    const char* error = nullptr;
    std::optional<std::uint64_t> cas;
    std::optional<std::int64_t> expires, created_expires;  // T, and N of ma
    std::uint64_t delta = 1, initial = 0, flags = 0;
    char mode = 0;
    bool is_quiet = false, with_value = false;

private:
    static constexpr std::size_t most_words = 24, opaque_limit = 31;

    // False if there is no such flag. An error of a token is told unless one behind it is.
    bool read(char letter, std::string_view token, const memcached_store& items) {
        const auto number = ice::detail::memcached_request_number(token);
        switch (letter) {
            case 'k':
            case 'f':
            case 't':
            case 's':
            case 'c': break;
            case 'v': with_value = true; break;
            case 'q': is_quiet = true; break;
            case 'O': is_opaque_too_long_ = token.size() > opaque_limit; break;
            case 'T': set(expires, items.expiry(token), "bad token in command line format"); break;
            case 'N':
                set(created_expires, items.expiry(token), "bad token in command line format");
                break;
            case 'C': set(cas, number, "bad token in command line format"); break;
            case 'F':
                set(flags, number, "bad command line format");
                if (flags > std::numeric_limits<std::uint32_t>::max())
                    fail("bad command line format");
                break;
            case 'M':
                mode = token.empty() ? '\0' : token[0];
                if (token.size() != 1) fail("incorrect length for M token");
                break;
            case 'D': set(delta, number, "invalid numeric delta value"); break;
            case 'J': set(initial, number, "invalid numeric initial value"); break;
            default: return false;
        }
        return true;
    }
    void fail(const char* text) { error = text; }
    template <class To, class From>
    void set(To& to, const std::optional<From>& from, const char* text) {
        if (from) to = *from;
        else fail(text);
    }

    bool is_opaque_too_long_ = false;
};

class memcached_meta {
public:
    using view = ice::memcached_view;
    using request = ice::memcached_request_view;

    static bool has(request r) {
        const auto name = r.word(0);
        return name == "mg" || name == "ms" || name == "md" || name == "ma" || name == "mn";
    }

    // None if the flag q hides the answer: of mg a miss, of the others a success. Valid until the
    // next call. Requires: has(r).
    std::optional<view> answer(request r, memcached_store& items) {
        const auto name = r.word(0), key = r.word(1);
        if (name == "mn") return view("MN\r\n");
        if (key.empty()) return view("ERROR\r\n");
        if (key.size() > memcached_store::key_limit) return error("bad command line format");
        const memcached_flags flags(r, items);
        if (flags.error != nullptr) return error(flags.error);
        if (name == "mg") return get(r, flags, items);
        if (name == "ms") return set(r, flags, items);
        return name == "md" ? forget(r, flags, items) : add(r, flags, items);
    }

private:
    using item = memcached_store::item;

    std::optional<view> error(std::string_view text) {
        return made_ = ice::memcached_client_error(text);
    }

    // What the flags among `known` ask for, in their order. T and N take effect at their places.
    std::string told(request r, std::string_view known, item& of, const memcached_flags& flags,
                     memcached_store& items) {
        std::string text;
        const auto number = [&](const char* name, auto n) { text += name + std::to_string(n); };
        for (auto at = memcached_flags::begin(r); at != r.end(); ++at) {
            const auto flag = *at;
            if (known.find(flag[0]) == known.npos) continue;
            switch (flag[0]) {
                case 'O': text.append(" ").append(flag); break;
                case 'k': text.append(" k").append(r.word(1)); break;
                case 'f': number(" f", of.flags); break;
                case 's': number(" s", of.value.size()); break;
                case 'c': number(" c", of.cas); break;
                case 't': number(" t", items.lifetime(of)); break;
                case 'T': items.set_expiry(r.word(1), of.expires = *flags.expires); break;
                case 'N': items.set_expiry(r.word(1), of.expires = *flags.created_expires); break;
                default: break;
            }
        }
        return text;
    }
    view line(std::string text) { return made_ = ice::memcached_reply(std::move(text += "\r\n")); }
    view value(std::string_view bytes, const std::string& told) {
        std::string text = "VA " + std::to_string(bytes.size());
        return line(std::move(text.append(told).append("\r\n").append(bytes)));
    }
    // EN, NF, NS or EX.
    view refused(std::string word, request r, const memcached_flags& flags,
                 memcached_store& items) {
        item none;
        return line(
            std::move(word += told(r, r.word(0) == "ms" ? "Okc" : "Ok", none, flags, items)));
    }

    std::optional<view> get(request r, const memcached_flags& flags, memcached_store& items) {
        auto found = items.find(r.word(1));
        if (!found && flags.is_quiet) return std::nullopt;
        if (!found) return refused("EN", r, flags, items);
        const auto text = told(r, "OkfsctT", *found, flags, items);
        return flags.with_value ? value(found->value, text) : line("HD" + text);
    }

    // Modes: set, add (E), replace, append and prepend.
    std::optional<view> set(request r, const memcached_flags& flags, memcached_store& items) {
        const auto key = r.word(1);
        const char mode = flags.mode == 0 ? 'S' : flags.mode;
        if (std::string_view("SERAP").find(mode) == std::string_view::npos)
            return error("invalid mode for ms M token");
        const auto before = items.find(key);
        if (mode == 'E' && before) return refused("NS", r, flags, items);
        if ((mode == 'A' || mode == 'P') && !before) return refused("NS", r, flags, items);
        if (flags.cas && before && before->cas != *flags.cas) return refused("EX", r, flags, items);
        if (flags.cas && !before && mode != 'E') return refused("NF", r, flags, items);
        if (mode == 'R' && !before) return refused("NS", r, flags, items);
        item now;
        now.expires = flags.expires.value_or(0);
        now.flags = static_cast<std::uint32_t>(flags.flags);
        std::string whole(r.value());
        if (mode == 'A' || mode == 'P') {
            static_cast<memcached_store::header&>(now) = *before;
            whole.insert(mode == 'A' ? 0 : whole.size(), before->value);
        }
        if (!items.keep(key, now, whole))
            return view("SERVER_ERROR out of memory storing object\r\n");
        if (flags.is_quiet) return std::nullopt;
        return line("HD" + told(r, "Okc", now, flags, items));
    }

    std::optional<view> forget(request r, const memcached_flags& flags, memcached_store& items) {
        const auto found = items.find(r.word(1));
        if (!found) return refused("NF", r, flags, items);
        if (flags.cas && found->cas != *flags.cas) return refused("EX", r, flags, items);
        items.forget(r.word(1));
        if (flags.is_quiet) return std::nullopt;
        return refused("HD", r, flags, items);
    }

    // Modes: incr (I, +) and decr (D, -). N makes an item that is not there.
    std::optional<view> add(request r, const memcached_flags& flags, memcached_store& items) {
        const char mode = flags.mode == 0 ? 'I' : flags.mode;
        if (std::string_view("I+D-").find(mode) == std::string_view::npos)
            return error("invalid mode for ma M token");
        auto found = items.find(r.word(1));
        if (!found && !flags.created_expires) return refused("NF", r, flags, items);
        std::uint64_t sum = flags.initial;
        if (found) {
            if (flags.cas && found->cas != *flags.cas) return refused("EX", r, flags, items);
            const auto number = ice::detail::memcached_request_number(found->value);
            if (!number) return error("cannot increment or decrement non-numeric value");
            const bool is_up = mode == 'I' || mode == '+';
            sum = is_up ? *number + flags.delta : *number - std::min(flags.delta, *number);
        }
        item now = found.value_or(item());
        const auto digits = std::to_string(sum);
        if (!items.keep(r.word(1), now, digits)) return view("SERVER_ERROR out of memory\r\n");
        const auto text = told(r, found ? "OkctT" : "OkctTN", now, flags, items);
        if (flags.is_quiet && found) return std::nullopt;  // an item that was made is told
        return flags.with_value ? value(digits, text) : line("HD" + text);
    }

    ice::memcached_reply made_;
};
