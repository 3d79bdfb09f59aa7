// expect: ice: the name of this pool says that it speaks another protocol
//
// Whoever asks by that name would read the replies wrongly.
#include <ice/ice.hpp>

constexpr ice::pool_name<ice::telnet> timeserver{"timeserver"};

void add(ice::server& srv) {
#ifdef RIGHT
    const ice::telnet spoken(100);
#else
    const ice::line spoken("\n");
#endif
    srv.add(
        ice::tcp_client_action{ice::address{"localhost", 10000}, timeserver, 3}.protocol(spoken));
}
