// world: what the parts of one world of the torture test share: its dice, what has been seen in it,
// and how it fails. A failure ends the program at once: its last events are printed, and its seed.
#pragma once

#include <fmt/format.h>

#include <chrono>
#include <cstdint>
#include <ice/testing/faults.hpp>
#include <map>
#include <set>
#include <string>
#include <string_view>

namespace torture {

using namespace std::chrono_literals;
using ice::testing::dice;

// How often each thing has happened in all worlds.
using tally = std::map<std::string, std::uint64_t, std::less<>>;

struct world {
    world(std::uint64_t seed, tally& seen_)
        : chance(seed), outside(seed ^ 0x6f75747369), inside(seed ^ 0x696e73696465), seen(seen_) {}

    void saw(std::string_view what, std::uint64_t times = 1) {
        auto found = seen.find(what);
        if (found == seen.end()) found = seen.emplace(what, 0).first;
        found->second += times;
    }
    // True with probability `p`; counted under that name.
    bool does(dice& by, std::string_view what, double p) {
        if (!by.hit(p)) return false;
        saw(what);
        return true;
    }

    dice chance;   // what there is: listeners, limits, peers
    dice outside;  // what peers, upstreams and the kernel do
    dice inside;   // what logics and callers do
    tally& seen;

    std::set<std::uint64_t> refused;  // pushes that must not arrive

    // In a calm world nobody but the peers themselves ends a well-behaved conversation, so each of
    // its questions must be answered. In the others it may end at any time.
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
