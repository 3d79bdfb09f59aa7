// expect: ice: all coroutines of first_of() return the same type
//
// It returns the outcome of one of them, whichever comes first.
#include <ice/ice.hpp>

ice::task<int> number() { co_return 1; }
ice::task<double> fraction() { co_return 0.5; }

ice::task<> use(ice::server& srv) {
#ifdef RIGHT
    const auto got =
        co_await ice::first_of(srv.within(std::chrono::seconds(1)), number(), number());
#else
    const auto got =
        co_await ice::first_of(srv.within(std::chrono::seconds(1)), number(), fraction());
#endif
    if (!got) co_return;
}
