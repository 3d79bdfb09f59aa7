// resp_redirect: what a node of a Redis Cluster replies if another node has the key (redis.io:
// "Redis cluster specification", redirection). No I/O: ice sends no request on by itself.
#pragma once

#include <cstdint>
#include <ice/detail/export.hpp>
#include <ice/resp_value.hpp>
#include <optional>
#include <string_view>

namespace ice {

struct resp_redirect {
    enum class kinds : std::uint8_t {
        moved,  // the other node has the slot from now on: ask it for all keys of the slot
        ask,    // the slot moves: send ASKING and this request to the other node on one connection
    };

    kinds kind = kinds::moved;
    std::uint16_t slot = 0;  // 0 to 16383
    // A name, or an IPv4 or IPv6 address without brackets. If it is empty, it is the host of the
    // node that replied. A view of the reply's bytes.
    std::string_view host;
    std::uint16_t port = 0;
};

// Reads the errors "MOVED 3999 127.0.0.1:6381" and "ASK 3999 127.0.0.1:6381". None for any other
// value, for an error of these words that is malformed, and for the host "?", which a node sends
// if it does not know the name of the other.
ICE_API std::optional<resp_redirect> redirect_of(resp_view reply) noexcept;

}  // namespace ice
