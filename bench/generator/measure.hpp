// measure: one run: the threads, the progress line, the report.
#pragma once

#include <ice/bench.hpp>
#include <stdexcept>

#include "report.hpp"
#include "worker.hpp"

namespace ice::bench {

struct cannot_connect : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// Resolves the address. Throws cannot_connect, or std::invalid_argument for an address that is not
// of this machine unless that is allowed.
endpoint find_server(const options& o);

// Connects once, and throws cannot_connect if nobody answers.
void try_server(const options& o, const endpoint& at);

report measure(const options& o, const mode& m, const endpoint& at);

}  // namespace ice::bench
