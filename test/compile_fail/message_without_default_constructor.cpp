// expect: ice: a message type has a default constructor:
//
// parsed<M> holds an empty M while there is no message.
#include <ice/ice.hpp>

struct command {
#ifdef RIGHT
    command() = default;
#endif
    explicit command(char c) : code(c) {}
    char code = 0;
};

struct commands {
    ice::parsed<command> parse(std::string_view input) {
        if (input.empty()) return ice::need_more;
        return {command(input.front()), 1};
    }
    void packet(command c, std::string& out) { out.push_back(c.code); }
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(commands{}));
}
