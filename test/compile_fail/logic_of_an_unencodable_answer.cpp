// expect: ice: the protocol has no packet(), or several that fit, for what this logic answers
//
// A line is text: how a number is written is for the logic to say.
#include <ice/ice.hpp>

#ifdef RIGHT
std::string length(std::string_view line) { return std::to_string(line.size()); }
#else
std::size_t length(std::string_view line) { return line.size(); }
#endif

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}
                .protocol(ice::line{})
                .logic(length));
}
