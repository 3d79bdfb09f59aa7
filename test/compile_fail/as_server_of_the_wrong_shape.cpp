// expect: ice: as_server() of a protocol is called without arguments
//
// The danger: a hook that nobody calls: the protocol goes on as a client.
#include <ice/ice.hpp>

struct two_sided : ice::line {
#ifdef RIGHT
    void as_server() { is_server = true; }
#else
    void as_server(bool is) { is_server = is; }
#endif
    bool is_server = false;
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(two_sided{}));
}
