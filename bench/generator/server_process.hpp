// server_process: what the server under test has used, from /proc.
#pragma once

#include <cstdint>

namespace ice::bench {

struct server_usage {
    double cpu_seconds = 0;
    std::uint64_t resident = 0;       // bytes, now
    std::uint64_t resident_most = 0;  // bytes, ever
};

// Throws std::runtime_error if there is no such process.
server_usage usage_of(int pid);

}  // namespace ice::bench
