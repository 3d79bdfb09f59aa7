// What the services of RFC 864, 867 and 868 send, byte by byte as Debian's openbsd-inetd does.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>

// RFC 864, "one popular pattern": lines of 72 of the 95 printable characters. Each line begins one
// character after the line before. After 95 lines they begin anew.
inline std::string chargen_lines() {
    std::string lines;
    for (int line = 0; line < 95; ++line) {
        for (int at = 0; at < 72; ++at) lines += static_cast<char>(' ' + (line + at) % 95);
        lines += "\r\n";
    }
    return lines;
}

inline std::time_t now() {
    return std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
}

// RFC 867 leaves the form to the server. This is that of ctime(3), in local time.
inline std::string daytime() {
    const std::time_t seconds = now();
    std::tm parts{};
    localtime_r(&seconds, &parts);
    std::array<char, 64> text{};
    const auto n = std::strftime(text.data(), text.size(), "%a %b %e %T %Y\r\n", &parts);
    return std::string(text.data(), n);
}

// RFC 868: the seconds since 1900 in 32 bits, big-endian. They begin anew in 2036.
inline std::string seconds_since_1900() {
    constexpr std::int64_t from_1900_to_1970 = 2'208'988'800;
    const auto seconds = static_cast<std::uint32_t>(now() + from_1900_to_1970);
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(seconds >> shift);
    return bytes;
}
