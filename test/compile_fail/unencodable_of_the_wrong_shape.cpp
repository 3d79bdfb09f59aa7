// expect: ice: unencodable() of a logic is called with (ice::error_code, ice::session<P>&),
// expect: and returns a message that the protocol can packet()
//
// The danger: a hook that nobody calls, and connections that end as if there were none.
#include <ice/ice.hpp>

struct wordy {
    std::string operator()(std::string_view line) { return std::string(line); }
#ifdef RIGHT
    std::string_view unencodable(ice::error_code, ice::session<ice::line>&) { return "error"; }
#else
    std::string_view unencodable(ice::error_code) { return "error"; }
#endif
};

void add(ice::server& srv) {
    srv.add(ice::tcp_server_action{ice::address{"localhost", 9999}}
                .protocol(ice::line{})
                .logic(wordy{}));
}
