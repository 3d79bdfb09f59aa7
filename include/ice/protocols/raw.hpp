// raw: whatever has arrived is one message. The default of a server action: with echo, RFC 862.
#pragma once

#include <ice/protocol.hpp>

namespace ice {

struct raw {
    parsed<std::string_view> parse(std::string_view input) {
        if (input.empty()) return need_more;
        return {input, input.size()};
    }

    void packet(std::string_view bytes, std::string& out) { out.append(bytes); }
};

}  // namespace ice
