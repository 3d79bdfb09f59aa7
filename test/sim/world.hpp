// world: the parts that the scenarios of the swarm share: the simulation of one seed, its faults,
// and the first failure.
#pragma once

#include <fmt/format.h>

#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>
#include <string>
#include <vector>

#include "../quiet_server.hpp"
#include "../random_world.hpp"

#include "frames.hpp"

namespace swarm {

using namespace std::chrono_literals;
using ice::testing::dice;
using ice::testing::fault;
using test::tally;

struct world : test::random_world {
    world(std::uint64_t seed, tally& seen_)
        : random_world(seen_), sim(seed), options(seed ^ 0x0f71009) {}

    void fail(const std::string& what) {
        if (failure.empty()) failure = what;
    }
    void check(bool holds, const char* what) {
        if (!holds) fail(what);
    }
    // A request ends in the instant of its deadline, or as soon after it as a late loop comes to
    // it: the loop has not waited since. A millisecond, as handlers may take time between the
    // readings of the clock from which a deadline is made.
    void check_ended_by(ice::time_point deadline) {
        check(sim.last_idle() <= deadline + 1ms, "a request ended late");
    }
    // True with probability `p`; counted under that name.
    bool does(std::string_view what, double p) { return random_world::does(chance, what, p); }
    void wait(ice::duration span) { sim.run_for(span); }

    std::size_t spawned = 0;  // coroutines beside logics that run; they use it until the end
    ice::testing::simulation sim;
    dice& chance = sim.chance();
    dice options;  // of what was added later: the seeds that are kept draw the same as before
    std::string failure;  // the first thing that was wrong
    std::uint64_t requests = 0;
};

// A server that does not format lines of its log: a run has millions of events.
struct unlogged_server : quiet_server {
    explicit unlogged_server(const std::shared_ptr<ice::transport>& net) : quiet_server(net) {
        log().level(ice::log_level::error);
    }
};

// Draws the faults of this seed: none in some, one in some, and about half of them in the others.
void draw_faults(world&);

// Faults of time, which harm no connection: draw_clocks() draws them for each profile.
inline constexpr std::array of_clocks{fault::clock_moves, fault::late_loop};

// The system clock jumps by decades, up to twice; time passes in handlers, and the loop is late.
void draw_clocks(world&, std::uint64_t seed);

// Removes all faults but the time that handlers take.
inline void calm(world& w) {
    auto& f = w.sim.faults();
    const double moves = f[fault::clock_moves];
    f.chance = {};
    f[fault::clock_moves] = moves;
}

// The scenarios, by profile.
void pool(world&);
void pipelined(world&);
void gateway(world&);
void server(world&);
void drain(world&);
void link(world&);

}  // namespace swarm
