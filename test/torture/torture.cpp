// torture: servers, pools, links and misbehaving peers on real sockets, a world of some
// milliseconds for each seed. The other half of the swarm: it runs the code that a simulation
// replaces.
//     torture --seconds 60        worlds until then, all of whose faults must have happened
//     torture --seed 17           that world, a hundred times: the kernel and the clock are real
#include <array>
#include <csignal>
#include <cstdlib>

#include "../../apps/common/command_line.hpp"
#include "stage.hpp"

extern "C" {
// Of the sanitizers; none in other builds.
__attribute__((weak)) void __sanitizer_set_death_callback(void (*)());
__attribute__((weak)) int __lsan_do_recoverable_leak_check();
// GCC's runtime for undefined behaviour has no such callback: its findings come as SIGABRT.
const char* __ubsan_default_options() { return "abort_on_error=1:print_stacktrace=1"; }
}

namespace torture {
namespace {

std::uint64_t running = 0;
const char* program = "torture";

struct event {
    const char* what = nullptr;
    long a = 0, b = 0;
    std::chrono::steady_clock::time_point at{};
    unsigned times = 1;
};
std::array<event, 200> events;
std::chrono::steady_clock::time_point began;
std::size_t last_event = 0;

void print_failure(const char* what) {
    for (std::size_t i = 1; i <= events.size(); ++i) {
        const event& e = events[(last_event + i) % events.size()];
        if (e.what == nullptr) continue;
        const std::chrono::duration<double, std::milli> at = e.at - began;
        std::printf("%9.3f ms %5u x %s %ld: %ld\n", at.count(), e.times, e.what, e.a, e.b);
    }
    std::printf("FAILED seed %llu: %s\nrepeat it: %s --seed %llu\n",
                static_cast<unsigned long long>(running), what, program,
                static_cast<unsigned long long>(running));
    std::fflush(stdout);
}

void sanitizer_found() { print_failure("a finding of a sanitizer, see above"); }

[[noreturn]] void crashed(int signal) {
    print_failure(signal == SIGALRM ? "the loop hangs" : "a crash");
    std::_Exit(2);
}

}  // namespace

void fail(std::string_view what) {
    print_failure(std::string(what).c_str());
    std::_Exit(1);
}

void note(const char* what, long a, long b) noexcept {
    event& last = events[last_event];
    if (last.what == what && last.a == a && last.b == b) {
        ++last.times;
        return;
    }
    last_event = (last_event + 1) % events.size();
    events[last_event] = {what, a, b, now()};
}

namespace {

// Events that a long run must have: each kind of misbehaviour, each limit and each kind of end. The
// list omits events that are too rare.
constexpr std::string_view expected[] = {"calm worlds",
                                         "connections accepted",
                                         "messages",
                                         "requests",
                                         "kernel: accept aborted",
                                         "kernel: no descriptors",
                                         "kernel: send buffer full",
                                         "kernel: send stalls",
                                         "kernel: short recv",
                                         "kernel: short send",
                                         "polite: answered to the end",
                                         "polite: half-closes",
                                         "polite: has asked before the end",
                                         "polite: pipelined bursts",
                                         "polite: was ended",
                                         "hostile: closes",
                                         "hostile: connects and vanishes",
                                         "hostile: half-closes and waits",
                                         "hostile: reads a few bytes",
                                         "hostile: resets",
                                         "hostile: says nothing",
                                         "hostile: sends and never reads",
                                         "hostile: sends garbage",
                                         "hostile: sends one byte at a time",
                                         "hostile: sends too long a message",
                                         "hostile: sends urgent data",
                                         "logic: answers nothing",
                                         "logic: answers what cannot be packed",
                                         "logic: asks a pool",
                                         "logic: asks back",
                                         "logic: broadcasts",
                                         "logic: closes another",
                                         "logic: closes its session",
                                         "logic: gives way",
                                         "logic: leases",
                                         "logic: looks at its socket",
                                         "logic: pushes",
                                         "logic: pushes in closed()",
                                         "logic: pushes to another",
                                         "logic: the other is gone",
                                         "logic: throws",
                                         "logic: throws after a wait",
                                         "logic: throws in closed()",
                                         "logic: throws in opened()",
                                         "logic: waits",
                                         "logic: waits long",
                                         "listener: accept_errors",
                                         "listener: bad_messages",
                                         "listener: broken",
                                         "listener: closed",
                                         "listener: truncated",
                                         "listener: ended_by_us",
                                         "listener: handshakes_failed",
                                         "listener: logic_threw",
                                         "listener: outbox_full",
                                         "listener: paused",
                                         "listener: refused",
                                         "session: handshake_timeout",
                                         "session: idle_timeout",
                                         "session: message_timeout",
                                         "session: message_too_large",
                                         "session: logic_timeout",
                                         "session: write_timeout",
                                         "upstream: closes at once",
                                         "upstream: closes behind the reply",
                                         "upstream: dies",
                                         "upstream: half-closes",
                                         "upstream: hangs up",
                                         "upstream: never reads",
                                         "upstream: never replies",
                                         "upstream: replies late",
                                         "upstream: replies twice",
                                         "upstream: replies with a part",
                                         "upstream: replies with garbage",
                                         "upstream: replies without an end",
                                         "upstream: resets at once",
                                         "upstream: resets behind the reply",
                                         "upstream: talks first",
                                         "upstream: urgent data",
                                         "caller: is cancelled",
                                         "lease: leaves without the reply",
                                         "lease: replies",
                                         "lease: throws",
                                         "lease: waits",
                                         "pool: aged",
                                         "pool: bad_replies",
                                         "pool: breaker_open",
                                         "pool: checks",
                                         "pool: checks_failed",
                                         "pool: closed",
                                         "pool: connect_failures",
                                         "pool: truncated",
                                         "pool: discarded",
                                         "pool: expired",
                                         "pool: stale",
                                         "pool: refused",
                                         "pool: returned",
                                         "pool: timeouts",
                                         "pool: waited",
                                         "end: destroyed as it is",
                                         "end: drain",
                                         "end: drain, then stop",
                                         "end: from inside a logic",
                                         "end: signal",
                                         "end: stop",
                                         "fork: the child waits",
                                         "listener: forwards 1 in flight",
                                         "listener: forwards 64 in flight",
                                         "forward: answers itself",
                                         "forward: failures that arrived",
                                         "forward: has no reply",
                                         "forward: replies that arrived",
                                         "forward: throws",
                                         "forward: throws without a reply",
                                         "broker: closes",
                                         "broker: closes at once",
                                         "broker: dies",
                                         "broker: half-closes",
                                         "broker: never reads",
                                         "broker: resets",
                                         "broker: resets at once",
                                         "broker: says nothing",
                                         "broker: sends garbage",
                                         "broker: sends no end",
                                         "broker: sends urgent data",
                                         "broker: stalls",
                                         "heartbeats",
                                         "link: broken",
                                         "link: closed",
                                         "link: connect_failures",
                                         "link: heartbeats_lost",
                                         "link: is to reconnect",
                                         "link: its logic closes",
                                         "link: learns addresses",
                                         "link: logic_threw",
                                         "link: outbox_full",
                                         "link: queues a push",
                                         "link: reconnects",
                                         "link: spawns",
                                         "link: throws in closed()",
                                         "link: throws in opened()",
                                         "link: waits until it is connected"};

void run(std::uint64_t seed, tally& seen) {
    running = seed;
    events = {};
    began = now();
    ::alarm(30);  // a loop that asks the kernel nothing
    run_world(seed, seen);
    ::alarm(0);
}

int print(const tally& seen, std::uint64_t worlds, double seconds, bool must_all) {
    const auto times = [&seen](std::string_view what) {
        const auto found = seen.find(what);
        return found == seen.end() ? 0 : found->second;
    };
    fmt::print(
        "{} worlds in {:.1f} s, {:.0f} a minute: {} connections, {} messages, {} requests to "
        "upstreams\n",
        worlds, seconds, static_cast<double>(worlds) * 60 / seconds, times("connections accepted"),
        times("messages"), times("requests"));
    for (const auto& [what, n] : seen) fmt::print("  {:<50} {}\n", what, n);
    int missing = 0;
    for (const std::string_view what : expected) {
        if (!must_all || times(what) != 0) continue;
        fmt::print("FAILED: this has never happened: {}\n", what);
        ++missing;
    }
    return missing == 0 ? 0 : 1;
}

}  // namespace
}  // namespace torture

