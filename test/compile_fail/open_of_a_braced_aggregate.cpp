// expect: ice: give this message a name before the call, or its type a constructor
//
// The text of the protocol would be freed twice.
#include <ice/testing/sim.hpp>
#include <string>

#if !defined(RIGHT) && (defined(__clang__) || __GNUC__ >= 13)  // which destroy it once
#error "ice: give this message a name before the call, or its type a constructor"
#endif

struct prefixed {
    std::string prefix;
    ice::parsed<std::string_view> parse(std::string_view input) {
        if (input.empty()) return ice::need_more;
        return {input, input.size()};
    }
    void packet(std::string_view m, std::string& out) { out.append(prefix).append(m); }
};

ice::task<bool> visit(ice::testing::simulation& sim, ice::address shop) {
#ifdef RIGHT
    const prefixed polite{"please "};
    auto peer = co_await sim.open(shop, polite);
#else
    auto peer = co_await sim.open(shop, prefixed{"please "});
#endif
    co_return peer.has_value();
}
