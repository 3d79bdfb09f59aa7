// What the apps share on their command lines: addresses, exit codes, the line that says "ready".
#pragma once

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>
#include <ice/ice.hpp>
#include <stdexcept>
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

// For scripts that wait until the server is ready, and want to know which port 0 became. If stdout
// does not take it the server serves all the same.
inline void print_ready(const ice::listener_base& l) {
    try {
        fmt::print("listening on {}\n", l.endpoint());
        ice::flush_stdout();
    } catch (const std::runtime_error& e) { ice::print_error(e.what()); }
}

// Parses, then runs `body`: exit code 0, 1 with one sentence if it throws or what was to be printed
// could not be, 2 for wrong usage.
template <class Body>
int run_app(CLI::App& cli, int argc, char** argv, Body body) {
    cli.set_version_flag("--version", fmt::format("{} of ice {}", cli.get_name(), ice::version));
    ice::open_standard_streams();
    try {
        try {
            cli.parse(argc, argv);
            body();
        } catch (const CLI::ParseError& e) {  // --help and --version are among them
            if (cli.exit(e) != 0) return 2;
            ice::flush_stdout();
        }
        return 0;
    } catch (const std::exception& e) {
        ice::print_error(e.what());
        return 1;
    }
}
