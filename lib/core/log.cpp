// The log's bound on lines of one kind, its escaping, and how it writes to stderr.
#include <fcntl.h>
#include <fmt/chrono.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cassert>
#include <chrono>
#include <climits>
#include <ice/log.hpp>
#include <new>

namespace ice {
namespace {

constexpr auto window_length = std::chrono::seconds(1);
constexpr unsigned lines_a_window = 10;  // of one kind: enough to notice, too few to fill a disk
// ice itself has about 30 kinds; each error of a protocol is one more.
constexpr std::size_t most_kinds = 100;
constexpr std::size_t longest_kind = 64;  // bytes; "a few fixed words"
constexpr std::string_view other_kinds = "other kinds";

// Writes to stderr what it takes without waiting. Returns the number of bytes, or -1.
// It never sets O_NONBLOCK on stderr: the flag belongs to the open file description, which other
// programs share (a shell and all that it starts). Instead it opens a pipe or terminal again for
// each line, with a description of its own (proc(5), /proc/pid/fd). It keeps none, so stderr may be
// replaced at any time. Where opening fails (no /proc, no permission, no descriptor), it relies on
// poll(2): a pipe is writable when one of its pages is free, and takes PIPE_BUF bytes whole
// (pipe(7)). Only another process that writes between the two calls can then make this one wait.
// Writing to a regular file does not wait.
ssize_t write_now(const char* data, std::size_t size) noexcept {
    struct stat is {};
    if (::fstat(STDERR_FILENO, &is) != 0) return -1;
    if (S_ISSOCK(is.st_mode)) return ::send(STDERR_FILENO, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (!S_ISFIFO(is.st_mode) && !S_ISCHR(is.st_mode)) return ::write(STDERR_FILENO, data, size);
    // POLLERR is a pipe without a reader: writing to it would raise SIGPIPE.
    pollfd ready{STDERR_FILENO, POLLOUT, 0};
    if (::poll(&ready, 1, 0) != 1 || ready.revents != POLLOUT) return -1;
    const int own = ::open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    const ssize_t written = ::write(own < 0 ? STDERR_FILENO : own, data, size);
    if (own >= 0) ::close(own);
    return written;
}

std::string stamped(log_level level, std::string_view text) {
    const auto now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    return fmt::format("{:%FT%TZ} {} {}", fmt::gmtime(now), name(level), text);
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

std::string detail::what_of(std::exception_ptr thrown) {
    assert(thrown != nullptr);
    try {
        std::rethrow_exception(std::move(thrown));
    } catch (const std::exception& e) { return escaped(e.what()); } catch (...) {
        return "something that is not a std::exception";
    }
}

log::log() = default;

log::~log() {
    try {
        if (dropped_ != 0) to_stderr({});
    } catch (const std::bad_alloc&) {  // the number of dropped lines is lost
    }
}

void log::to(sink s) { sink_ = std::move(s); }

void log::write_always(log_level level, std::string_view text) {
    if (!writes(level)) return;
    if (!sink_) return to_stderr(stamped(level, text));
    // An exception of the sink must not end the code that logs. The line goes to stderr instead.
    try {
        sink_(level, text);
    } catch (...) {
        const std::string what = detail::what_of(std::current_exception());
        to_stderr(stamped(level, fmt::format("{} (the log's sink threw: {})", text, what)));
    }
}

// One write of at most PIPE_BUF bytes: a pipe takes all of it or nothing (pipe(7)), and lines of
// two processes do not mix.
void log::to_stderr(std::string_view line) {
    // Ends a line of which stderr has taken only the first part.
    std::string all = is_cut_ ? "\n" : "";
    if (dropped_ != 0)
        all += stamped(
            log_level::warning,
            fmt::format("{} lines of the log were dropped: stderr did not take them\n", dropped_));
    all += line;
    if (all.size() >= PIPE_BUF) all.replace(PIPE_BUF - 4, all.npos, "...");
    if (all.back() != '\n') all += '\n';
    const ssize_t written = write_now(all.data(), all.size());
    const bool is_whole = written == static_cast<ssize_t>(all.size());
    // If nothing was taken, stderr still ends where the line before has left it.
    if (written > 0) is_cut_ = !is_whole;
    dropped_ = is_whole ? 0 : dropped_ + 1;
}

log::kind_window& log::window_of(std::string_view kind, time_point now) {
    kind = kind.substr(0, longest_kind);
    if (const auto found = kinds_.find(kind); found != kinds_.end()) return *found;
    // The table stays bounded, however many kinds of errors a protocol makes.
    if (kinds_.size() >= most_kinds) forget_past_kinds(now);
    if (kinds_.size() >= most_kinds) kind = other_kinds;
    return *kinds_.try_emplace(std::string(kind), window{now}).first;
}

// Removes the kinds whose second has passed. The lines that they left out count for other_kinds.
void log::forget_past_kinds(time_point now) {
    window& others = kinds_.try_emplace(std::string(other_kinds), window{now}).first->second;
    std::erase_if(kinds_, [&](const auto& one) {
        const window& w = one.second;
        if (&w == &others || now - w.begin < window_length) return false;
        others.suppressed += w.suppressed;
        return true;
    });
}

// Counts in windows of a second that begin with the first line of a kind.
void log::write(time_point now, log_level level, std::string_view kind, std::string_view text) {
    if (!writes(level)) return;
    auto& [name, w] = window_of(kind, now);
    if (now - w.begin >= window_length) {
        w.begin = now;
        w.written = 0;
    }
    if (w.written == lines_a_window) {
        ++w.suppressed;
        return;
    }
    ++w.written;
    std::string line(text);
    if (w.suppressed != 0) {
        line += fmt::format(" ({} more of \"{}\" were not written)", w.suppressed, name);
        w.suppressed = 0;
    }
    write_always(level, line);
}

}  // namespace ice
