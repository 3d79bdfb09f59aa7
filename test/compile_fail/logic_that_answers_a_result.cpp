// expect: ice: the protocol has no packet(), or several that fit, for what this logic answers
//
// What an upstream gave may be an error, and the peer is owed an answer then too.
#include <ice/ice.hpp>

constexpr ice::pool_name<ice::line> store{"store"};

struct ask {
    ice::server& srv;

#ifdef RIGHT
    ice::task<std::string> operator()(std::string_view line) {
        auto reply = co_await srv.get(store).request(line);
        co_return reply.value_or("the store is down");
    }
#else
    ice::task<ice::result<std::string>> operator()(std::string_view line) {
        return srv.get(store).request(line);
    }
#endif
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}
                .protocol(ice::line{})
                .logic(ask{srv}));
}
