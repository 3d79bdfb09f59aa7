// random_world: the parts that the worlds of the swarm (sim/) and of the torture test (torture/)
// share: how often each event has happened, and numbered texts, which tell one reply from another.
#pragma once

#include <fmt/format.h>

#include <charconv>
#include <cstdint>
#include <ice/testing/faults.hpp>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace test {

// How often each thing has happened, in all worlds of a run.
using tally = std::map<std::string, std::uint64_t, std::less<>>;

struct random_world {
    explicit random_world(tally& seen_) : seen(seen_) {}

    void saw(std::string_view what, std::uint64_t times = 1) {
        auto found = seen.find(what);
        if (found == seen.end()) found = seen.emplace(what, 0).first;
        found->second += times;
    }
    // True with probability `p`; counted under that name.
    bool does(ice::testing::dice& by, std::string_view what, double p) {
        if (!by.hit(p)) return false;
        saw(what);
        return true;
    }

    tally& seen;
};

// Counts itself while it exists, also in a coroutine that is destroyed.
struct counted {
    explicit counted(std::size_t& n) : there(n) { ++there; }
    ~counted() { --there; }
    counted(const counted&) = delete;
    counted& operator=(const counted&) = delete;
    std::size_t& there;
};

// The beginning of a text: its kind, its number and a blank, such as "q17 ".
inline std::string numbered(char kind, std::uint64_t number) {
    return fmt::format("{}{} ", kind, number);
}
// Takes such a beginning out of the text. None if the text does not begin so.
inline std::optional<std::uint64_t> take_number(std::string_view& text, char kind) {
    if (text.empty() || text.front() != kind) return std::nullopt;
    std::uint64_t number = 0;
    const char* const end = text.data() + text.size();
    const auto [behind, ec] = std::from_chars(text.data() + 1, end, number);
    if (ec != std::errc() || behind == end || *behind != ' ') return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(behind - text.data()) + 1);
    return number;
}

}  // namespace test
