// The clocks of the swarm. The system clock jumps by decades, as nothing may depend on it: the
// whole program calls the clock_gettime() below, libraries included, as it precedes that of the C
// library. The virtual clock moves within handlers, and the loop is late.
#include <sys/syscall.h>
#include <unistd.h>

#include <ctime>

#include "world.hpp"

namespace swarm {
namespace {

constexpr std::int64_t billion = 1'000'000'000;  // seconds: 31 years
std::int64_t system_clock_is_ahead = 0;          // by seconds

// The times of the jumps depend on the seed, their lengths do not: the second run of a seed has
// other ones.
dice distance(0);

ice::task<> jumps(world& w, dice when, std::uint64_t times) {
    const auto net = w.sim.net();
    for (; times != 0; --times) {
        co_await net->sleep(when.below(2s));
        w.saw("clock_jump");
        system_clock_is_ahead =
            static_cast<std::int64_t>(distance.below(2 * billion + 1)) - billion;
    }
}

}  // namespace

// Drawn from separate random numbers: the rest of the world of a seed is the same with them and
// without.
void draw_clocks(world& w, std::uint64_t seed) {
    dice drawn(seed ^ 0x636c6f636b);
    const std::uint64_t times = drawn.below(3);
    auto& f = w.sim.faults();
    if (drawn.hit(0.5)) f[fault::clock_moves] = 1;
    if (drawn.hit(0.3)) f[fault::late_loop] = static_cast<double>(drawn.between(1, 50)) / 10'000;
    if (times != 0) w.sim.spawn(jumps(w, drawn, times));
}

}  // namespace swarm

extern "C" int clock_gettime(clockid_t which, timespec* now) noexcept {
    const long failed = syscall(SYS_clock_gettime, which, now);
    if (which == CLOCK_REALTIME) now->tv_sec += swarm::system_clock_is_ahead;
    return static_cast<int>(failed);
}
