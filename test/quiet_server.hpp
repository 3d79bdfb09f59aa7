// quiet_server: a server for tests whose log goes nowhere, with the constructors of ice::server.
#pragma once

#include <concepts>
#include <ice/server.hpp>
#include <string_view>
#include <utility>

struct quiet_server : ice::server {
    template <class... Where>
        requires std::constructible_from<ice::server, Where...>
    explicit quiet_server(Where&&... where) : ice::server(std::forward<Where>(where)...) {
        log().to([](ice::log_level, std::string_view) {});
    }
};
