// expect: ice: a protocol has parse(std::string_view), which returns ice::parsed<M>,
// expect: and can be copied
//
// Half a protocol: it can be spoken, not understood.
#include <ice/ice.hpp>

struct shout {
#ifdef RIGHT
    ice::parsed<std::string_view> parse(std::string_view input) {
        if (input.empty()) return ice::need_more;
        return {input, input.size()};
    }
#endif
    void packet(std::string_view text, std::string& out) { out.append(text).append("!"); }
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(shout{}));
}
