// log: writes one line per event, to stderr or to a function of the user. It counts lines of one
// kind instead of writing more than 10 a second. Callers escape the bytes of peers: escaped().
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <ice/detail/export.hpp>
#include <ice/task.hpp>
#include <map>
#include <string>
#include <string_view>

namespace ice {

// The severity of a line. A log writes no line below its level.
enum class log_level { debug, info, warning, error };
ICE_API std::string_view name(log_level) noexcept;

// Printable ASCII, anything else as \xNN, a backslash doubled; at most `most` bytes of it, then
// "...".
ICE_API std::string escaped(std::string_view bytes, std::size_t most = 256);

namespace detail {

// The escaped what() of an exception, for a line of the log. Requires: `thrown` is not null.
ICE_API std::string what_of(std::exception_ptr thrown);

}  // namespace detail

class ICE_API log {
public:
    using sink = std::function<void(log_level, std::string_view line)>;

    // To stderr, with date and level, from info upwards. A line is at most 4096 bytes with its end
    // (PIPE_BUF, which a pipe takes whole); what is longer is cut, and ends in "...".
    // Never waits for stderr: a pipe that is full, a socket or a stopped terminal does not take the
    // line, which is dropped. As soon as it takes one again, a line before that one says how many
    // were dropped: "12 lines of the log were dropped: stderr did not take them".
    log();
    ~log();
    log(const log&) = delete;
    log& operator=(const log&) = delete;

    // Writes lines to that function in place of stderr. A line has no line end. The log calls it on
    // the loop's thread, so all connections wait while it runs. If it throws, the log writes the
    // line to stderr, with the exception's text, and the server goes on.
    void to(sink);

    // Sets the lowest level that is written.
    void level(log_level least) noexcept { least_ = least; }
    // Whether the log writes lines of that level: if not, the caller need not format one.
    bool writes(log_level l) const noexcept { return l >= least_; }

    // `kind` is a few fixed words, such as "logic threw", of which 64 bytes count: 10 lines a
    // second of one kind are written; the next one that passes says how many were not. At most 100
    // kinds are told apart in a second; those that come then are one kind, "other kinds".
    void write(time_point now, log_level, std::string_view kind, std::string_view text);

    // Writes a line without the limit of write(), such as one of a report that the user requested.
    void write_always(log_level, std::string_view text);

private:
    struct window {
        time_point begin;
        unsigned written = 0;
        std::uint64_t suppressed = 0;
    };

    using kind_window = std::pair<const std::string, window>;

    void to_stderr(std::string_view line);
    kind_window& window_of(std::string_view kind, time_point now);
    void forget_past_kinds(time_point now);

    sink sink_;  // none: stderr
    log_level least_ = log_level::info;
    std::map<std::string, window, std::less<>> kinds_;
    std::uint64_t dropped_ = 0;  // since stderr took the last line
    bool is_cut_ = false;        // stderr took only the first part of the last line
};

}  // namespace ice