int main(int argc, char** argv) {
    command_line cli("Tortures servers, pools and links on real sockets, a world for each seed.",
                     "torture");
    std::uint64_t start = 1, seeds = 0, seed = 0;
    double seconds = 10;
    bool must_all = false;
    cli.add_number("--seconds", seconds, "how long");
    cli.add_number("--seeds", seeds, "how many worlds, however long it takes");
    cli.add_number("--start", start, "the first seed");
    cli.add_number("--seed", seed, "only this one, a hundred times");
    cli.add_flag("--all", must_all, "fail if anything that can happen has not");
    if (const auto ended = cli.parse(argc, argv)) return *ended;
    torture::program = argv[0];
    std::signal(SIGABRT, torture::crashed);  // an assertion's
    if (__sanitizer_set_death_callback) __sanitizer_set_death_callback(torture::sanitizer_found);
    else
        for (const int signal : {SIGSEGV, SIGBUS}) std::signal(signal, torture::crashed);
    std::signal(SIGALRM, torture::crashed);

    torture::tally seen;
    const auto begin = torture::now();
    const auto passed = [&] {
        return std::chrono::duration<double>(torture::now() - begin).count();
    };
    std::uint64_t worlds = 0;
    if (seed != 0) {
        for (; worlds < 100; ++worlds) torture::run(seed, seen);
    } else {
        for (; seeds != 0 ? worlds < seeds : passed() < seconds; ++worlds) {
            torture::run(start + worlds, seen);
            const bool looks = __lsan_do_recoverable_leak_check && worlds % 500 == 499;
            if (looks && __lsan_do_recoverable_leak_check() != 0)
                torture::fail("a leak, in this world or one of the 499 before it");
        }
    }
    return torture::print(seen, worlds, passed(), must_all);
}
