// expect: ice: the protocol has no packet(), or several that fit, for this message
//
// A pool of lines is asked with lines.
#include <ice/ice.hpp>

constexpr ice::pool_name<ice::line> store{"store"};

ice::task<std::string> ask(ice::server& srv, int key) {
#ifdef RIGHT
    auto reply = co_await srv.get(store).request(std::to_string(key));
#else
    auto reply = co_await srv.get(store).request(key);
#endif
    co_return reply.value_or("");
}
