// expect: ice: a logic is called with (message) or (message, ice::session<P>&), or has a member
// expect: dispatch of that shape; this one is not (is .protocol() missing?)
//
// The logic speaks telnet; its action was given lines.
#include <ice/ice.hpp>

struct room {
    void dispatch(std::string_view said, ice::session<ice::telnet>& peer) {
        static_cast<void>(peer.push(said));
    }
};

void add(ice::server& srv) {
#ifdef RIGHT
    const ice::telnet spoken;
#else
    const ice::line spoken;
#endif
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(spoken).logic(room{}));
}
