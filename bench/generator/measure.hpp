// measure: one run: the threads, the progress line, the report.
#pragma once

#include <ice/bench.hpp>
#include <stdexcept>
#include <vector>

#include "report.hpp"
#include "worker.hpp"

namespace ice::bench {

struct cannot_connect : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// The addresses of the server, in the order in which they are tried: the families take turns, IPv4
// first, as ice's servers listen. Throws cannot_connect, or std::invalid_argument if none of them
// is of this machine; addresses that are not are left out, unless they are allowed.
std::vector<endpoint> find_server(const options& o);

// The first that answers: the next is tried when one has failed, or after 250 ms while those before
// go on (RFC 8305). Throws cannot_connect if none answers in time: with the first one's error.
endpoint try_server(const options& o, const std::vector<endpoint>& all);

report measure(const options& o, const mode& m, const endpoint& at);

}  // namespace ice::bench
