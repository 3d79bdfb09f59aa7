// The options of programs, by CLI11.
#include "command_line.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <exception>
#include <ice/address.hpp>
#include <ice/standard_streams.hpp>
#include <ice/version.hpp>
#include <map>

struct command_line::parser : CLI::App {
    using App::App;
};

command_line::command_line(const std::string& what, const std::string& name)
    : parser_(std::make_unique<parser>(what, name)) {}

command_line::~command_line() = default;

void command_line::add_address(const std::string& name, std::string& value,
                               const std::string& what) {
    parser_->add_option(name, value, what)
        ->capture_default_str()
        ->type_name("ADDRESS")
        ->check([](const std::string& text) {
            const auto parsed = ice::address::parse(text);
            return parsed ? std::string() : parsed.error().message();
        });
}

void command_line::add_text(const std::string& name, std::string& value, const std::string& what) {
    parser_->add_option(name, value, what)->capture_default_str();
}

void command_line::add_choice(const std::string& name, std::string& value,
                              const std::vector<std::string>& all, const std::string& what) {
    parser_->add_option(name, value, what)->capture_default_str()->check(CLI::IsMember(all));
}

void command_line::add_flag(const std::string& name, bool& value, const std::string& what) {
    parser_->add_flag(name, value, what);
}

template <class N>
void command_line::add_number(const std::string& name, N& value, const std::string& what) {
    parser_->add_option(name, value, what)->capture_default_str();
}
template void command_line::add_number(const std::string&, unsigned&, const std::string&);
template void command_line::add_number(const std::string&, unsigned long&, const std::string&);
template void command_line::add_number(const std::string&, unsigned long long&, const std::string&);
template void command_line::add_number(const std::string&, double&, const std::string&);

void command_line::add_count(const std::string& name, std::size_t& value, std::size_t least,
                             std::size_t most, const std::string& what) {
    parser_->add_option(name, value, what)->capture_default_str()->check(CLI::Range(least, most));
}

void command_line::add_bytes(const std::string& name, std::size_t& value, const std::string& what) {
    parser_->add_option(name, value, what)->check(CLI::PositiveNumber);
}

void command_line::add_time(const std::string& name, int& milliseconds,
                            const std::string& by_default, const std::string& what) {
    parser_->add_option(name, milliseconds, what)
        ->default_str(by_default)
        ->type_name("TIME")
        ->transform(CLI::AsNumberWithUnit(std::map<std::string, int>{{"ms", 1}, {"s", 1000}},
                                          CLI::AsNumberWithUnit::UNIT_REQUIRED))
        ->check(CLI::Range(1, 3'600'000));
}

std::optional<int> command_line::parse(int argc, char** argv) {
    const std::string version = fmt::format("{} of ice {}", parser_->get_name(), ice::version);
    parser_->set_version_flag("--version", version);  // here, so that --help shows it last
    try {
        parser_->parse(argc, argv);
        return std::nullopt;
    } catch (const CLI::ParseError& e) {  // --help and --version are among them
        if (parser_->exit(e) != 0) return 2;
    }
    try {
        ice::flush_stdout();
        return 0;
    } catch (const std::exception& e) {
        ice::print_error(e.what());
        return 1;
    }
}

int command_line::run(int argc, char** argv, const std::function<void()>& body) {
    ice::open_standard_streams();
    if (const auto ended = parse(argc, argv)) return *ended;
    try {
        body();
        return 0;
    } catch (const std::exception& e) {
        ice::print_error(e.what());
        return 1;
    }
}
