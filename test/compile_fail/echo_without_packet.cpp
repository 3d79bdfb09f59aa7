// expect: ice: the protocol has no packet(), or several that fit, for what this logic answers
//
// Without a logic the action echoes, and a protocol that only listens cannot.
#include <ice/ice.hpp>

struct syslog {
    ice::parsed<std::string_view> parse(std::string_view input) {
        if (input.empty()) return ice::need_more;
        return {input, input.size()};
    }
};

void add(ice::server& srv) {
    ice::tcp_server_action action{ice::address{"localhost", 9999}};
#ifdef RIGHT
    srv.add(std::move(action).protocol(syslog{}).logic([](std::string_view) {}));
#else
    srv.add(std::move(action).protocol(syslog{}));
#endif
}
