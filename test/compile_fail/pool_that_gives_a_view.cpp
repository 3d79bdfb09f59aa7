// expect: ice: what a pool's request gives owns its bytes
//
// A view of a reply would show a later reply: its connection goes back to the pool.
#include <ice/ice.hpp>
#include <string>

#ifdef RIGHT
constexpr ice::pool_name<ice::line, std::string> store{"store"};
#else
constexpr ice::pool_name<ice::line, std::string_view> store{"store"};
#endif

ice::task<std::string> ask(ice::server& srv) {
    auto reply = co_await srv.get(store).request("key");
    if (!reply) co_return "?";
    co_return std::string(*reply);
}
