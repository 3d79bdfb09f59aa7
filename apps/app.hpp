// What the apps share on their command lines: addresses, exit codes, the line that says "ready".
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <ice/ice.hpp>
#include <string>

// An option that takes host:port, [v6]:port or unix:/path.
inline void add_address(CLI::App& cli, const std::string& name, std::string& value,
                        const std::string& what) {
    cli.add_option(name, value, what)
        ->capture_default_str()
        ->type_name("ADDRESS")
        ->check([](const std::string& text) {
            const auto parsed = ice::address::parse(text);
            return parsed ? std::string() : parsed.error().message();
        });
}

// For scripts that wait until the server is ready, and want to know which port 0 became.
inline void print_ready(const ice::listener_base& l) {
    fmt::print("listening on {}\n", l.endpoint());
    std::fflush(stdout);
}

// Parses, then runs `body`: exit code 0, 1 with one sentence if it throws, 2 for wrong usage.
template <class Body>
int run_app(CLI::App& cli, int argc, char** argv, Body body) {
    cli.set_version_flag("--version", fmt::format("{} of ice {}", cli.get_name(), ice::version));
    try {
        cli.parse(argc, argv);
        body();
        return 0;
    } catch (const CLI::ParseError& e) {
        return cli.exit(e) == 0 ? 0 : 2;
    } catch (const std::exception& e) {
        fmt::print(stderr, "{}\n", e.what());
        return 1;
    }
}
