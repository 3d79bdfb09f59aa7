// log: which lines it writes, which it only counts, and that no peer can forge a line.
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <ice/log.hpp>
#include <regex>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace std::chrono_literals;
using ice::log_level;

constexpr ice::time_point start{1000s};

struct fixture {
    fixture() {
        log.to([this](log_level level, std::string_view line) {
            levels.push_back(level);
            lines.emplace_back(line);
        });
    }
    // Writes it n times at that time; returns how many lines came of it.
    std::size_t write(int n, ice::duration when, std::string_view kind = "kind") {
        const auto before = lines.size();
        for (int i = 0; i < n; ++i) log.write(start + when, log_level::warning, kind, "text");
        return lines.size() - before;
    }

    ice::log log;
    std::vector<log_level> levels;
    std::vector<std::string> lines;
};

std::string all_bytes() {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    return all;
}

bool printable(std::string_view text) {
    for (const char c : text)
        if (c < ' ' || c > '~') return false;
    return true;
}

// While it lives, stderr is a pipe of one page.
class stderr_pipe {
public:
    stderr_pipe() : real_(::dup(STDERR_FILENO)) {
        BOOST_TEST_REQUIRE(::pipe2(ends_.data(), O_NONBLOCK | O_CLOEXEC) == 0);
        BOOST_TEST_REQUIRE(::fcntl(ends_[1], F_SETPIPE_SZ, 4096) == 4096);
        ::fcntl(ends_[1], F_SETFL, 0);  // a writer waits, as a rule
        ::dup2(ends_[1], STDERR_FILENO);
        ::close(ends_[1]);
    }
    ~stderr_pipe() {
        ::dup2(real_, STDERR_FILENO);
        ::close(real_);
        close_reader();
    }
    stderr_pipe(const stderr_pipe&) = delete;
    stderr_pipe& operator=(const stderr_pipe&) = delete;

    std::string read() {
        std::string text(8192, '\0');
        const auto n = ::read(ends_[0], text.data(), text.size());
        text.resize(n < 0 ? 0 : static_cast<std::size_t>(n));
        return text;
    }
    void close_reader() {
        if (ends_[0] >= 0) ::close(std::exchange(ends_[0], -1));
    }

private:
    std::array<int, 2> ends_{};
    int real_;
};

// While it lives, the process may open nothing.
class no_more_descriptors {
public:
    explicit no_more_descriptors(bool really) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        rlimit none = before_;
        if (really) none.rlim_cur = STDERR_FILENO + 1;
        ::setrlimit(RLIMIT_NOFILE, &none);
    }
    ~no_more_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    no_more_descriptors(const no_more_descriptors&) = delete;
    no_more_descriptors& operator=(const no_more_descriptors&) = delete;

private:
    rlimit before_{};
};

