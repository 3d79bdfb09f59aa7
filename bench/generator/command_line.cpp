// The program: options in, exit code out. 0 fine, 1 wrong or missing replies or results that cannot
// be written, 2 usage, 3 cannot connect, 99 a --fail-if held, 130 interrupted.
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <fstream>
#include <ice/bench.hpp>
#include <ice/standard_streams.hpp>
#include <ice/version.hpp>
#include <system_error>

#include "compare.hpp"
#include "measure.hpp"
#include "quantity.hpp"

namespace ice::bench {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view exit_codes =
    "Numbers take k and m (million), times us, ms, s, m and h.\n"
    "Exit code: 0 all right, 1 wrong or missing replies, or results that cannot be\n"
    "written, 2 usage, 3 cannot connect, 99 a --fail-if held, 130 interrupted (what\n"
    "there is, is printed).";

struct raw_options {  // as CLI11 reads them
    std::string target;
    double connections = 50, threads = 1, depth = 1, count = 0, size = 32, rate = 0, runs = 1;
    double seconds = 0, warm_up = -1, timeout = 1, seed = 1, server_pid = 0;
    std::string arrival = "uniform";
};

// An option that is read by `read`, such as count_of(), and refused outside of least .. most.
CLI::Option* add_quantity(CLI::App& cli, const std::string& name, const std::string& type,
                          double (*read)(std::string_view), double& value, double least,
                          double most, const std::string& range) {
    const auto set = [=, &value](const CLI::results_t& words) {
        const std::string& text = words.front();
        try {
            value = read(text);
        } catch (const std::invalid_argument& e) { throw CLI::ValidationError(name, e.what()); }
        if (value < least || value > most)
            throw CLI::ValidationError(name, fmt::format("{} is not {}", text, range));
        return true;
    };
    return cli.add_option(name, set)->type_name(type)->expected(1);
}

CLI::Option* add_number(CLI::App& cli, const std::string& name, double& value, double least,
                        double most, const std::string& range) {
    const auto whole = [](std::string_view text) {
        const double n = count_of(text);
        if (n != std::floor(n)) throw std::invalid_argument(fmt::format("{} is not whole", text));
        return n;
    };
    return add_quantity(cli, name, "N", whole, value, least, most, range);
}

// In seconds.
CLI::Option* add_time(CLI::App& cli, const std::string& name, double& value, double least,
                      const std::string& range) {
    const auto seconds = [](std::string_view text) { return time_of(text, true) / 1e9; };
    return add_quantity(cli, name, "TIME", seconds, value, least, 86'400, range);
}

void add_options(CLI::App& cli, raw_options& raw, options& o) {
    cli.footer(std::string(exit_codes));
    cli.add_option("address", raw.target, "host:port, [v6]:port or unix:/path")
        ->required()
        ->type_name("ADDRESS")
        ->check([](const std::string& text) {
            const auto parsed = address::parse(text);
            return parsed ? std::string() : parsed.error().message();
        });
    const auto in = [](const std::string& group, const std::string& what,
                       const std::string& by_default, CLI::Option* option) {
        option->group(group)->description(what)->default_str(by_default);
    };
    const std::string load = "Load";
    in(load, "connections", "50",
       add_number(cli, "-c,--connections", raw.connections, 1, 1e6, "from 1 to 1m"));
    in(load, "threads that share them", "1",
       add_number(cli, "-t,--threads", raw.threads, 1, 256, "from 1 to 256"));
    in(load, "requests in flight on a connection", "1",
       add_number(cli, "-P,--pipeline", raw.depth, 1, 1e6, "from 1 to 1m"));
    in(load, "bytes of a text that is echoed", "32",
       add_number(cli, "-s,--size", raw.size, 16, 1e8, "from 16 to 100m bytes"));
    in(load, "open loop: requests a second, sent when they are due", "",
       add_quantity(cli, "-R,--rate", "N", count_of, raw.rate, 0.001, 1e9,
                    "from 0.001 to 1000m requests a second"));
    in(load, "of an open loop: uniform, or poisson (random)", "uniform",
       cli.add_option("--arrival", raw.arrival)->type_name("KIND")->check([](const auto& kind) {
           return kind == "uniform" || kind == "poisson" ? std::string()
                                                         : kind + " is not uniform or poisson";
       }));
    in(load, "of the random arrivals", "1",
       add_number(cli, "--seed", raw.seed, 0, 1e15, "0 or more"));

    const std::string time = "Time";
    in(time, "length of the run", "10s, none with -n",
       add_time(cli, "-d,--duration", raw.seconds, 0.01, "from 10ms to a day"));
    in(time, "ends after so many requests", "",
       add_number(cli, "-n,--count", raw.count, 1, 1e15, "1 or more"));
    in(time, "load before the run, not counted", "1s, none with -n",
       add_time(cli, "-w,--warm-up", raw.warm_up, 0, "from 0 to a day"));
    in(time, "a reply later than that is an error", "1s",
       add_time(cli, "--timeout", raw.timeout, 0.001, "from 1ms to a day"));
    in(time, "measures so often, for compare", "1",
       add_number(cli, "--runs", raw.runs, 1, 1000, "from 1 to 1000"));

    const std::string results = "Results";
    in(results, "shows CPU time and memory of this process", "",
       add_number(cli, "--server-pid", raw.server_pid, 1, 1 << 22, "the number of a process")
           ->type_name("PID"));
    cli.add_option("--json", o.json, "writes all results (bench/schema.json); - is stdout")
        ->type_name("FILE")
        ->group(results);
    cli.add_option("--hdr", o.hdr, "writes percentiles of the last run as HdrHistogram does, in ms")
        ->type_name("FILE")
        ->group(results);
    cli.add_option("--csv", o.csv, "writes a line for each run")->type_name("FILE")->group(results);
    cli.add_option("--fail-if", o.fail_if,
                   "exit code 99 if it holds: 'p99>5ms', 'rate<100k', .. (repeatable)")
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
    o.seed = static_cast<std::uint64_t>(raw.seed);
    o.server_pid = static_cast<int>(raw.server_pid);
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
    if ((o.json == "-") + (o.csv == "-") + (o.hdr == "-") > 1)
        throw std::invalid_argument("only one of --json, --csv and --hdr can go to stdout (-)");
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

std::string counted(std::uint64_t n, std::string_view one) {
    return fmt::format("{} {}{}", n, one, n == 1 ? "" : "s");
}

void print_head(std::FILE* to, const options& o, const mode& m) {
    std::string length;
    if (o.count != 0) length = counted(o.count, "request");
    if (o.length != 0ns)
        length += fmt::format("{}{} s", length.empty() ? "" : ", at most ",
                              static_cast<double>(o.length.count()) / 1e9);
    print_to(
        to, "{} {}: {}, {}, {}, {}\n", o.mode, o.target, counted(o.connections, "connection"),
        counted(o.threads, "thread"),
        m.one_each ? "a new one for each request" : fmt::format("{} in flight on each", o.depth),
        length);
    if (o.open_loop())
        print_to(to, "open loop: {}/s, {}; latency counts from when a request was due\n",
                 shown_count(o.rate), o.arrival == arrival::uniform ? "uniform" : "poisson");
    else
        print_to(to,
                 "closed loop: a request waits for a reply before it; its latency leaves out "
                 "that wait\n");
    if (to == stdout) flush_stdout();  // better told before a long run than after it
}

// Better told before a long run than after it.
void needs_writable(const std::string& file) {
    if (file.empty() || file == "-" || std::ofstream(file, std::ios::app)) return;
    throw std::invalid_argument(
        fmt::format("cannot write {}: {}", file, std::generic_category().message(errno)));
}

int measure_all(const options& o, const mode& m) {
    if (m.one_each && o.depth != 1)
        throw std::invalid_argument(
            fmt::format("{} has one request on each connection: it takes no -P", o.mode));
    std::vector<condition> conditions(o.fail_if.begin(), o.fail_if.end());
    const endpoint at = try_server(o, find_server(o));
    for (const auto& file : {o.json, o.csv, o.hdr}) needs_writable(file);

    struct sigaction action {};
    action.sa_handler = [](int) { worker::interrupted = true; };
    action.sa_flags = static_cast<int>(SA_RESETHAND) | SA_RESTART;  // a second one ends at once
    ::sigaction(SIGINT, &action, nullptr);
    ::sigaction(SIGTERM, &action, nullptr);

    // The table goes where no file was asked for.
    std::FILE* const to = o.json == "-" || o.csv == "-" || o.hdr == "-" ? stderr : stdout;
    if (!o.quiet) print_head(to, o, m);
    std::vector<report> runs;
    for (int i = 0; i < o.runs && !worker::interrupted; ++i) {
        runs.push_back(measure(o, m, at));
        if (!o.quiet) print_table(to, runs.back());
    }
    if (!o.json.empty()) write_to(o.json, to_json(runs));
    if (!o.csv.empty()) write_to(o.csv, to_csv(runs));
    if (!o.hdr.empty()) write_to(o.hdr, to_hdr(runs.back()));
    if (to == stdout) flush_stdout();

    if (runs.back().interrupted) return 130;
    bool failed = false;
    bool held = false;
    for (const auto& r : runs) {
        failed = failed || r.counts.failed() != 0 || r.counts.completed == 0;
        for (const auto& c : conditions) {
            if (!c.holds(r)) continue;
            held = true;
            print_to(stderr, "failed: {}\n", c.explain(r));
        }
    }
    return held ? 99 : failed ? 1 : 0;
}

// The first word is what somebody who tries the program gets wrong.
void needs_mode(const CLI::App& cli, int argc, char** argv) {
    std::string names;
    const auto all = cli.get_subcommands([&](const CLI::App* mode) {
        names += (names.empty() ? "" : ", ") + mode->get_name();
        return argc > 1 && mode->get_name() == argv[1];
    });
    if (argc > 1 && (!all.empty() || argv[1][0] == '-')) return;
    throw std::invalid_argument(fmt::format(
        "{}; there are {}\nfor example: ice-bench line 127.0.0.1:9999",
        argc > 1 ? fmt::format("there is no mode {}", argv[1]) : "a mode and an address are needed",
        names));
}

}  // namespace

int run(int argc, char** argv, const std::vector<mode>& modes) {
    open_standard_streams();
    raw_options raw;
    options o;
    std::string file_a;
    std::string file_b;
    const bool single = modes.size() == 1 && modes.front().name.empty();

    CLI::App cli{
        single ? modes.front().help
               : "Generates load on a TCP server and checks every reply, byte for byte:\n"
                 "ice-bench MODE ADDRESS [OPTIONS]; `ice-bench MODE --help` has the options."};
    cli.set_version_flag("--version", fmt::format("ice-bench of ice {}", version));
    cli.get_formatter()->column_width(30);
    cli.get_formatter()->label("SUBCOMMAND", "MODE");
    cli.failure_message([](const CLI::App*, const CLI::Error& e) {
        return fmt::format("{}\n--help lists what there is.\n", e.what());
    });
    if (single) add_options(cli, raw, o);
    for (const auto& m : modes)
        if (!single) add_options(*cli.add_subcommand(m.name, m.help)->group("Modes"), raw, o);
    if (!single) {
        auto* c = cli.add_subcommand("compare", "tells whether two files of --json really differ");
        c->group("Results");
        c->add_option("a", file_a, "before")->required()->type_name("FILE");
        c->add_option("b", file_b, "after")->required()->type_name("FILE");
    }
    try {
        if (!single) needs_mode(cli, argc, argv);
        cli.parse(argc, argv);
        if (!single && cli.got_subcommand("compare")) {
            compare(stdout, file_a, file_b);
            flush_stdout();
            return 0;
        }
        for (const auto& m : modes) {
            if (!single && !cli.got_subcommand(m.name)) continue;
            o.mode = single ? "load" : m.name;
            return measure_all(checked(raw, o), m);
        }
        return 2;
    } catch (const CLI::ParseError& e) {
        if (cli.exit(e) != 0) return 2;
        try {
            flush_stdout();  // --help or --version
        } catch (const std::runtime_error& failed) {
            print_error(failed.what());
            return 1;
        }
        return 0;
    } catch (const std::invalid_argument& e) {
        print_error(e.what());
        return 2;
    } catch (const cannot_connect& e) {
        print_error(e.what());
        return 3;
    } catch (const std::exception& e) {
        print_error(e.what());
        return 1;
    }
}

}  // namespace ice::bench
