// `raw`: all bytes come out in order, at any split.
#include <ice/protocols/raw.hpp>

#include "fuzz.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const fuzz::input in(bytes, size);
    const fuzz::watched_protocol p{ice::raw()};
    const auto seen = ice::testing::play(p, in.pieces());
    std::string sent;
    for (const std::string& message : seen.messages) {
        fuzz::check(!message.empty(), "a message has bytes");
        ice::raw().packet(message, sent);
    }
    fuzz::check(!seen.error && seen.left == 0, "nothing is left over");
    fuzz::check(sent == in.data(), "what was fed has come out");
    return 0;
}
