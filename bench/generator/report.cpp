// The table and the conditions.
#include "report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <stdexcept>

#include "quantity.hpp"

namespace ice::bench {
namespace {

// Three significant digits.
std::string digits(double v) {
    if (v >= 99.95) return fmt::format("{:.0f}", v);
    return fmt::format("{:.{}f}", v, v >= 9.995 ? 1 : 2);
}

void print_latency(std::FILE* to, const tally& t, bool open) {
    print_to(to, "\nlatency{}\n",
             open ? fmt::format("{:>19}{:>14}", "from due", "uncorrected") : "");
    const auto row = [&](const std::string& name, double corrected, double uncorrected) {
        print_to(to, "  {:<12}{:>12}{}\n", name, shown_time(corrected),
                 open ? fmt::format("{:>14}", shown_time(uncorrected)) : "");
    };
    for (const double p : table_percentiles)
        row(fmt::format("p{}", p), static_cast<double>(t.latency.percentile(p)),
            static_cast<double>(t.uncorrected.percentile(p)));
    row("max", static_cast<double>(t.latency.max()), static_cast<double>(t.uncorrected.max()));
    row("mean", t.latency.mean(), t.uncorrected.mean());
}

}  // namespace

std::string shown_time(double ns) {
    if (ns < 999.5e3) return digits(ns / 1e3) + " us";
    if (ns < 999.5e6) return digits(ns / 1e6) + " ms";
    return digits(ns / 1e9) + " s";
}

std::string shown_count(double n) {
    if (n < 9.995) return fmt::format("{:.3g}", n);
    if (n < 999.5) return fmt::format("{:.0f}", n);
    if (n < 999.5e3) return digits(n / 1e3) + "k";
    if (n < 999.5e6) return digits(n / 1e6) + "M";
    return digits(n / 1e9) + "G";
}

double report::achieved() const { return asked.open_loop() ? rate() / asked.rate : 1; }

void print_table(std::FILE* to, const report& r) {
    const tally& t = r.counts;
    const bool open = r.asked.open_loop();
    print_to(to, "\n{:<14}{}/s  ({} {} in {})\n", "rate", shown_count(r.rate()), t.in_time,
             t.in_time == 1 ? "reply" : "replies", shown_time(r.seconds * 1e9));
    if (open)
        print_to(to, "{:<14}{:.1f} % of the {}/s asked\n", "achieved", 100 * r.achieved(),
                 shown_count(r.asked.rate));
    print_to(to, "{:<14}{}B/s out, {}B/s in\n", "bytes",
             shown_count(static_cast<double>(t.bytes_out) / r.seconds),
             shown_count(static_cast<double>(t.bytes_in) / r.seconds));
    if (open)
        print_to(to, "{:<14}due {}, sent {}, completed {}, late {}, dropped {}, unfinished {}\n",
                 "requests", t.due, t.sent, t.completed, t.late, t.dropped, t.unfinished);
    else
        print_to(to, "{:<14}sent {}, completed {}, unfinished {}\n", "requests", t.sent,
                 t.completed, t.unfinished);

    if (t.completed != 0) print_latency(to, t, open);

    print_to(to, "\n{:<14}", "errors");
    if (t.failed() == 0) print_to(to, "none");
    const char* comma = "";
    for (std::size_t i = 0; i < t.failures.size(); ++i) {
        if (t.failures[i] == 0) continue;
        print_to(to, "{}{} {}", comma, failure_names[i], t.failures[i]);
        comma = ", ";
    }
    print_to(to, "\n");
    if (!t.example.empty()) print_to(to, "  the first:  {}\n", t.example);
    print_to(to, "{:<14}{:.0f} % of a core per thread\n", "generator", 100 * r.cpu_share);
    if (r.server)
        print_to(to, "{:<14}{:.2f} CPU seconds ({:.0f} % of a core), {}B resident, at most {}B\n",
                 "server", r.server->cpu_seconds, 100 * r.server->cpu_seconds / r.seconds,
                 shown_count(static_cast<double>(r.server->resident)),
                 shown_count(static_cast<double>(r.server->resident_most)));
    if (open && r.achieved() < 0.99)
        print_to(to,
                 "warning: less than 99 % of the rate was achieved: these latencies are those "
                 "of a growing backlog\n");
    if (r.cpu_share > 0.8)
        print_to(to,
                 "warning: the generator used more than 80 % of a core per thread: it may be "
                 "what limits this result; try more threads (-t) or fewer connections\n");
    if (r.interrupted) print_to(to, "interrupted: these are the results until then\n");
}

condition::condition(std::string_view text) : text_(text) {
    const auto at = text.find_first_of("<>");
    if (at == text.npos || at == 0)
        throw std::invalid_argument(
            fmt::format("--fail-if '{}': a condition looks like p99>5ms or rate<100k", text));
    metric_ = text.substr(0, at);
    relation_ = text[at];
    while (metric_.ends_with(' ')) metric_.pop_back();
    std::string_view limit = text.substr(at + 1);
    while (limit.starts_with(' ')) limit.remove_prefix(1);

    is_time_ = metric_ == "mean" || metric_ == "max" || metric_ == "min";
    if (metric_.starts_with('p')) {
        double percent = 0;
        const char* end = metric_.data() + metric_.size();
        const auto parsed = std::from_chars(metric_.data() + 1, end, percent);
        is_time_ = parsed.ec == std::errc() && parsed.ptr == end && percent > 0 && percent <= 100;
    }
    constexpr std::string_view counts[] = {"rate", "achieved", "errors", "late", "dropped", "cpu"};
    if (!is_time_ && std::ranges::find(counts, metric_) == std::end(counts))
        throw std::invalid_argument(
            fmt::format("--fail-if '{}': there is no metric {}; there are rate, achieved, errors, "
                        "late, dropped, cpu, "
                        "mean, min, max and percentiles such as p99.9",
                        text, metric_));
    if (!is_time_ && limit.ends_with('%')) limit.remove_suffix(1);
    try {
        limit_ = is_time_ ? time_of(limit) : count_of(limit);
    } catch (const std::invalid_argument& e) {
        throw std::invalid_argument(fmt::format("--fail-if '{}': {}", text, e.what()));
    }
}

double condition::value(const report& r) const {
    const tally& t = r.counts;
    if (metric_ == "rate") return r.rate();
    if (metric_ == "achieved") return 100 * r.achieved();
    if (metric_ == "errors") return static_cast<double>(t.failed());
    if (metric_ == "late") return static_cast<double>(t.late);
    if (metric_ == "dropped") return static_cast<double>(t.dropped);
    if (metric_ == "cpu") return 100 * r.cpu_share;
    if (metric_ == "mean") return t.latency.mean();
    if (metric_ == "max") return static_cast<double>(t.latency.max());
    if (metric_ == "min") return static_cast<double>(t.latency.min());
    return static_cast<double>(t.latency.percentile(std::stod(metric_.substr(1))));
}

bool condition::holds(const report& r) const {
    return relation_ == '>' ? value(r) > limit_ : value(r) < limit_;
}

std::string condition::explain(const report& r) const {
    const double v = value(r);
    return fmt::format("{}: {} is {}", text_, metric_, is_time_ ? shown_time(v) : shown_count(v));
}

}  // namespace ice::bench
