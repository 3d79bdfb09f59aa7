// uid: the number of one session of a server, be it of a listener or of a pool. Counted from 1,
// never used twice, unlike descriptors. Two servers of one process count each for itself.
#pragma once

#include <compare>
#include <cstdint>

#include <fmt/core.h>

namespace ice {

class uid {
public:
    uid() = default;
    explicit constexpr uid(std::uint64_t number) noexcept : number_(number) {}

    constexpr std::uint64_t number() const noexcept { return number_; }

    friend constexpr auto operator<=>(uid, uid) = default;

private:
    std::uint64_t number_ = 0;
};

}  // namespace ice

// Printed as in the log: #42.
template <>
struct fmt::formatter<ice::uid> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    template <class Context>
    auto format(ice::uid id, Context& context) const {
        return fmt::format_to(context.out(), "#{}", id.number());
    }
};
