// Reads two results and weighs each figure of theirs.
#include "compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "report.hpp"

namespace ice::bench {
namespace {

using nlohmann::json;

constexpr double sure = 0.05;  // a difference that chance makes less often than this is real

json load(const std::string& file) {
    std::ifstream in(file);
    if (!in)
        throw std::invalid_argument(
            fmt::format("cannot read {}: {}", file, std::generic_category().message(errno)));
    json j = json::parse(in, nullptr, false);
    if (!j.is_object() || j.value("schema", "") != "ice-bench/1")
        throw std::invalid_argument(fmt::format("{} is not a result of --json", file));
    return j;
}

double median(std::vector<double> v) {
    std::ranges::sort(v);
    const std::size_t half = v.size() / 2;
    return v.size() % 2 == 1 ? v[half] : (v[half - 1] + v[half]) / 2;
}

struct figure {
    const char* name;
    bool more_is_better;
    std::string (*shown)(double);
    double (*of_run)(const json& run);
    const char* of_second;  // its name in the series
};

std::string shown_us(double us) { return shown_time(us * 1e3); }

const figure figures[] = {
    {"rate", true, shown_count, [](const json& r) { return r.at("rate").get<double>(); }, "rate"},
    {"p50", false, shown_us,
     [](const json& r) { return r.at("latency_us").at("percentiles").at("50").get<double>(); },
     "p50"},
    {"p99", false, shown_us,
     [](const json& r) { return r.at("latency_us").at("percentiles").at("99").get<double>(); },
     "p99"},
    {"max", false, shown_us,
     [](const json& r) { return r.at("latency_us").at("max").get<double>(); }, "max"},
};

// The runs of a file; the seconds of its run if there is only one.
std::vector<double> samples(const json& j, const figure& f) {
    std::vector<double> v;
    const auto& runs = j.at("runs");
    if (runs.size() > 1)
        for (const auto& r : runs) v.push_back(f.of_run(r));
    else
        for (const auto& s : runs.at(0).at("series")) v.push_back(s.at(f.of_second).get<double>());
    if (v.empty()) v.push_back(f.of_run(runs.at(0)));
    return v;
}

std::string spread(const std::vector<double>& v, const figure& f) {
    const auto [least, most] = std::ranges::minmax(v);
    return fmt::format("{} .. {}", f.shown(least), f.shown(most));
}

}  // namespace

double chance_of_same(const std::vector<double>& a, const std::vector<double>& b) {
    if (a.empty() || b.empty()) return 1;
    double u = 0;
    for (const double x : a)
        for (const double y : b) u += x > y ? 1 : x == y ? 0.5 : 0;
    const std::size_t n = a.size();
    const std::size_t m = b.size();
    const double extreme = std::max(u, static_cast<double>(n * m) - u);
    if (n + m > 40) {  // the normal approximation is good enough
        const auto nm = static_cast<double>(n * m);
        const double deviation = std::sqrt(nm * static_cast<double>(n + m + 1) / 12);
        return std::erfc((extreme - nm / 2 - 0.5) / deviation / std::sqrt(2.0));
    }
    // ways[i][u]: in how many orders of i of a's values among the first j of all is the sum u.
    std::vector<std::vector<double>> ways(n + 1, std::vector<double>(n * m + 1, 0.0));
    ways[0][0] = 1;
    for (std::size_t j = 1; j <= n + m; ++j)
        for (std::size_t i = std::min(j, n); i >= 1; --i) {
            const std::size_t below = j - i;  // values of b under this one
            if (below > m) continue;
            for (std::size_t s = n * m; s + 1 > below; --s) ways[i][s] += ways[i - 1][s - below];
        }
    double all = 0;
    double as_far = 0;
    for (std::size_t s = 0; s <= n * m; ++s) {
        all += ways[n][s];
        if (static_cast<double>(s) >= extreme) as_far += ways[n][s];
    }
    return std::min(1.0, 2 * as_far / all);
}

void compare(std::FILE* to, const std::string& file_a, const std::string& file_b) {
    const json a = load(file_a);
    const json b = load(file_b);
    for (const char* same : {"mode", "loop", "options"})
        if (a.at(same) != b.at(same))
            print_to(to, "note: the two differ in {}: {} and {}\n", same, a.at(same).dump(),
                     b.at(same).dump());
    const bool runs = a.at("runs").size() > 1 && b.at("runs").size() > 1;
    if (!runs)
        print_to(to,
                 "note: seconds are compared, as there are not several runs in each file "
                 "(--runs 5 is better)\n");
    print_to(to, "{:<6}{:>12}{:>12}{:>9}  {:<26}{:<26}{}\n", "", "A", "B", "B/A", "spread A",
             "spread B", "verdict");
    for (const auto& f : figures) {
        const auto x = samples(a, f);
        const auto y = samples(b, f);
        const double ratio = median(y) / median(x);
        const double chance = chance_of_same(x, y);
        const bool better = (ratio > 1) == f.more_is_better;
        const std::string verdict = std::min(x.size(), y.size()) < 4 ? "too few samples to tell"
                                    : chance < sure ? (better ? "B is better" : "B is worse")
                                                    : "no difference beyond the noise";
        print_to(to, "{:<6}{:>12}{:>12}{:>9.3f}  {:<26}{:<26}{} (p = {:.3f})\n", f.name,
                 f.shown(median(x)), f.shown(median(y)), ratio, spread(x, f), spread(y, f), verdict,
                 chance);
    }
}

}  // namespace ice::bench
