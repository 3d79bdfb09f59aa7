// expect: ice: call .protocol() before .logic():
// expect: what a logic is called with depends on the protocol
//
// It compiles for raw, so the logic would be judged by the wrong protocol.
#include <ice/ice.hpp>

std::string greet(std::string_view name) { return "hello " + std::string(name); }

void add(ice::server& srv) {
    ice::tcp_server_action action{ice::address{"localhost", 9999}};
#ifdef RIGHT
    srv.add(std::move(action).protocol(ice::line{}).logic(greet));
#else
    srv.add(std::move(action).logic(greet).protocol(ice::line{}));
#endif
}
