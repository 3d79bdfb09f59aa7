// expect: ice: give this message a name before the call, or its type a constructor
//
// The text of the order would be freed twice.
#include <ice/testing/sim.hpp>
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

ice::task<std::string> buy(ice::testing::simulation& sim, ice::address shop) {
#ifdef RIGHT
    const order apples{"apples", 3};
    auto reply = co_await sim.ask<orders>(shop, apples);
#else
    auto reply = co_await sim.ask<orders>(shop, order{"apples", 3});
#endif
    co_return reply.value_or("");
}
