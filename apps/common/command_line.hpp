// command_line: the options of a program, its --help and --version, and its exit codes. It hides
// CLI11, which is large: one source includes it, and no program.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

class command_line {
public:
    command_line(const std::string& what, const std::string& name);
    ~command_line();

    // Each add function adds an option that sets `value`. What `value` is before is the default,
    // which --help shows. `value` must be valid until parse() or run() has returned.

    // host:port, [v6]:port or unix:/path.
    void add_address(const std::string& name, std::string& value, const std::string& what);
    void add_text(const std::string& name, std::string& value, const std::string& what);
    void add_choice(const std::string& name, std::string& value,
                    const std::vector<std::string>& all, const std::string& what);
    void add_flag(const std::string& name, bool& value, const std::string& what);
    // N is double or an unsigned integer.
    template <class N>
    void add_number(const std::string& name, N& value, const std::string& what);
    void add_count(const std::string& name, std::size_t& value, std::size_t least, std::size_t most,
                   const std::string& what);
    // 1 or more. --help does not show the default, which is a long number: `what` does.
    void add_bytes(const std::string& name, std::size_t& value, const std::string& what);
    // In ms or s, such as 500ms, from 1 ms to an hour. `by_default` is the text of `value`.
    void add_time(const std::string& name, int& milliseconds, const std::string& by_default,
                  const std::string& what);

    // Returns the exit code if the program ends here: 0 after --help or --version, 1 if stdout has
    // not taken that text, 2 for wrong usage.
    std::optional<int> parse(int argc, char** argv);

    // Parses, then runs `body`. Returns the exit code: that of parse(), or 0, or 1 with one
    // sentence on stderr if `body` throws.
    int run(int argc, char** argv, const std::function<void()>& body);

private:
    struct parser;
    std::unique_ptr<parser> parser_;
};
