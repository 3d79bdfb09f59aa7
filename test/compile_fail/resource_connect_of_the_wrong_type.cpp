// expect: ice: connect of a resource_action is a coroutine
//
// A driver's own error type would not tell the pool whether it has connected.
#include <ice/ice.hpp>

constexpr ice::resource_name<int> name{"numbers"};

#ifdef RIGHT
ice::task<ice::result<int>> connect(const ice::address&) { co_return 1; }
#else
ice::task<int> connect(const ice::address&) { co_return 1; }
#endif

void add(ice::server& srv) {
    srv.add(ice::resource_action{ice::address{"10.0.0.1", 1}, name, 3}.connect(connect));
}
