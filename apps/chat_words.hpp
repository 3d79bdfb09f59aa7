// chat_words: what apps/chat takes from users: names, lines, and where the servers of NATS are.
#pragma once

#include <algorithm>
#include <ice/address.hpp>
#include <string>
#include <string_view>
#include <vector>

// Whether `text` may be a name, or that of a room: 1 to 32 letters and digits, which are a token of
// a subject of NATS.
inline bool is_name(std::string_view text) {
    const auto is_good = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    };
    return !text.empty() && text.size() <= 32 && std::all_of(text.begin(), text.end(), is_good);
}

// A line without control characters, which would be commands to the terminals of others: those of
// ASCII, and those from U+0080 to U+009F in UTF-8.
inline std::string printable(std::string_view line) {
    const auto byte = [&](std::size_t i) {
        return i < line.size() ? static_cast<unsigned char>(line[i]) : 0U;
    };
    std::string text;
    for (std::size_t i = 0; i != line.size(); ++i) {
        const bool is_c1 = byte(i) == 0xc2 && byte(i + 1) >= 0x80 && byte(i + 1) <= 0x9f;
        if (is_c1) ++i;
        else if (byte(i) >= ' ' && byte(i) != 0x7f) text += line[i];
    }
    return text;
}

// The addresses of "nats://10.0.0.1:4222,10.0.0.2:4222"; none if it is empty.
inline std::vector<ice::address> brokers(std::string_view list) {
    constexpr std::string_view scheme = "nats://";
    std::vector<ice::address> all;
    while (!list.empty()) {
        if (list.starts_with(scheme)) list.remove_prefix(scheme.size());
        const std::size_t end = std::min(list.find(','), list.size());
        all.emplace_back(std::string(list.substr(0, end)));
        list.remove_prefix(std::min(end + 1, list.size()));
    }
    return all;
}
