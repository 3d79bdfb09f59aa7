// Step 1: an echo server.
#include <ice/ice.hpp>

const ice::address SERVER{"localhost", 9999};

int main() {
    ice::server srv;
    srv.add(ice::tcp_server_action{SERVER});
    srv.run();
}
