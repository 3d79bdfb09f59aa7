// Draws the faults of a seed. Each seed has its own mixture, as faults that always occur together
// hide each other.
#include "world.hpp"

namespace swarm {

void draw_faults(world& w) {
    struct range {
        fault kind;
        unsigned per_mille;  // at most
    };
    static constexpr range ranges[] = {
        {fault::one_byte_read, 300}, {fault::short_read, 1000},  {fault::short_write, 500},
        {fault::delay, 1000},        {fault::stall, 5},          {fault::reset, 20},
        {fault::lost_tail, 1000},    {fault::end, 20},           {fault::refused, 300},
        {fault::blackhole, 100},     {fault::slow_connect, 100}, {fault::no_descriptors, 200},
        {fault::aborted, 200},       {fault::slow_name, 100},    {fault::name_fails, 200}};
    static_assert(std::size(ranges) + of_clocks.size() == static_cast<std::size_t>(fault::count));
    auto& f = w.sim.faults();
    const auto kind = w.chance.below(10);
    const auto only = w.chance.below(std::size(ranges));
    for (std::size_t i = 0; i < std::size(ranges); ++i) {
        const bool on = kind == 0 ? false : kind < 3 ? i == only : w.chance.hit(0.5);
        const auto drawn = static_cast<double>(w.chance.between(1, ranges[i].per_mille)) / 1000;
        if (on) f[ranges[i].kind] = drawn;
    }
    f.jitter = w.chance.below(ice::duration(2ms));
    if (w.chance.hit(0.01)) f.slow = 60s;
    f.segment = w.chance.hit(0.2) ? w.chance.between(1, 100) : 1460;
    f.window = w.chance.between(1024, 64 * 1024);
    f.backlog = w.chance.between(1, 16);
}

}  // namespace swarm
