// report: the io_status of one run, and the forms in which it is written.
#pragma once

#include <fmt/format.h>

#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "options.hpp"
#include "server_process.hpp"
#include "tally.hpp"

namespace ice::bench {

// As fmt::print, but an error is no exception: on stderr it has no effect, and on stdout
// flush_stdout() tells of it.
template <class... T>
void print_to(std::FILE* to, fmt::format_string<T...> format, T&&... values) {
    const std::string text = fmt::format(format, std::forward<T>(values)...);
    std::fwrite(text.data(), 1, text.size(), to);
}

// One second of a run.
struct sample {
    double rate = 0;  // replies a second
    double p50_us = 0, p99_us = 0, max_us = 0;
    std::uint64_t failed = 0;
};

struct report {
    options asked;
    tally counts;
    double seconds = 0;    // measured
    double cpu_share = 0;  // of a core, of each generator thread
    bool interrupted = false;
    std::vector<sample> series;
    std::optional<server_usage> server;  // cpu_seconds of the measured part

    double rate() const { return static_cast<double>(counts.in_time) / seconds; }
    // Of what was asked for, 0..1; 1 for a closed loop.
    double achieved() const;
};

// The percentiles of the table, and of the formats.
inline constexpr double table_percentiles[] = {50, 75, 90, 95, 99, 99.9, 99.99};

void print_table(std::FILE* to, const report& r);

// "ice-bench/1": bench/schema.json describes it.
std::string to_json(const std::vector<report>& runs);
// The percentile format of HdrHistogram (values in ms), for its plotter.
std::string to_hdr(const report& r);
// A line of names, and a line for each run.
std::string to_csv(const std::vector<report>& runs);

// Writes `text` to a file, or stdout for "-". Throws std::runtime_error.
void write_to(const std::string& file, std::string_view text);

// A condition such as p99>5ms or rate<100k. Metrics: rate, achieved (in per cent), errors, late,
// dropped, cpu (of a generator thread, in per cent), mean, max, min, p50, p99.9 (any percentile).
class condition {
public:
    // Throws std::invalid_argument with a text that says what is wrong.
    explicit condition(std::string_view text);
    bool holds(const report& r) const;
    // "p99>5ms: p99 is 7.2 ms"
    std::string explain(const report& r) const;

private:
    double value(const report& r) const;

    std::string text_, metric_;
    char relation_;
    bool is_time_;
    double limit_;
};

// "12.3 us": three digits and a unit. "1.23M": the same for a count.
std::string shown_time(double ns);
std::string shown_count(double n);

}  // namespace ice::bench
