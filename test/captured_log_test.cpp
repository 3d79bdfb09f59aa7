// captured_log: a test looks at the lines of a server's log.
#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/captured_log.hpp>
#include <ice/testing/sim.hpp>
#include <optional>
#include <stdexcept>
#include <string_view>

namespace {

using namespace std::chrono_literals;
using ice::testing::captured_log;

const ice::address SERVER{"127.0.0.1", 9999};

std::string_view throws(std::string_view) { throw std::runtime_error("on purpose"); }

}  // namespace

BOOST_AUTO_TEST_SUITE(captured_log_test)

BOOST_AUTO_TEST_CASE(the_lines_of_a_server_are_kept_in_order) {
    ice::testing::simulation sim;
    ice::server srv(sim.net());
    captured_log lines(srv.log());
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(throws));
    const auto reply = sim.run(sim.ask<ice::line>(SERVER, "question"));
    BOOST_TEST(!reply);
    BOOST_TEST(lines.count("on purpose") == 1U, lines.text());
    BOOST_TEST(lines.contains("on purpose"));
    BOOST_TEST(!lines.contains("by accident"));
    const auto& all = lines.lines();
    const auto threw = std::ranges::find_if(
        all, [](const auto& l) { return l.text.find("on purpose") != l.text.npos; });
    BOOST_REQUIRE(threw != all.end());
    BOOST_TEST((threw->level == ice::log_level::error));
    BOOST_TEST(lines.text().find("error: " + threw->text + "\n") != std::string::npos);
    lines.clear();
    BOOST_TEST(lines.lines().empty());
    BOOST_TEST(lines.text() == "");
}

BOOST_AUTO_TEST_CASE(lines_below_the_level_are_left_out) {
    ice::log log;
    const captured_log lines(log, ice::log_level::warning);
    log.write_always(ice::log_level::info, "quiet");
    log.write_always(ice::log_level::warning, "loud");
    log.write_always(ice::log_level::error, "louder");
    BOOST_TEST(lines.text() == "warning: loud\nerror: louder\n");
}

BOOST_AUTO_TEST_CASE(the_log_and_what_captures_it_may_end_in_any_order) {
    // The server writes lines while it ends, and a test may look at them after that.
    std::optional<ice::log> log(std::in_place);
    std::optional<captured_log> first(std::in_place, *log);
    first.reset();
    log->write_always(ice::log_level::info, "nobody looks");
    const captured_log second(*log);
    log->write_always(ice::log_level::info, "the last words");
    log.reset();
    BOOST_TEST(second.text() == "info: the last words\n");
}

BOOST_AUTO_TEST_SUITE_END()
