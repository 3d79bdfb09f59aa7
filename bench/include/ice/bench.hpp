// bench: a load generator for a protocol of your own, with every option of ice-bench.
//
//     #include <ice/bench.hpp>
//     #include <ice/protocols/line.hpp>
//
//     int main(int argc, char** argv) {
//         return ice::bench::run(argc, argv, ice::line{},
//                                [](std::uint64_t n) { return fmt::format("message {}", n); });
//     }
//
// Link with ice::bench. The protocol is the type that the server has.
#pragma once

#include <cstdint>
#include <functional>
#include <ice/bench/typed_dialogue.hpp>
#include <string>
#include <vector>

namespace ice::bench {

// One kind of load: `ice-bench NAME ADDRESS`.
struct mode {
    std::string name;  // empty for the only one of a program
    std::string help;
    std::function<make_dialogue(std::size_t size)> make;  // of -s
    bool one_each = false;                                // a connection for each request
};

// The whole program: options, load, report. Returns the exit code.
int run(int argc, char** argv, const std::vector<mode>& modes);

// A mode for protocol P, whose handshake(), if it has one, comes first on each connection. `ask(n)`
// makes request n, always the same one for the same n, and `check(reply, n)` says whether a reply
// is right; without it, the reply must equal the request.
template <protocol P, class Ask, class Check = detail::is_echo>
make_dialogue talk(P p, Ask ask, Check check = {}) {
    using typed = detail::typed_dialogue<P, Ask, Check>;
    return [=, all = typed::make_handshakes()](std::uint64_t first) {
        return std::make_unique<typed>(p, ask, check, first, all);
    };
}

// The whole program, for one protocol.
template <protocol P, class Ask, class Check = detail::is_echo>
int run(int argc, char** argv, P p, Ask ask, Check check = {}) {
    const auto make = [=](std::size_t) { return talk(p, ask, check); };
    return run(argc, argv, {mode{"", "Generates load and checks every reply.", make}});
}

}  // namespace ice::bench
