// expect: ice: opened() and closed() of a logic are called with (ice::session<P>&)
//
// The danger: a hook that nobody calls, and nobody says so.
#include <ice/ice.hpp>

struct greeter {
#ifdef RIGHT
    void opened(ice::session<ice::line>& peer) { static_cast<void>(peer.push("welcome")); }
#else
    void opened(ice::uid) {}
#endif
    std::string_view operator()(std::string_view line) { return line; }
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}
                .protocol(ice::line{})
                .logic(greeter{}));
}
