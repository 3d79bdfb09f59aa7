// The log's limit on floods, its escape, and stderr.
#include <fmt/chrono.h>

#include <chrono>
#include <cstdio>
#include <ice/log.hpp>

namespace ice {
namespace {

constexpr unsigned lines_a_second = 10;  // of one kind: enough to see it, too few to fill a disk

void to_stderr(log_level level, std::string_view text) {
    const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    // One fwrite: lines of two processes on one terminal do not mix.
    const std::string line = fmt::format("{:%FT%TZ} {} {}\n", fmt::gmtime(now), name(level), text);
    std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

std::string_view name(log_level level) noexcept {
    switch (level) {
        case log_level::debug: return "debug";
        case log_level::info: return "info";
        case log_level::warning: return "warning";
        case log_level::error: return "error";
    }
    return "?";
}

std::string escaped(std::string_view bytes, std::size_t most) {
    std::string text;
    for (const char c : bytes.substr(0, most)) {
        if (c == '\\') text += "\\\\";
        else if (c >= ' ' && c <= '~') text += c;
        else text += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
    }
    if (bytes.size() > most) text += "...";
    return text;
}

log::log() : sink_(to_stderr) {}

void log::to(sink s) { sink_ = std::move(s); }

void log::write_always(log_level level, std::string_view text) {
    if (writes(level)) sink_(level, text);
}

void log::write(time_point now, log_level level, std::string_view kind, std::string_view text) {
    if (!writes(level)) return;
    auto found = kinds_.find(kind);
    if (found == kinds_.end()) found = kinds_.emplace(std::string(kind), window{now}).first;
    window& w = found->second;
    if (now - w.begin >= std::chrono::seconds(1)) {
        w.begin = now;
        w.written = 0;
    }
    if (w.written == lines_a_second) {
        ++w.suppressed;
        return;
    }
    ++w.written;
    std::string line(text);
    if (w.suppressed != 0) {
        line += fmt::format(" ({} more of \"{}\" were not written)", w.suppressed, kind);
        w.suppressed = 0;
    }
    sink_(level, line);
}

}  // namespace ice
