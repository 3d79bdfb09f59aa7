// world: the parts that one world of the torture test shares: its dice, its counts, and fail(),
// which prints the last events and the seed, and ends the program at once.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <set>
#include <string_view>

#include "../random_world.hpp"

namespace torture {

using namespace std::chrono_literals;
using ice::testing::dice;
using test::counted;
using test::tally;

struct world : test::random_world {
    world(std::uint64_t seed, tally& seen_)
        : random_world(seen_), chance(seed), outside(seed ^ 0x6f75747369),
          inside(seed ^ 0x696e73696465) {}

    dice chance;   // what there is: listeners, limits, peers
    dice outside;  // what peers, upstreams and the kernel do
    dice inside;   // what logics and callers do

    std::set<std::uint64_t> refused;  // pushes that must not arrive
    std::uint64_t last_request = 0;   // of callers, and of peers whose questions are forwarded

    // In a calm world only the peers themselves end the sessions of polite peers, so each question
    // must be answered. In other worlds a session may end at any time.
    bool is_calm = false;
    bool is_ending = false;         // no peer begins anything new
    bool has_begun_to_end = false;  // the server has been told to stop or to drain
};

// Prints what was wrong, the last events and how to repeat the seed, and ends the program.
[[noreturn]] void fail(std::string_view what);
inline void check(bool holds, std::string_view what) {
    if (!holds) fail(what);
}

// One line of what fail() prints: `what` must live for ever.
void note(const char* what, long a = 0, long b = 0) noexcept;

}  // namespace torture
