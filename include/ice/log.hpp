// log: writes one line per event, to stderr or to a function of the user. Of lines of one kind it
// writes at most 10 a second, and counts the others. Callers escape the bytes of peers: escaped().
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
// "debug", "info", "warning" or "error". Valid for ever.
ICE_API std::string_view name(log_level) noexcept;

// A copy of bytes that came from outside, safe to print: printable ASCII stays, a backslash is
// doubled, and any other byte becomes \xNN. So a peer can neither forge a line of the log nor send
// commands to a terminal. Of more than `most` bytes it has the first `most`, then "...".
ICE_API std::string escaped(std::string_view bytes, std::size_t most = 256);

namespace detail {

// The escaped what() of an exception, for a line of the log. An exception that is not a
// std::exception has no text. Requires: `thrown` is not null.
ICE_API std::string what_of(std::exception_ptr thrown);

}  // namespace detail

// Each server has one: server::log(). Use it only on the loop's thread.
class ICE_API log {
public:
    // The line is valid only during the call: a sink that keeps it makes a copy.
    using sink = std::function<void(log_level, std::string_view line)>;

    // Writes to stderr, with date and level, from log_level::info upwards. A line has at most 4096
    // bytes with its end (PIPE_BUF, pipe(7): a pipe takes that many whole); the log cuts a longer
    // one, which then ends in "...".
    // The log never waits for stderr. If a full pipe, a socket or a stopped terminal does not take
    // a line, the log drops it. As soon as stderr takes one again, a line before that one says how
    // many were dropped: "12 lines of the log were dropped: stderr did not take them".
    log();
    ~log();
    log(const log&) = delete;
    log& operator=(const log&) = delete;

    // Writes lines to that function instead of stderr; an empty one means stderr again. A line has
    // no line end, no date and no bound of 4096 bytes. The log calls the function on the loop's
    // thread, so all connections wait while it runs. If it throws, the log writes the line to
    // stderr, with the exception's text, and the server goes on.
    //     srv.log().to([&file](log_level, std::string_view line) { file << line << '\n'; });
    void to(sink);

    // Sets the lowest level that is written.
    void level(log_level least) noexcept { least_ = least; }
    // Whether the log writes lines of that level: if not, the caller need not format one.
    bool writes(log_level l) const noexcept { return l >= least_; }

    // Writes a line, unless 10 lines of its kind were written within the second before. Then it
    // counts the line, and the next line of that kind says how many were left out. So a peer that
    // causes an error a thousand times a second does not fill the disk.
    // `kind` is a few fixed words, such as "logic threw", of which the first 64 bytes count. The
    // log distinguishes at most 100 kinds in one second; further ones are one kind, "other kinds".
    // `now` is the transport's time, for the bound of 10 a second; the date is the system's.
    void write(time_point now, log_level, std::string_view kind, std::string_view text);

    // Writes a line without the limit of write(), for lines that the user requested, such as a
    // report.
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

    sink sink_;  // empty: stderr
    log_level least_ = log_level::info;
    std::map<std::string, window, std::less<>> kinds_;
    std::uint64_t dropped_ = 0;  // lines, since stderr took the last one
    bool is_cut_ = false;        // stderr took only the first part of the last line
};

}  // namespace ice
