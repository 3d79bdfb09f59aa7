// expect: ice: a protocol has parse(std::string_view), which returns ice::parsed<M>,
// expect: and can be copied
//
// Each connection gets its own copy: one that owns something alone cannot be given to all.
#include <ice/ice.hpp>
#include <memory>

struct counting : ice::raw {
#ifdef RIGHT
    std::shared_ptr<int> seen = std::make_shared<int>();
#else
    std::unique_ptr<int> seen = std::make_unique<int>();
#endif
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}.protocol(counting{}));
}
