// Reads /proc/PID/stat, status, and the schedstat of each thread.
#include "server_process.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <system_error>

namespace ice::bench {
namespace {

// CPU time of the threads that there are now, in seconds; 0 if the kernel does not tell it.
// Its unit is a nanosecond, that of /proc/PID/stat a tick of 10 ms.
double fine_cpu_seconds(int pid) {
    double all = 0;
    std::error_code gone;
    const std::filesystem::directory_iterator threads(fmt::format("/proc/{}/task", pid), gone);
    for (const auto& thread : threads) {
        double ns = 0;
        std::ifstream(thread.path() / "schedstat") >> ns;
        all += ns * 1e-9;
    }
    return all;
}

}  // namespace

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
    const double ticks = (user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
    const double fine = fine_cpu_seconds(pid);
    u.cpu_seconds = fine > 0 ? fine : ticks;

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
