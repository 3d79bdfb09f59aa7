// expect: ice: converse() of a logic is called with (ice::session<P>&), and returns an ice::task<>
// Danger: a conversation that the session never calls, and a peer that waits for its first word.
#include <ice/ice.hpp>

struct greeter {
#ifdef RIGHT
    ice::task<> converse(ice::session<ice::line>& peer){
#else
    ice::task<> converse(ice::session<ice::raw>& peer) {
#endif
        const auto unsent = co_await peer.send(std::string_view("hello"));
    static_cast<void>(unsent);
}
}
;

void f(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address("127.0.0.1", 0)}
                .protocol(ice::line{})
                .logic(greeter{}));
}
