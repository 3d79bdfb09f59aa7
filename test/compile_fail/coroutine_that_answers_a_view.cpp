// expect: ice: a coroutine answers what owns its bytes
//
// The text would be gone with the coroutine before it is sent.
#include <ice/ice.hpp>
#include <string>

#ifdef RIGHT
using answer = ice::task<std::string>;
#else
using answer = ice::task<std::string_view>;
#endif

answer greet(std::string_view name) {
    const std::string text = "hello " + std::string(name);
    co_return text;
}

void add(ice::server& srv) {
    srv.add(
        ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(ice::line{}).logic(greet));
}
