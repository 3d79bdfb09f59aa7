// faults: what goes wrong in a simulated network, and how often; and the dice that decide it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/task.hpp>
#include <string_view>

namespace ice::testing {

// Numbers from a seed, the same on every machine (splitmix64).
class dice {
public:
    explicit dice(std::uint64_t seed) noexcept : state_(seed) {}

    std::uint64_t next() noexcept {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    // 0 .. n - 1, and 0 for an n of 0.
    std::uint64_t below(std::uint64_t n) noexcept { return n == 0 ? 0 : next() % n; }
    // From `least` to `most`, both included.
    std::uint64_t between(std::uint64_t least, std::uint64_t most) noexcept {
        return least + below(most - least + 1);
    }
    duration below(duration most) noexcept {
        if (most <= duration()) return duration();
        return duration(
            static_cast<duration::rep>(below(static_cast<std::uint64_t>(most.count()))));
    }
    // True with probability `p`.
    bool hit(double p) noexcept {
        return p > 0 && static_cast<double>(next() >> 11) * 0x1.0p-53 < p;
    }

private:
    std::uint64_t state_;
};

enum class fault : std::uint8_t {
    one_byte_read,   // per read: one byte comes
    short_read,      // per read: a part of what has arrived comes
    short_write,     // per write: a part is taken, the rest a moment later
    delay,           // per segment: it is late by up to faults::slow
    stall,           // per write: nothing arrives for up to faults::stall
    reset,           // per read: the connection breaks, for both ends
    lost_tail,       // per reset: it destroys what has arrived and is not read (not on Linux)
    end,             // per write: the stream ends within it, and what follows vanishes
    refused,         // per connect
    blackhole,       // per connect: no answer ever comes
    slow_connect,    // per connect: the answer is late by up to faults::stall
    no_descriptors,  // per accept: EMFILE
    aborted,         // per accept: ECONNABORTED
    slow_name,       // per lookup of a name: the answer is late by up to faults::stall
    name_fails,      // per lookup of a name: errc::name_resolution_failed
    clock_moves,     // per reading of transport::now(): it is up to faults::clock_step later
    late_loop,       // per handler, event and deadline: the loop is late by up to faults::late
    count,           // how many there are
};
ICE_API std::string_view name(fault) noexcept;

// As constructed: nothing goes wrong on a fast network.
struct faults {
    // Probabilities, 0 .. 1.
    std::array<double, static_cast<std::size_t>(fault::count)> chance{};
    double& operator[](fault f) noexcept { return chance[static_cast<std::size_t>(f)]; }

    // A segment takes from `latency` to `latency + jitter` to arrive; none overtakes another.
    duration latency = std::chrono::microseconds(50);
    duration jitter = std::chrono::microseconds(50);
    duration slow = std::chrono::milliseconds(3);
    duration stall = std::chrono::seconds(60);
    // Without fault::clock_moves a handler takes no time: two readings of the clock are equal.
    duration clock_step = std::chrono::microseconds(50);
    // Segments and connections arrive in the meantime, and nothing runs. Deadlines that became due
    // fire late, some of them before the handlers of what had arrived in time.
    duration late = std::chrono::milliseconds(200);

    // A write is cut into segments of at most so many bytes.
    std::size_t segment = 1460;  // of Ethernet
    // Sent and not yet read by the other end; of connections made from then on.
    std::size_t window = 64 * 1024;
    // Connections that may wait to be accepted; of listeners made from then on.
    std::size_t backlog = 128;
    // What transport::descriptors() says: of them the listeners of one machine share what its pools
    // leave (see descriptor_budget).
    std::size_t descriptors = 1024;
};

}  // namespace ice::testing
