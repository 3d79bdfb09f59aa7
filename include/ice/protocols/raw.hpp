// raw: the bytes that have arrived are one message. The default of a server action; with the logic
// echo, which is the default too, it is the Echo Protocol (RFC 862).
#pragma once

#include <ice/protocol.hpp>

namespace ice {

// No message is ever unfinished, so limits::message and timeouts::message do not apply. How a
// peer's bytes are split into messages depends on the network: two writes may arrive as one message
// and one write as two.
struct raw {
    // A view of all bytes that have arrived. It is valid until the logic's answer is packed.
    parsed<std::string_view> parse(std::string_view input) {
        if (input.empty()) return need_more;
        return {input, input.size()};
    }

    // Appends the bytes as they are. Never fails.
    void packet(std::string_view bytes, std::string& out) { out.append(bytes); }
};

}  // namespace ice
