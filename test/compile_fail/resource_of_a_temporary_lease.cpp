// expect: deleted
//
// The lease ends with the expression: another caller would have the same connection.
#include <ice/ice.hpp>

ice::task<> use(ice::resource_pool<int>& pool) {
    auto leased = co_await pool.acquire();
#ifdef RIGHT
    int& number = **leased;
#else
    int& number = **std::move(leased);
#endif
    ++number;
}
