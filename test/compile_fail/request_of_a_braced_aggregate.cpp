// expect: ice: give this message a name before the call, or its type a constructor
//
// The text of the order would be freed twice.
#include <ice/ice.hpp>
#include <string>

#if !defined(RIGHT) && (defined(__clang__) || __GNUC__ >= 13)  // which destroy it once
#error "ice: give this message a name before the call, or its type a constructor"
#endif

struct order {
    std::string what;
    int count = 0;
};

struct orders {
    ice::parsed<std::string_view> parse(std::string_view input) {
        if (input.empty()) return ice::need_more;
        return {input, input.size()};
    }
    void packet(const order& o, std::string& out) { out.append(o.what); }
};

constexpr ice::pool_name<orders> shop{"shop"};

ice::task<std::string> buy(ice::server& srv) {
#ifdef RIGHT
    const order apples{"apples", 3};
    auto reply = co_await srv.get(shop).request(apples);
#else
    auto reply = co_await srv.get(shop).request(order{"apples", 3});
#endif
    co_return reply.value_or("");
}
