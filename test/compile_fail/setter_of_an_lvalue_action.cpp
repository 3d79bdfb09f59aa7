// expect: ice: an action is built in one expression, srv.add(tcp_server_action{where}.logic(f)), or
// expect: by std::move(action).logic(f)
// Danger: "discards qualifiers" says nothing of the chain, and who stores an action has no hint.
#include <ice/ice.hpp>
#include <string>

std::string answer(std::string_view m) { return std::string(m); }

void f(ice::server& srv) {
    auto action = ice::tcp_server_action{ice::address("127.0.0.1", 0)}.protocol(ice::line{});
#ifdef RIGHT
    srv.add(std::move(action).logic(answer));
#else
    action.logic(answer);
    srv.add(std::move(action));
#endif
}
