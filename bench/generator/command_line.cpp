// The program: options in, exit code out. 0 fine, 1 wrong or missing replies, 2 usage, 3 cannot
// connect, 99 a --fail-if held, 130 interrupted.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <ice/bench.hpp>
#include <ice/version.hpp>
#include <map>

#include "compare.hpp"
#include "measure.hpp"

namespace ice::bench {
namespace {

using namespace std::chrono_literals;

struct raw_options {  // as CLI11 reads them
    std::string target;
    double connections = 50, threads = 1, depth = 1, count = 0, size = 32, rate = 0, runs = 1;
    double seconds = 0, warm_up = -1, timeout = 1;
    std::string arrival = "uniform";
};

const std::map<std::string, double> count_units{{"k", 1e3}, {"m", 1e6}};
const std::map<std::string, double> time_units{{"us", 1e-6}, {"ms", 1e-3}, {"s", 1.0}, {"m", 60.0}};

CLI::Option* add_number(CLI::App& cli, const std::string& name, double& value, double least,
                        double most, const std::string& what, const std::string& by_default) {
    return cli.add_option(name, value, what)
        ->transform(CLI::AsNumberWithUnit(count_units))
        ->check(CLI::Range(least, most))
        ->type_name("N")
        ->default_str(by_default);
}

CLI::Option* add_time(CLI::App& cli, const std::string& name, double& value, double least,
                      const std::string& what, const std::string& by_default) {
    return cli.add_option(name, value, what)
        ->transform(CLI::AsNumberWithUnit(time_units))
        ->check(CLI::Range(least, 86'400.0))
        ->type_name("TIME")
        ->default_str(by_default);
}

void add_options(CLI::App& cli, raw_options& raw, options& o) {
    cli.add_option("address", raw.target, "host:port, [v6]:port or unix:/path")
        ->required()
        ->type_name("ADDRESS")
        ->check([](const std::string& text) {
            const auto parsed = address::parse(text);
            return parsed ? std::string() : parsed.error().message();
        });
    const std::string load = "Load";
    add_number(cli, "-c,--connections", raw.connections, 1, 1e6, "connections", "50")->group(load);
    add_number(cli, "-t,--threads", raw.threads, 1, 256, "threads that share them", "1")
        ->group(load);
    add_number(cli, "-P,--pipeline", raw.depth, 1, 1e6, "requests under way on a connection", "1")
        ->group(load);
    add_number(cli, "-s,--size", raw.size, 16, 1e8, "bytes of a text that is echoed", "32")
        ->group(load);
    add_number(cli, "-R,--rate", raw.rate, 1, 1e9,
               "open loop: requests a second, sent when they are due whatever the server does; "
               "without it, a closed loop: each reply makes room for the next request",
               "")
        ->group(load);
    cli.add_option("--arrival", raw.arrival, "of an open loop: uniform, or poisson (random)")
        ->check(CLI::IsMember({"uniform", "poisson"}))
        ->capture_default_str()
        ->group(load);
    cli.add_option("--seed", o.seed, "of the random arrivals")->capture_default_str()->group(load);

    const std::string time = "Time";
    add_time(cli, "-d,--duration", raw.seconds, 0.01, "length of the run", "10s, none with -n")
        ->group(time);
    add_number(cli, "-n,--count", raw.count, 1, 1e15, "ends after so many requests", "")
        ->group(time);
    add_time(cli, "-w,--warm-up", raw.warm_up, 0, "load before the run, not counted",
             "1s, none with -n")
        ->group(time);
    add_time(cli, "--timeout", raw.timeout, 0.001, "a reply later than that is an error", "1s")
        ->group(time);
    add_number(cli, "--runs", raw.runs, 1, 1000, "measures so often (for compare)", "1")
        ->group(time);

    const std::string results = "Results";
    cli.add_option("--server-pid", o.server_pid, "shows CPU time and memory of this process")
        ->type_name("PID")
        ->check(CLI::PositiveNumber)
        ->group(results);
    cli.add_option("--json", o.json, "writes all results (bench/schema.json); - is stdout")
        ->type_name("FILE")
        ->group(results);
    cli.add_option("--hdr", o.hdr, "writes percentiles as HdrHistogram does, in ms")
        ->type_name("FILE")
        ->group(results);
    cli.add_option("--csv", o.csv, "writes a line for each run")->type_name("FILE")->group(results);
    cli.add_option("--fail-if", o.fail_if,
                   "exit code 99 if this holds, such as 'p99>5ms', 'rate<100k', 'errors>0'")
        ->type_name("CONDITION")
        ->allow_extra_args(false)
        ->group(results);
    cli.add_flag("--progress", o.progress, "a line each second, also when stderr is no terminal")
        ->group(results);
    cli.add_flag("-q,--quiet", o.quiet, "no table")->group(results);
    cli.add_flag("--allow-remote", o.allow_remote, "allows servers on other machines");
}

options checked(const raw_options& raw, options o) {
    const auto ns = [](double seconds) { return nanoseconds(std::int64_t(seconds * 1e9)); };
    o.target = address(raw.target);
    o.connections = static_cast<std::size_t>(raw.connections);
    o.threads = static_cast<std::size_t>(raw.threads);
    o.depth = static_cast<std::size_t>(raw.depth);
    o.size = static_cast<std::size_t>(raw.size);
    o.count = static_cast<std::uint64_t>(raw.count);
    o.runs = static_cast<int>(raw.runs);
    o.rate = raw.rate;
    o.arrival = raw.arrival == "poisson" ? arrival::poisson : arrival::uniform;
    o.timeout = ns(raw.timeout);
    o.length = ns(raw.seconds != 0 ? raw.seconds : raw.count != 0 ? 0 : 10);
    o.warm_up = ns(raw.warm_up >= 0 ? raw.warm_up : raw.count != 0 ? 0 : 1);
    o.progress = !o.quiet && (o.progress || ::isatty(STDERR_FILENO) == 1);
    if (o.threads > o.connections)
        throw std::invalid_argument("each thread needs a connection: -t must not exceed -c");
    if (o.count != 0 && o.count < o.threads)
        throw std::invalid_argument("each thread needs a request: -t must not exceed -n");
    if (raw.arrival == "poisson" && o.rate == 0)
        throw std::invalid_argument("--arrival poisson needs a rate (-R)");
    rlimit files{};
    ::getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &files);
    if (o.connections + 64 > files.rlim_cur)
        throw std::invalid_argument(
            fmt::format("{} connections are more than this process may open (ulimit -n {})",
                        o.connections, files.rlim_cur));
    if (o.server_pid != 0) {
        try {
            usage_of(o.server_pid);
        } catch (const std::runtime_error& e) { throw std::invalid_argument(e.what()); }
    }
    return o;
}

void print_head(std::FILE* to, const options& o) {
    const auto length = o.length != 0ns
                            ? fmt::format("{} s", static_cast<double>(o.length.count()) / 1e9)
                            : fmt::format("{} requests", o.count);
    fmt::print(to, "{} {}: {} connections, {} threads, {} under way on each, {}\n", o.mode,
               o.target, o.connections, o.threads, o.depth, length);
    if (o.open_loop())
        fmt::print(to, "open loop: {}/s, {}; latency counts from when a request was due\n",
                   shown_count(o.rate), o.arrival == arrival::uniform ? "uniform" : "poisson");
    else
        fmt::print(to,
                   "closed loop: a request waits for a reply before it; its latency leaves out "
                   "that wait\n");
    std::fflush(to);
}

int measure_all(const options& o, const mode& m) {
    std::vector<condition> conditions(o.fail_if.begin(), o.fail_if.end());
    const endpoint at = find_server(o);
    try_server(o, at);

    struct sigaction action {};
    action.sa_handler = [](int) { worker::interrupted = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;  // a second one ends at once
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);

    // The table goes where no file was asked for.
    std::FILE* const to = o.json == "-" || o.csv == "-" || o.hdr == "-" ? stderr : stdout;
    if (!o.quiet) print_head(to, o);
    std::vector<report> runs;
    for (int i = 0; i < o.runs && !worker::interrupted; ++i) {
        runs.push_back(measure(o, m, at));
        if (!o.quiet) print_table(to, runs.back());
    }
    std::fflush(to);
    if (!o.json.empty()) write_to(o.json, to_json(runs));
    if (!o.csv.empty()) write_to(o.csv, to_csv(runs));
    if (!o.hdr.empty()) write_to(o.hdr, to_hdr(runs.back()));

    if (runs.back().interrupted) return 130;
    bool failed = false;
    bool held = false;
    for (const auto& r : runs) {
        failed = failed || r.counts.failed() != 0 || r.counts.completed == 0;
        for (const auto& c : conditions) {
            if (!c.holds(r)) continue;
            held = true;
            fmt::print(stderr, "failed: {}\n", c.explain(r));
        }
    }
    return held ? 99 : failed ? 1 : 0;
}

}  // namespace

int run(int argc, char** argv, const std::vector<mode>& modes) {
    raw_options raw;
    options o;
    std::string file_a;
    std::string file_b;
    const bool single = modes.size() == 1 && modes.front().name.empty();

    CLI::App cli{single ? modes.front().help
                        : "Generates load on a TCP server and checks every reply, byte for byte."};
    cli.set_version_flag("--version", fmt::format("ice-bench of ice {}", version));
    cli.get_formatter()->column_width(30);
    if (single) add_options(cli, raw, o);
    for (const auto& m : modes)
        if (!single) add_options(*cli.add_subcommand(m.name, m.help), raw, o);
    if (!single) {
        cli.require_subcommand(1);
        auto* c = cli.add_subcommand("compare", "tells whether two files of --json really differ");
        c->add_option("a", file_a, "before")->required()->check(CLI::ExistingFile);
        c->add_option("b", file_b, "after")->required()->check(CLI::ExistingFile);
    }
    try {
        cli.parse(argc, argv);
        if (!single && cli.got_subcommand("compare")) {
            compare(stdout, file_a, file_b);
            return 0;
        }
        for (const auto& m : modes) {
            if (!single && !cli.got_subcommand(m.name)) continue;
            o.mode = single ? "load" : m.name;
            return measure_all(checked(raw, o), m);
        }
        return 2;
    } catch (const CLI::ParseError& e) {
        return cli.exit(e) == 0 ? 0 : 2;
    } catch (const std::invalid_argument& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 2;
    } catch (const cannot_connect& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 3;
    } catch (const std::exception& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
}

}  // namespace ice::bench
