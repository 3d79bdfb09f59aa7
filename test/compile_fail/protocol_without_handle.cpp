// expect: ice: a protocol with a message_type and no parse() has
// expect: handle(std::string_view, ice::session<P>&), which returns a task of
// expect: ice::parsed<message_type>
//
// parse() takes what no connection has, so this is taken for a protocol with handle().
#include <ice/ice.hpp>

struct words {
    using message_type = std::string;

#ifdef RIGHT
    ice::parsed<std::string> parse(std::string_view input){
#else
    ice::parsed<std::string> parse(std::string& input) {
#endif
        if (input.empty()) return ice::need_more;
    return {std::string(input), input.size()};
} void packet(std::string_view text, std::string& out) { out.append(text); }
}
;

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(words{}));
}
