// A user's own protocol: lines that end with CR LF. No I/O.
#pragma once

#include <ice/protocol.hpp>

#include <string>
#include <string_view>

struct telnet {
    ice::parsed<std::string_view> parse(std::string_view input) {
        auto end = input.find("\r\n", searched);
        searched = end == input.npos && !input.empty() ? input.size() - 1 : 0;
        if (end == input.npos) return ice::need_more;
        return {input.substr(0, end), end + 2};
    }

    void packet(std::string_view line, std::string& out) { out.append(line).append("\r\n"); }

    std::size_t searched = 0;  // in the bytes before it no line ends
};
