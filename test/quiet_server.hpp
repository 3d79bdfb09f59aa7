// quiet_server: a server for tests whose log goes nowhere.
#pragma once

#include <ice/server.hpp>
#include <memory>
#include <string_view>

struct quiet_server : ice::server {
    explicit quiet_server(const std::shared_ptr<ice::transport>& net) : ice::server(net) {
        log().to([](ice::log_level, std::string_view) {});
    }
};
