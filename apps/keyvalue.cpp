// keyvalue: keeps values under keys, in memory, for whoever speaks Redis' language: redis-cli does.
#include "app.hpp"
#include "bounded_map.hpp"

namespace {

using ice::resp_view, ice::resp_names;

// Answers with constants, with views of the request or of what is kept: most copy nothing.
struct keyvalue {
    bounded_map values;      // each as the bytes that it came in, which are the answer to GET
    ice::resp_value made{};  // the last answer that is none of those

    resp_view operator()(resp_view request) {
        const std::size_t n = request.size();
        const auto first = request.begin(), rest = std::next(first);
        const std::string_view name = (*first).text();
        if (resp_names(name, "get")) return n == 2 ? get(*rest) : wrong(name);
        if (resp_names(name, "set")) return n == 3 ? set(*rest, *std::next(rest)) : wrong(name);
        if (resp_names(name, "del")) return n >= 2 ? del(rest) : wrong(name);
        if (resp_names(name, "ping") && n == 1) return resp_view("+PONG\r\n");
        if (resp_names(name, "ping") || resp_names(name, "echo"))
            return n == 2 ? *rest : wrong(name);
        return wrong(name, "unknown command");
    }

    resp_view wrong(std::string_view name, std::string_view is = "wrong number of arguments for") {
        return made = ice::resp_error(fmt::format("ERR {} '{}'", is, name.substr(0, 128)));
    }
    resp_view get(resp_view key) {
        const std::string* value = values.find(key.text());
        return value ? resp_view(*value) : resp_view();
    }
    resp_view set(resp_view key, resp_view value) {
        const bool kept = values.keep(key.text(), value.bytes());
        return resp_view(kept ? "+OK\r\n" : "-OOM there is no room: DEL something\r\n");
    }
    resp_view del(resp_view::iterator key) {
        int gone = 0;
        for (; key != resp_view::iterator(); ++key) gone += values.forget((*key).text()) ? 1 : 0;
        return made = ice::resp_integer(gone);
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:6379";
    std::size_t memory = 64 * 1024 * 1024;

    command_line cli{"Keeps values under keys; speaks Redis' language (RESP2).", "keyvalue"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_bytes("--memory", memory, "bytes to keep (64 MiB)");

    return cli.run(argc, argv, [&] {
        ice::server srv;
        print_ready(srv.add(ice::tcp_server_action{ice::address(listen)}
                                .protocol(ice::resp_requests{})
                                .logic(keyvalue{bounded_map(memory)})));
        srv.run();
    });
}
