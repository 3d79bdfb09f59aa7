// expect: ice: a coroutine answers what owns its bytes
//
// A view of the message is said: it lives until the answer is packed.
#include <ice/ice.hpp>
#include <optional>

#ifdef RIGHT
using answer = ice::task<std::optional<ice::borrowed<std::string_view>>>;
#else
using answer = ice::task<std::optional<std::string_view>>;
#endif

answer same(std::string_view line) {
    if (line == "quiet") co_return std::nullopt;
    co_return line;
}

void add(ice::server& srv) {
    srv.add(
        ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(ice::line{}).logic(same));
}
