// What an error says about bytes.
#include <fmt/format.h>

#include <ice/bench.hpp>

namespace ice::bench::detail {

std::string quoted(std::string_view bytes) {
    constexpr std::size_t most = 80;
    std::string out = "'";
    for (const char c : bytes.substr(0, most)) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte >= 0x20 && byte < 0x7f) out += c;
        else out += fmt::format("\\x{:02x}", byte);
    }
    out += "'";
    if (bytes.size() > most) out += fmt::format("... ({} bytes)", bytes.size());
    return out;
}

}  // namespace ice::bench::detail
