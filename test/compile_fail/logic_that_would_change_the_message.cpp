// expect: ice: a logic is called with (message) or (message, ice::session<P>&), or has a member
// expect: dispatch of that shape; this one is not (is .protocol() missing?)
//
// A message is handed over as a value: a std::string& could only be a copy that nobody reads.
#include <ice/ice.hpp>

#ifdef RIGHT
std::string_view shorten(std::string_view line) {
#else
std::string_view shorten(std::string& line) {
#endif
    return line.substr(0, 3);
}

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}
                .protocol(ice::line{})
                .logic(shorten));
}
