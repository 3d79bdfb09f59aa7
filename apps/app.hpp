// What the apps share: their command lines, and the line that says "ready".
#pragma once

#include <fmt/format.h>

#include <ice/ice.hpp>
#include <stdexcept>
#include <string>

#include "common/command_line.hpp"

// For scripts that wait until the server is ready, and want to know which port 0 became. If stdout
// does not take it the server serves all the same. `service`: which of several it is.
inline void print_ready(const ice::listener_base& l, const std::string& service = "") {
    try {
        fmt::print("{}listening on {}\n", service.empty() ? "" : service + " ", l.endpoint());
        ice::flush_stdout();
    } catch (const std::runtime_error& e) { ice::print_error(e.what()); }
}
