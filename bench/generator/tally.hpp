// tally: what was counted, by one thread or by all.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "histogram.hpp"

namespace ice::bench {

// Why requests got no right reply.
enum class failure {
    connect,
    read,
    write,
    closed,
    timeout,
    mismatch,
    bad_message,
    unexpected,
    handshake
};
inline constexpr std::array failure_names{"connect",     "read",       "write",
                                          "closed",      "timeout",    "mismatch",
                                          "bad message", "unexpected", "handshake"};

struct tally {
    std::uint64_t due = 0;         // open loop: by the schedule
    std::uint64_t sent = 0;        // = completed + unfinished + those that failed
    std::uint64_t completed = 0;   // right replies
    std::uint64_t in_time = 0;     // of those, before the end: what the rate is made of
    std::uint64_t unfinished = 0;  // in flight when the run was over
    std::uint64_t late = 0;        // open loop: sent more than 1 ms after they were due
    std::uint64_t dropped = 0;     // open loop: due, but never sent
    std::uint64_t bytes_out = 0;
    std::uint64_t bytes_in = 0;
    std::array<std::uint64_t, failure_names.size()> failures{};
    std::string example;    // the text of the first failure
    histogram latency;      // open loop: from the time that a request was due
    histogram uncorrected;  // open loop: from the time that it was sent
    double cpu_seconds = 0;

    std::uint64_t failed() const {
        std::uint64_t sum = 0;
        for (const auto n : failures) sum += n;
        return sum;
    }

    void add(const tally& t) {
        due += t.due;
        sent += t.sent;
        completed += t.completed;
        in_time += t.in_time;
        unfinished += t.unfinished;
        late += t.late;
        dropped += t.dropped;
        bytes_out += t.bytes_out;
        bytes_in += t.bytes_in;
        for (std::size_t i = 0; i < failures.size(); ++i) failures[i] += t.failures[i];
        if (example.empty()) example = t.example;
        latency.add(t.latency);
        uncorrected.add(t.uncorrected);
        cpu_seconds += t.cpu_seconds;
    }
};

}  // namespace ice::bench