// What `act` writes to stderr.
template <class Act>
std::string stderr_of(Act act) {
    stderr_pipe pipe;
    act();
    return pipe.read();
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(log_, fixture)  // `log` is a function of C

BOOST_AUTO_TEST_CASE(every_byte_is_escaped_to_distinct_printable_ascii) {
    // A line end of a peer would forge a line of the log, an escape sequence would control a
    // terminal.
    std::set<std::string> texts;
    for (const char byte : all_bytes()) {
        const auto text = ice::escaped(std::string_view(&byte, 1));
        BOOST_TEST(printable(text));
        BOOST_TEST(texts.insert(text).second, text << " stands for two bytes");
    }
    BOOST_TEST(ice::escaped("plain ~ text") == "plain ~ text");
    BOOST_TEST(ice::escaped("\r\n\t") == "\\x0d\\x0a\\x09");
    BOOST_TEST(ice::escaped(std::string_view("\0", 1)) == "\\x00");
    BOOST_TEST(ice::escaped("\x7f\x80\xff") == "\\x7f\\x80\\xff");
    BOOST_TEST(ice::escaped("\\") == "\\\\");
    BOOST_TEST(ice::escaped("\\x0a") == "\\\\x0a", "written by the peer, not by us");
    BOOST_TEST(ice::escaped("") == "");
    BOOST_TEST(printable(ice::escaped(all_bytes())));
}

BOOST_AUTO_TEST_CASE(escaped_bytes_are_cut_at_the_given_number) {
    // A megabyte of a peer must not become a megabyte of the log.
    BOOST_TEST(ice::escaped("abc", 2) == "ab...");
    BOOST_TEST(ice::escaped("abc", 3) == "abc");
    BOOST_TEST(ice::escaped("abc", 4) == "abc");
    BOOST_TEST(ice::escaped("abc", 0) == "...");
    BOOST_TEST(ice::escaped("", 0) == "");
    BOOST_TEST(ice::escaped("\n\n", 1) == "\\x0a...");
    BOOST_TEST(ice::escaped(std::string(256, 'x')) == std::string(256, 'x'));
    BOOST_TEST(ice::escaped(std::string(257, 'x')) == std::string(256, 'x') + "...");
}

BOOST_AUTO_TEST_CASE(lines_below_the_level_are_not_written) {
    // The default level is info: debug has a line for each port scanner.
    const auto write_all = [&] {
        levels.clear();
        for (const auto level :
             {log_level::debug, log_level::info, log_level::warning, log_level::error})
            log.write(start, level, ice::name(level), "text");
        BOOST_TEST(log.writes(log_level::debug) == (levels.size() == 4U));
        BOOST_TEST(log.writes(log_level::warning) == (levels.size() >= 2U));
        return levels;
    };
    using list = std::vector<log_level>;
    BOOST_TEST((write_all() == list{log_level::info, log_level::warning, log_level::error}));
    log.level(log_level::error);
    BOOST_TEST((write_all() == list{log_level::error}));
    log.level(log_level::debug);
    BOOST_TEST(write_all().size() == 4U);
}

BOOST_AUTO_TEST_CASE(ten_lines_a_second_of_one_kind_are_written) {
    // A peer that breaks the protocol in a loop would fill the disk.
    BOOST_TEST(write(9, 0ms) == 9U);
    BOOST_TEST(write(1, 500ms) == 1U);
    BOOST_TEST(write(1, 999ms) == 0U, "the eleventh");
    BOOST_TEST(write(1000, 999ms) == 0U);
    BOOST_TEST(write(1, 1000ms) == 1U, "the next second");
    BOOST_TEST(write(20, 1000ms) == 9U);
    BOOST_TEST(write(20, 5s) == 10U);
}

BOOST_AUTO_TEST_CASE(the_next_written_line_says_how_many_were_left_out) {
    // Lines that are lost without a trace hide how often the event occurs.
    write(15, 0ms);
    for (const auto& line : lines) BOOST_TEST(line == "text");
    write(2, 1s);
    BOOST_TEST(lines[10] == "text (5 more of \"kind\" were not written)");
    BOOST_TEST(lines[11] == "text", "it is said once");
    write(9, 1s);
    write(1, 2s);
    BOOST_TEST(lines.back() == "text (1 more of \"kind\" were not written)");
}

BOOST_AUTO_TEST_CASE(one_kind_does_not_silence_another) {
    // A flood of failed accepts must not hide that a logic threw.
    write(100, 0ms, "flood");
    BOOST_TEST(write(10, 0ms, "other") == 10U);
    BOOST_TEST(write(1, 0ms, "flood") == 0U);
    BOOST_TEST(write(1, 1s, "other") == 1U);
    BOOST_TEST(lines.back() == "text", "the count is the other kind's");
}

BOOST_AUTO_TEST_CASE(lines_below_the_level_do_not_count) {
    // Otherwise lines that are not written would use up the ten of a second.
    for (int i = 0; i < 100; ++i) log.write(start, log_level::debug, "kind", "hidden");
    BOOST_TEST(write(10, 0ms) == 10U);
    write(1, 1s);
    BOOST_TEST(lines.back() == "text");
}

BOOST_AUTO_TEST_CASE(a_line_for_a_sink_has_no_line_end) {
    // A sink that adds its own would write empty lines.
    write(11, 0ms);
    write(1, 1s);
    for (const auto& line : lines) BOOST_TEST(line.find_first_of("\r\n") == line.npos);
}

BOOST_AUTO_TEST_CASE(without_a_sink_a_line_is_one_line_on_stderr) {
    // It has the date, the level, and exactly one line end.
    const auto text = stderr_of([] {
        ice::log fresh;
        fresh.write(start, log_level::warning, "kind", "said {} this");
        fresh.write(start, log_level::debug, "kind", "unsaid");
    });
    const std::regex shape(R"(\d\d\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ warning said \{\} this\n)");
    BOOST_TEST(std::regex_match(text, shape), text);
    BOOST_TEST(stderr_of([&] { write(1, 0ms); }) == "", "a sink takes its place");
}

BOOST_AUTO_TEST_CASE(a_line_whose_sink_throws_goes_to_stderr) {
    // The danger: the exception ends a connection, the accepting, or the server.
    ice::log own;
    int calls = 0;
    own.to([&](log_level, std::string_view) {
        if (++calls == 1) throw std::runtime_error("disk\nfull");
        if (calls == 2) throw 42;
    });
    const auto written = [&](const char* line) {
        return stderr_of([&] { own.write(start, log_level::warning, "kind", line); });
    };
    BOOST_TEST(written("one").ends_with(" warning one (the log's sink threw: disk\\x0afull)\n"));
    BOOST_TEST(written("two").ends_with(
        " warning two (the log's sink threw: something that is not a std::exception)\n"));
    BOOST_TEST(written("three") == "");
    calls = 0;
    const auto asked = stderr_of([&] { own.write_always(log_level::info, "four"); });
    BOOST_TEST(asked.find(" info four (the log's sink threw") != asked.npos, asked);
    BOOST_TEST(calls == 1);
}

BOOST_AUTO_TEST_CASE(a_line_has_at_most_pipe_buf_bytes) {
    // A longer line would be written in part, or wait until a reader makes room.
    const std::size_t head = std::string_view("2026-11-23T12:34:56Z warning ").size();
    const auto written = [&](std::size_t size) {
        const auto text = stderr_of([&] {
            ice::log fresh;
            fresh.write(start, log_level::warning, "kind", std::string(size - head - 1, 'x'));
        });
        BOOST_TEST(text.find('\n') == text.size() - 1);
        return text;
    };
    BOOST_TEST(written(4095).size() == 4095U);
    BOOST_TEST(written(4096).size() == 4096U);
    BOOST_TEST(written(4096).ends_with("xxxx\n"));
    BOOST_TEST(written(4097).size() == 4096U);
    BOOST_TEST(written(4097).ends_with("x...\n"));
    BOOST_TEST(written(100'000).size() == 4096U);
}

BOOST_AUTO_TEST_CASE(lines_that_stderr_does_not_take_are_counted_and_reported) {
    // A write into a full pipe would wait for its reader, and with it all connections.
    const std::string page(3000, 'x');  // a second one does not fit into the pipe
    for (const bool may_open : {true, false}) {
        stderr_pipe pipe;
        const no_more_descriptors none(!may_open);
        {
            ice::log fresh;
            fresh.write_always(log_level::info, page);
            BOOST_TEST(pipe.read().ends_with("xxx\n"));
            for (int i = 0; i < 3; ++i) fresh.write_always(log_level::info, page);
            const auto first = pipe.read();
            BOOST_TEST(first.size() > page.size());
            BOOST_TEST(first.size() < page.size() + 100);
            fresh.write_always(log_level::info, "fits");
            const auto second = pipe.read();
            BOOST_TEST(second.substr(20, second.find('\n') - 20) ==
                       " warning 2 lines of the log were dropped: stderr did not take them");
            BOOST_TEST(second.ends_with(" info fits\n"));
            fresh.write_always(log_level::info, "next");
            BOOST_TEST(pipe.read().find("dropped") == std::string::npos, "it is said once");
            for (int i = 0; i < 3; ++i) fresh.write_always(log_level::info, page);
            pipe.read();
        }
        BOOST_TEST(pipe.read().find(" lines of the log were dropped") != std::string::npos,
                   "its end tells too");
    }
}

BOOST_AUTO_TEST_CASE(a_stderr_without_a_reader_raises_no_signal) {
    // SIGPIPE would end a program that logs before the first add().
    const auto before = std::signal(SIGPIPE, SIG_DFL);
    for (const bool may_open : {true, false}) {
        stderr_pipe pipe;
        const no_more_descriptors none(!may_open);
        pipe.close_reader();
        ice::log fresh;
        fresh.write_always(log_level::info, "to nobody");
    }
    std::signal(SIGPIPE, before);
}

BOOST_AUTO_TEST_CASE(a_hundred_kinds_are_distinguished_and_others_are_one) {
    // Each error of a protocol is a kind: a peer that causes new ones would fill the memory.
    for (int i = 0; i < 100; ++i) BOOST_TEST(write(1, 0ms, "kind " + std::to_string(i)) == 1U);
    BOOST_TEST(write(11, 999ms, "kind 100") == 10U);
    BOOST_TEST(write(1, 999ms, "kind 101") == 0U, "one of the others");
    BOOST_TEST(write(11, 999ms, "kind 99") == 9U, "it is known");
    // Those of the second before make room; what they still have to tell is not lost.
    BOOST_TEST(write(11, 1000ms, "kind 101") == 10U, "it is known now");
    std::size_t known = 0;
    for (int i = 0; i < 100; ++i) known += write(1, 1001ms, "new kind " + std::to_string(i));
    BOOST_TEST(known == 98U, "beside it and the others");
    BOOST_TEST(write(1, 1999ms, "kind 102") == 1U);
    BOOST_TEST(lines.back() == "text (6 more of \"other kinds\" were not written)");
}

BOOST_AUTO_TEST_CASE(the_first_64_bytes_of_a_kind_count) {
    const std::string kind(64, 'k');
    BOOST_TEST(write(10, 0ms, kind + "1") == 10U);
    BOOST_TEST(write(1, 0ms, kind + "2") == 0U);
    BOOST_TEST(write(1, 0ms, kind.substr(0, 63)) == 1U);
}

BOOST_AUTO_TEST_CASE(each_level_has_a_name) {
    // Every line has one.
    BOOST_TEST(ice::name(log_level::debug) == "debug");
    BOOST_TEST(ice::name(log_level::info) == "info");
    BOOST_TEST(ice::name(log_level::warning) == "warning");
    BOOST_TEST(ice::name(log_level::error) == "error");
}

BOOST_AUTO_TEST_SUITE_END()
