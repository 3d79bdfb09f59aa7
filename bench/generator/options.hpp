// options: what a run was asked to do.
#pragma once

#include <chrono>
#include <cstdint>
#include <ice/address.hpp>
#include <string>
#include <vector>

namespace ice::bench {

using clock = std::chrono::steady_clock;
using nanoseconds = std::chrono::nanoseconds;

enum class arrival { uniform, poisson };

struct options {
    std::string mode;
    address target{"127.0.0.1", 0};
    std::size_t connections = 50;
    std::size_t threads = 1;
    std::size_t depth = 1;    // requests in flight on one connection
    nanoseconds length{};     // of the measured part; zero: until `count` are done
    nanoseconds warm_up{};    // before it, not counted
    std::uint64_t count = 0;  // requests; zero: as many as fit into `length`
    std::size_t size = 32;    // bytes of a request
    double rate = 0;          // requests a second of all connections; zero: closed loop
    bench::arrival arrival = bench::arrival::uniform;
    std::uint64_t seed = 1;
    nanoseconds timeout = std::chrono::seconds(1);
    int server_pid = 0;
    int runs = 1;
    std::string json, hdr, csv;  // files; "-" is stdout
    std::vector<std::string> fail_if;
    bool allow_remote = false;
    bool progress = false;
    bool quiet = false;

    bool open_loop() const { return rate > 0; }
};

}  // namespace ice::bench
