// The machine-readable forms of a report.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>

#include <cerrno>
#include <fstream>
#include <ice/version.hpp>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <system_error>

#include "built_with.hpp"
#include "report.hpp"

namespace ice::bench {
namespace {

using nlohmann::ordered_json;

std::string first_line(const std::string& file) {
    std::ifstream in(file);
    std::string line;
    std::getline(in, line);
    return line;
}

std::string processor() {
    std::ifstream in("/proc/cpuinfo");
    for (std::string line; std::getline(in, line);)
        if (line.starts_with("model name")) return line.substr(line.find(':') + 2);
    return "unknown";
}

ordered_json environment() {
    utsname u{};
    ::uname(&u);
    const std::string governor =
        first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
    return {{"ice", version},
            {"revision", built_with::revision},
            {"compiler", built_with::compiler},
            {"flags", built_with::flags},
            {"kernel", fmt::format("{} {} {}", u.sysname, u.release, u.machine)},
            {"processor", processor()},
            {"governor", governor.empty() ? "unknown" : governor}};
}

ordered_json latencies(const histogram& h, bool with_counts) {
    const auto us = [](double ns) { return ns / 1e3; };
    ordered_json percentiles;
    for (const double p : table_percentiles)
        percentiles[fmt::format("{}", p)] = us(static_cast<double>(h.percentile(p)));
    ordered_json j{{"min", us(static_cast<double>(h.min()))},
                   {"mean", us(h.mean())},
                   {"deviation", us(h.deviation())},
                   {"max", us(static_cast<double>(h.max()))},
                   {"percentiles", percentiles}};
    if (with_counts) {
        j["counts"] = ordered_json::array();
        h.each([&](std::int64_t value, std::uint64_t times) {
            j["counts"].push_back({us(static_cast<double>(value)), times});
        });
    }
    return j;
}

ordered_json one_run(const report& r) {
    const tally& t = r.counts;
    ordered_json errors = ordered_json::object();
    for (std::size_t i = 0; i < t.failures.size(); ++i)
        if (t.failures[i] != 0) errors[failure_names[i]] = t.failures[i];
    ordered_json series = ordered_json::array();
    for (const auto& s : r.series)
        series.push_back({{"rate", s.rate},
                          {"p50", s.p50_us},
                          {"p99", s.p99_us},
                          {"max", s.max_us},
                          {"errors", s.failed}});
    ordered_json j{
        {"seconds", r.seconds},
        {"interrupted", r.interrupted},
        {"rate", r.rate()},
        {"bytes_out", t.bytes_out},
        {"bytes_in", t.bytes_in},
        {"requests", {{"sent", t.sent}, {"completed", t.completed}, {"unfinished", t.unfinished}}},
        {"errors", errors},
        {"first_error", t.example},
        {"latency_us", latencies(t.latency, true)},
        {"generator_cpu_share", r.cpu_share},
        {"series", series}};
    if (r.asked.open_loop()) {
        j["achieved"] = r.achieved();
        j["requests"]["due"] = t.due;
        j["requests"]["late"] = t.late;
        j["requests"]["dropped"] = t.dropped;
        j["uncorrected_us"] = latencies(t.uncorrected, false);
    }
    if (r.server)
        j["server"] = {{"cpu_seconds", r.server->cpu_seconds},
                       {"resident_bytes", r.server->resident},
                       {"resident_most_bytes", r.server->resident_most}};
    return j;
}

}  // namespace

std::string to_json(const std::vector<report>& runs) {
    const options& o = runs.front().asked;
    const auto seconds = [](nanoseconds ns) { return static_cast<double>(ns.count()) / 1e9; };
    ordered_json options{{"connections", o.connections},
                         {"threads", o.threads},
                         {"depth", o.depth},
                         {"size", o.size},
                         {"seconds", seconds(o.length)},
                         {"count", o.count},
                         {"warm_up_seconds", seconds(o.warm_up)},
                         {"timeout_seconds", seconds(o.timeout)}};
    if (o.open_loop()) {
        options["rate"] = o.rate;
        options["arrival"] = o.arrival == arrival::uniform ? "uniform" : "poisson";
        options["seed"] = o.seed;
    }
    ordered_json j{{"schema", "ice-bench/1"},
                   {"mode", o.mode},
                   {"target", fmt::format("{}", o.target)},
                   {"loop", o.open_loop() ? "open" : "closed"},
                   {"options", options},
                   {"environment", environment()},
                   {"runs", ordered_json::array()}};
    for (const auto& r : runs) j["runs"].push_back(one_run(r));
    return j.dump(1) + "\n";
}

std::string to_hdr(const report& r) {
    const histogram& h = r.counts.latency;
    const auto ms = [](double ns) { return ns / 1e6; };
    std::string out = fmt::format("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile",
                                  "TotalCount", "1/(1-Percentile)");
    // Five steps for each halving of the distance to 100 %, as HdrHistogram's own writer has.
    for (double percent = 0, half = 100; h.total() != 0;) {
        const auto value = h.percentile(percent);
        const std::uint64_t below = h.count_to(value);
        if (below >= h.total()) break;
        const double part = percent / 100;
        out += fmt::format("{:12.3f} {:14.12f} {:10} {:14.2f}\n", ms(static_cast<double>(value)),
                           part, below, 1 / (1 - part));
        percent += half / 10;
        if (100 - percent <= half / 2 + 1e-12) half /= 2;
    }
    out +=
        fmt::format("{:12.3f} {:14.12f} {:10}\n", ms(static_cast<double>(h.max())), 1.0, h.total());
    out += fmt::format("#[Mean    = {:12.3f}, StdDeviation   = {:12.3f}]\n", ms(h.mean()),
                       ms(h.deviation()));
    out += fmt::format("#[Max     = {:12.3f}, Total count    = {:12}]\n",
                       ms(static_cast<double>(h.max())), h.total());
    out += fmt::format("#[Buckets = {:12}, SubBuckets     = {:12}]\n", 32, 2048);
    return out;
}

std::string to_csv(const std::vector<report>& runs) {
    std::string out =
        "mode,target,loop,connections,depth,size,seconds,rate,sent,completed,errors,mean_us,min_us";
    for (const double p : table_percentiles) out += fmt::format(",p{}_us", p);
    out += ",max_us\n";
    for (const auto& r : runs) {
        const histogram& h = r.counts.latency;
        out += fmt::format("{},{},{},{},{},{},{:.3f},{:.1f},{},{},{},{:.3f},{:.3f}", r.asked.mode,
                           r.asked.target, r.asked.open_loop() ? "open" : "closed",
                           r.asked.connections, r.asked.depth, r.asked.size, r.seconds, r.rate(),
                           r.counts.sent, r.counts.completed, r.counts.failed(), h.mean() / 1e3,
                           static_cast<double>(h.min()) / 1e3);
        for (const double p : table_percentiles)
            out += fmt::format(",{:.3f}", static_cast<double>(h.percentile(p)) / 1e3);
        out += fmt::format(",{:.3f}\n", static_cast<double>(h.max()) / 1e3);
    }
    return out;
}

void write_to(const std::string& file, std::string_view text) {
    if (file == "-") {
        if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() &&
            std::fflush(stdout) == 0)
            return;
        throw std::runtime_error("cannot write to stdout: " +
                                 std::generic_category().message(errno));
    }
    std::ofstream out(file, std::ios::binary);
    out << text;
    out.close();
    if (!out)
        throw std::runtime_error(
            fmt::format("cannot write {}: {}", file, std::generic_category().message(errno)));
}

}  // namespace ice::bench
