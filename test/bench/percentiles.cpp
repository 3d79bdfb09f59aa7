// Reads latencies (ns, one a line) and prints what ice-bench's histogram makes of them, for
// ice_bench_test.py to compare with HdrHistogram.
#include <cstdio>
#include <iostream>

#include "../../bench/generator/histogram.hpp"

int main() {
    ice::bench::histogram h;
    for (std::int64_t ns = 0; std::cin >> ns;) h.record(ns);
    for (const double p : {0.0, 1.0, 50.0, 75.0, 90.0, 99.0, 99.9, 99.99, 100.0})
        std::printf("%g %lld\n", p, static_cast<long long>(h.percentile(p)));
    std::printf("mean %.3f\n", h.mean());
}
