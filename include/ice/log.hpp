// log: one line per event, to stderr or to a function of the user's.
// A flood of one kind is counted instead of written; bytes of peers are escaped by who writes them.
#pragma once

#include <cstdint>
#include <functional>
#include <ice/export.hpp>
#include <ice/task.hpp>
#include <map>
#include <string>
#include <string_view>

namespace ice {

// How much a line matters: what is below the level of a log is not written.
enum class log_level { debug, info, warning, error };
ICE_API std::string_view name(log_level) noexcept;

// Printable ASCII, anything else as \xNN, a backslash doubled; at most `most` bytes of it, then
// "...".
ICE_API std::string escaped(std::string_view bytes, std::size_t most = 256);

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

    // Takes the place of stderr. A line has no line end. The function is called on the loop's
    // thread: all connections wait while it does. A line for which it throws goes to stderr, and
    // says what was thrown: nothing else ends by it.
    void to(sink);

    // Below it nothing is written.
    void level(log_level least) noexcept { least_ = least; }
    // Whether a line of that level is worth making.
    bool writes(log_level l) const noexcept { return l >= least_; }

    // `kind` is a few fixed words, such as "logic threw", of which 64 bytes count: 10 lines a
    // second of one kind are written; the next one that passes says how many were not. At most 100
    // kinds are told apart in a second; those that come then are one kind, "other kinds".
    void write(time_point now, log_level, std::string_view kind, std::string_view text);

    // What somebody asked for: however many lines it is.
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
