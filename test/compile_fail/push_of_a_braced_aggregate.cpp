// expect: ice: give this message a name before the call, or its type a constructor
//
// In one expression with a wait: the text of the order would be freed twice.
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

ice::task<bool> both(ice::session<orders>& shop, ice::session<orders>& other) {
    const order pears{"pears", 4};
#ifdef RIGHT
    const order apples{"apples", 3};
    co_return shop.push(apples) || co_await other.send(pears);
#else
    co_return shop.push(order{"apples", 3}) || co_await other.send(pears);
#endif
}
