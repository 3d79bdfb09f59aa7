// frames: the protocol of the swarm, netstrings ("5:hello,"). It detects anything else, so garbage
// is never taken for a reply.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <ice/protocol.hpp>
#include <string>
#include <string_view>

#include "../random_world.hpp"

namespace swarm {

inline constexpr std::size_t longest = 100'000;

struct frames {
    ice::parsed<std::string_view> parse(std::string_view input) {
        const std::size_t colon = input.substr(0, 7).find(':');
        if (colon == input.npos) {
            for (const char c : input.substr(0, 7)) {
                if (c < '0' || c > '9') return ice::errc::bad_message;
            }
            if (input.size() >= 7) return ice::errc::bad_message;
            return ice::need_more;
        }
        std::size_t size = 0;
        const auto [end, ec] = std::from_chars(input.data(), input.data() + colon, size);
        if (ec != std::errc() || end != input.data() + colon) return ice::errc::bad_message;
        if (size > longest) return ice::errc::message_too_large;
        if (input.size() < colon + size + 2) return ice::need_more;
        if (input[colon + size + 1] != ',') return ice::errc::bad_message;
        return {input.substr(colon + 1, size), colon + size + 2};
    }
    void packet(std::string_view text, std::string& out) {
        fmt::format_to(std::back_inserter(out), "{}:", text.size());
        out.append(text).append(",");
    }
};

// A text of a kind, a number and some padding: "q17 ppp".
inline std::string text_of(char kind, std::uint64_t id, std::size_t padding = 0) {
    return test::numbered(kind, id).append(padding, 'p');
}
// The number of such a text, or -1 if it is none of that kind.
inline std::int64_t id_of(char kind, std::string_view text) {
    const auto id = test::take_number(text, kind);
    return id ? static_cast<std::int64_t>(*id) : -1;
}
// What has come of the first text in there.
inline std::string_view head_of(std::string_view input) {
    return input.substr(std::min(input.find(':'), input.size() - 1) + 1);
}

}  // namespace swarm
