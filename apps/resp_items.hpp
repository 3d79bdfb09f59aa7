// resp_items: what apps/keyvalue does for clients of Redis: five of its commands, on a bounded_map.
#pragma once

#include <fmt/format.h>

#include <ice/protocols/resp_requests.hpp>
#include <iterator>
#include <string>
#include <string_view>

#include "bounded_map.hpp"

// Answers with constants, with views of the request or of what is kept: most copy nothing. What is
// marked is called once, but a compiler knows that only within one file: 40 instructions for a SET.
struct resp_items {
    using resp_view = ice::resp_view;

    bounded_map values;      // each as the bytes that it came in, which are the answer to GET
    ice::resp_value made{};  // the last answer that is none of those

    [[gnu::always_inline]] resp_view operator()(resp_view request) {
        const std::size_t n = request.size();
        const auto first = request.begin(), rest = std::next(first);
        const std::string_view name = (*first).text();
        if (ice::resp_names(name, "get")) return n == 2 ? get(*rest) : wrong(name);
        if (ice::resp_names(name, "set"))
            return n == 3 ? set(*rest, *std::next(rest)) : wrong(name);
        if (ice::resp_names(name, "del")) return n >= 2 ? del(rest) : wrong(name);
        if (ice::resp_names(name, "ping") && n == 1) return resp_view("+PONG\r\n");
        if (ice::resp_names(name, "ping") || ice::resp_names(name, "echo"))
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
    [[gnu::always_inline]] resp_view set(resp_view key, resp_view value) {
        const bool kept = values.keep(key.text(), value.bytes());
        return resp_view(kept ? "+OK\r\n" : "-OOM there is no room: DEL something\r\n");
    }
    resp_view del(resp_view::iterator key) {
        int gone = 0;
        for (; key != resp_view::iterator(); ++key) gone += values.forget((*key).text()) ? 1 : 0;
        return made = ice::resp_integer(gone);
    }
};
