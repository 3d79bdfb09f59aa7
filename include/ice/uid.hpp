// uid: the number of one session of a server. A server numbers the sessions of its listeners and
// pools from 1 and never uses a number twice. Two servers of one process have numbers of their own.
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
