// Reads /proc/PID/stat and /proc/PID/status.
#include "server_process.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>

namespace ice::bench {

server_usage usage_of(int pid) {
    server_usage u;
    std::ifstream stat(fmt::format("/proc/{}/stat", pid));
    std::string line;
    if (!std::getline(stat, line))
        throw std::runtime_error(fmt::format("--server-pid {}: no such process", pid));
    // Behind the name, which may hold anything up to the last parenthesis: state, then numbers;
    // proc(5) counts utime as field 14 and stime as field 15.
    std::istringstream fields(line.substr(line.rfind(')') + 2));
    std::string skipped;
    for (int field = 3; field < 14; ++field) fields >> skipped;
    double user = 0;
    double system = 0;
    fields >> user >> system;
    u.cpu_seconds = (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));

    std::ifstream status(fmt::format("/proc/{}/status", pid));
    std::string key;
    std::uint64_t kib = 0;
    while (std::getline(status, line)) {
        std::istringstream words(line);
        words >> key >> kib;
        if (key == "VmRSS:") u.resident = kib * 1024;
        if (key == "VmHWM:") u.resident_most = kib * 1024;
    }
    return u;
}

}  // namespace ice::bench
