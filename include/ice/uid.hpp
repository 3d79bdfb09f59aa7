// uid: the number of one session of a server, as its log lines show it. A server numbers the
// sessions of its listeners and pools from 1 and never uses a number twice: a uid that is kept
// never means another session later. Two servers of one process number their sessions separately.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <string>

#include <fmt/core.h>

namespace ice {

// A value of 8 bytes that refers to nothing. Keep it where a reference to a session might outlive
// the session, and call listener::find() later. Uids of one server compare in the order in which
// their sessions began.
//     const ice::uid id = peer.uid();                          // in a logic
//     if (auto* peer = listener.find(id)) co_await peer->send("later");  // at any time after it
class uid {
public:
    // 0, the uid of no session.
    uid() = default;
    explicit constexpr uid(std::uint64_t number) noexcept : number_(number) {}

    // Does not wrap: 64 bits last for 584,000 years at a million connections a second.
    constexpr std::uint64_t number() const noexcept { return number_; }

    // Orders by number, so that a uid can be a key of std::map. Compare uids of one server only.
    friend constexpr auto operator<=>(uid, uid) = default;

private:
    std::uint64_t number_ = 0;
};

}  // namespace ice

// Prints a uid as in the log: #42. There are no format options: "{}".
template <>
struct fmt::formatter<ice::uid> {
    constexpr auto parse(format_parse_context& context) { return context.begin(); }
    template <class Context>
    auto format(ice::uid id, Context& context) const {
        const std::string text = "#" + std::to_string(id.number());
        return std::copy(text.begin(), text.end(), context.out());
    }
};
