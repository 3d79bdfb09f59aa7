// swarm: runs scenarios of servers, pools and misbehaving peers in virtual time, one for each seed.
//     swarm --seeds 1000 --start 1 --profile pool
// On failure: what was wrong, how to repeat it, and the last events.
#include <unistd.h>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <fstream>

#include "../../apps/common/command_line.hpp"
#include "world.hpp"

namespace {

struct profile {
    const char* name;
    void (*run)(swarm::world&);
};
constexpr profile profiles[] = {{"pool", swarm::pool},       {"pipelined", swarm::pipelined},
                                {"gateway", swarm::gateway}, {"server", swarm::server},
                                {"drain", swarm::drain},     {"link", swarm::link}};

struct totals {
    std::uint64_t seeds = 0, requests = 0, events = 0, hash = 0;
    double virtual_seconds = 0;
    swarm::tally seen;
    std::array<std::uint64_t, static_cast<std::size_t>(swarm::fault::count)> fired{};
};

std::uint64_t running = 0;  // for the handler of a crash

const profile& profile_of(std::uint64_t seed, const std::string& wanted) {
    for (const auto& p : profiles) {
        if (p.name == wanted) return p;
    }
    return profiles[seed % std::size(profiles)];
}

struct run {
    std::string failure, history;
    std::uint64_t hash = 0;
};

run one(std::uint64_t seed, const profile& p, totals& all) {
    running = seed;
    swarm::world w(seed, all.seen);
    swarm::draw_clocks(w, seed);
    const auto begin = w.sim.now();
    try {
        p.run(w);
    } catch (const std::exception& e) { w.fail(e.what()); }
    ++all.seeds;
    all.requests += w.requests;
    all.events += w.sim.events();
    all.virtual_seconds += std::chrono::duration<double>(w.sim.now() - begin).count();
    for (std::size_t f = 0; f < all.fired.size(); ++f)
        all.fired[f] += w.sim.fired(static_cast<swarm::fault>(f));
    all.hash = all.hash * 31 + w.sim.hash();
    return {w.failure, w.failure.empty() ? std::string() : w.sim.history(), w.sim.hash()};
}

void print(const totals& all, double seconds) {
    fmt::print(
        "{} seeds, {} requests, {} events, {:.0f} virtual s in {:.2f} s: {:.0f} seeds/s, "
        "{:.0f} requests/s; hash {:016x}\n",
        all.seeds, all.requests, all.events, all.virtual_seconds, seconds,
        static_cast<double>(all.seeds) / seconds, static_cast<double>(all.requests) / seconds,
        all.hash);
    for (std::size_t f = 0; f < all.fired.size(); ++f)
        fmt::print("  {:<16} {}\n", name(static_cast<swarm::fault>(f)), all.fired[f]);
    for (const auto& [what, times] : all.seen) fmt::print("  {:<16} {}\n", what, times);
}

struct job {
    std::uint64_t seed;
    const profile& p;
};

// Lines such as "server 166".
std::vector<job> jobs_of(const std::string& file) {
    std::vector<job> jobs;
    std::ifstream in(file);
    if (!in) throw std::runtime_error("cannot read " + file);
    for (std::string line; std::getline(in, line);) {
        const std::size_t space = line.find(' ');
        if (line.empty() || line[0] == '#') continue;
        const std::uint64_t seed = std::stoull(line.substr(space + 1));
        jobs.push_back({seed, profile_of(seed, line.substr(0, space))});
    }
    return jobs;
}

// Which of two runs of one seed is right cannot be said: neither is.
bool differs(std::uint64_t seed, const profile& p, const run& first, totals& ignored) {
    if (one(seed, p, ignored).hash == first.hash) return false;
    fmt::print("FAILED seed {}: it made another run the second time\n", seed);
    return true;
}

[[noreturn, maybe_unused]] void crashed(int signal) {
    fmt::print("FAILED seed {}: signal {}\n", running, signal);
    std::fflush(stdout);
    std::_Exit(2);
}

}  // namespace

int main(int argc, char** argv) {
    command_line cli("Runs servers and pools in a simulated world, a scenario for each seed.",
                     "swarm");
    std::uint64_t seeds = 1000, start = 1, twice = 1000;
    std::string wanted = "all", file;
    bool all_fire = false;
    cli.add_number("--seeds", seeds, "how many");
    cli.add_number("--start", start, "the first seed");
    cli.add_text("--profile", wanted, "pool, pipelined, gateway, server, drain, link, or all");
    cli.add_text("--file", file, "seeds to run before, one a line");
    cli.add_number("--twice", twice, "each n-th seed is run twice and must do the same; 0: none");
    cli.add_flag("--all-faults", all_fire, "fail if a kind of fault has not happened");
    if (const auto ended = cli.parse(argc, argv)) return *ended;
#if !defined(__SANITIZE_ADDRESS__)
    std::signal(SIGSEGV, crashed);
    std::signal(SIGABRT, crashed);
#endif
    std::vector<job> list = file.empty() ? std::vector<job>() : jobs_of(file);
    for (std::uint64_t i = 0; i < seeds; ++i)
        list.push_back({start + i, profile_of(start + i, wanted)});

    totals all, ignored;
    const std::clock_t begin = std::clock();
    bool failed = false;
    for (const auto& [seed, p] : list) {
        const run made = one(seed, p, all);
        if (!made.failure.empty()) {
            fmt::print("{}FAILED seed {}: {}\nrepeat it: {} --seeds 1 --start {} --profile {}\n",
                       made.history, seed, made.failure, argv[0], seed, p.name);
            failed = true;
            break;
        }
        failed = twice != 0 && seed % twice == 0 && differs(seed, p, made, ignored);
        if (failed) break;
    }
    const double took = static_cast<double>(std::clock() - begin) / CLOCKS_PER_SEC;
    print(all, took);
    for (std::size_t f = 0; all_fire && f < all.fired.size(); ++f) {
        if (all.fired[f] != 0) continue;
        fmt::print("FAILED: {} has never happened\n", name(static_cast<swarm::fault>(f)));
        failed = true;
    }
    return failed ? 1 : 0;
}
