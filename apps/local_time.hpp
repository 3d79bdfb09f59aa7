// The answer to "gettime": the local date and time.
#pragma once

#include <fmt/chrono.h>

#include <chrono>
#include <ctime>
#include <string>
#include <string_view>

inline std::string local_time() {
    const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    std::tm parts{};
    localtime_r(&now, &parts);
    return fmt::format("{:%F %T}", parts);
}

inline bool looks_like_a_time(std::string_view text) {
    return text.size() == std::string_view("2026-11-23 12:34:56").size() &&
           text.find_first_not_of("0123456789-: ") == text.npos;
}
