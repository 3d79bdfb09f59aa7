// faults: what goes wrong in a simulated network and how often, and the random numbers that decide
// it.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/task.hpp>
#include <string_view>

namespace ice::testing {

// Random numbers from a seed, the same on every machine (splitmix64). The distributions of the
// standard library are not: each implementation has its own.
class dice {
public:
    explicit dice(std::uint64_t seed) noexcept : state_(seed) {}

    // 64 random bits.
    std::uint64_t next() noexcept {
        std::uint64_t z = state_ += 0x9e3779b97f4a7c15ULL;
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
        return z ^ (z >> 31);
    }
    // A number from 0 to n - 1; 0 if `n` is 0.
    std::uint64_t below(std::uint64_t n) noexcept { return n == 0 ? 0 : next() % n; }
    // A number from `least` to `most`, both included. Requires: least <= most.
    std::uint64_t between(std::uint64_t least, std::uint64_t most) noexcept {
        assert(least <= most);
        return least + below(most - least + 1);
    }
    // A duration of at least zero and less than `most`; zero if `most` is 0 or less.
    duration below(duration most) noexcept {
        if (most <= duration()) return duration();
        return duration(
            static_cast<duration::rep>(below(static_cast<std::uint64_t>(most.count()))));
    }
    // Returns true with probability `p`. Takes no number if `p` is 0, so a fault that is switched
    // off does not change the rest of a run.
    bool hit(double p) noexcept {
        return p > 0 && static_cast<double>(next() >> 11) * 0x1.0p-53 < p;
    }

private:
    std::uint64_t state_;
};

// What can go wrong. "Per read" means that the chance applies to each read.
enum class fault : std::uint8_t {
    one_byte_read,   // per read: it returns one byte
    short_read,      // per read: it returns a part of what has arrived
    short_write,     // per write: the kernel takes a part, and has room again after a latency
    delay,           // per segment: it is late by up to faults::slow
    stall,           // per write: nothing arrives for up to faults::stall
    reset,           // per read: the connection breaks, for both ends
    lost_tail,       // per reset: it destroys what has arrived and is not read (not on Linux)
    end,             // per write: the stream ends within it, and later bytes vanish
    refused,         // per connect: ECONNREFUSED
    blackhole,       // per connect: no answer ever arrives
    slow_connect,    // per connect: the answer is late by up to faults::stall
    no_descriptors,  // per accept: EMFILE
    aborted,         // per accept: ECONNABORTED
    slow_name,       // per lookup of a name: the answer is late by up to faults::stall
    name_fails,      // per lookup of a name: errc::name_resolution_failed
    clock_moves,     // per reading of transport::now(): the clock advances by up to clock_step
    late_loop,       // per handler, event and deadline: the loop is late by up to faults::late
    count,           // how many faults there are
};
// "short_read" and so on, for messages of tests.
ICE_API std::string_view name(fault) noexcept;

// The settings of a simulated network. By default nothing goes wrong, and the network is fast.
// simulation::faults() returns those of a world, which a test may change at any time.
struct faults {
    // The probability of each fault, from 0 to 1: sim.faults()[fault::short_read] = 0.1.
    std::array<double, static_cast<std::size_t>(fault::count)> chance{};
    // Requires: f < fault::count.
    double& operator[](fault f) noexcept {
        assert(f < fault::count);
        return chance[static_cast<std::size_t>(f)];
    }

    // A segment takes from `latency` to `latency + jitter` to arrive. No segment overtakes another
    // of its direction.
    duration latency = std::chrono::microseconds(50);
    duration jitter = std::chrono::microseconds(50);
    // The longest fault::delay.
    duration slow = std::chrono::milliseconds(3);
    // The longest fault::stall, slow_connect and slow_name: longer than most timeouts.
    duration stall = std::chrono::seconds(60);
    // The longest step of fault::clock_moves. Without this fault a handler takes no time: two
    // readings of the clock are equal.
    duration clock_step = std::chrono::microseconds(50);
    // The longest fault::late_loop. Segments and connections still arrive in the meantime, but
    // nothing runs. Deadlines that became due fire late, some of them before the handlers of what
    // arrived in time.
    duration late = std::chrono::milliseconds(200);

    // The network cuts a write into segments of at most so many bytes.
    std::size_t segment = 1460;  // the MSS on Ethernet: 1500 less 40 of IPv4 and TCP headers
    // Bytes that one end may have sent and the other not read yet, as the kernel's buffers. Applies
    // to connections made from then on.
    std::size_t window = 64 * 1024;
    // Connections that may wait to be accepted. Applies to listeners made from then on.
    std::size_t backlog = 128;
    // What transport::descriptors() returns. The listeners of one machine share those of them that
    // its pools leave (see descriptor_budget).
    std::size_t descriptors = 1024;
};

}  // namespace ice::testing
