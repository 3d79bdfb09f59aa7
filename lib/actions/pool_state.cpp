// A pool in one line.
#include <fmt/format.h>

#include <algorithm>
#include <ice/pool_state.hpp>

namespace ice {

std::string to_string(const pool_state& s) {
    const pool_counters& c = s.counters;
    const auto mean = [](duration all, std::uint64_t n) {
        return std::chrono::duration<double, std::milli>(all).count() /
               static_cast<double>(std::max<std::uint64_t>(n, 1));
    };
    const std::uint64_t ended = c.replies + c.timeouts + c.failures + c.refused;
    return fmt::format(
        "pool '{}' of {}: {}, {} of {} open ({} idle, {} busy, {} connecting), {} waiting; "
        "requests: {} ({:.3f} ms each), {} replies, {} timeouts, {} failures ({} closed, {} cut "
        "short, {} bad replies), {} refused, {} retries, {} waited ({:.3f} ms each); connects: {}, "
        "{} failed; connections: {} discarded, {} found dead, {} expired, {} aged",
        s.name, s.upstream, s.down ? "down, " + s.down.message() : "up", s.open(), s.size, s.idle,
        s.busy, s.connecting, s.waiting, c.requests, mean(c.request_time, ended), c.replies,
        c.timeouts, c.failures, c.closed, c.cut_short, c.bad_replies, c.refused, c.retries,
        c.waited, mean(c.wait_time, c.waited), c.connects, c.connect_failures, c.discarded,
        c.found_dead, c.expired, c.aged);
}

}  // namespace ice
