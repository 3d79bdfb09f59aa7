// expect: ice: the protocol has no packet(), or several that fit, for what this logic answers
//
// The same through a task and an optional: what stands in them is what must be packable.
#include <ice/ice.hpp>

struct length {
#ifdef RIGHT
    ice::task<std::optional<std::string>> dispatch(std::string_view line) {
        co_return std::to_string(line.size());
    }
#else
    ice::task<std::optional<std::size_t>> dispatch(std::string_view line) { co_return line.size(); }
#endif
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}
                .protocol(ice::line{})
                .logic(length{}));
}
