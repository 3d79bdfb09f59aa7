// expect: ice: a protocol has parse(std::string_view), which returns ice::parsed<M>,
// expect: and can be copied
//
// An optional says nothing of how many bytes the message took.
#include <ice/ice.hpp>

struct byte {
#ifdef RIGHT
    ice::parsed<char> parse(std::string_view input) {
        if (input.empty()) return ice::need_more;
        return {input.front(), 1};
    }
#else
    std::optional<char> parse(std::string_view input) {
        if (input.empty()) return std::nullopt;
        return input.front();
    }
#endif
    void packet(char c, std::string& out) { out.push_back(c); }
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(byte{}));
}
