// session::spawn(): coroutines that run beside a logic, and end before its session.
#include <fmt/format.h>

#include <algorithm>
#include <asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/protocols/line.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::simulation;
using line_session = ice::session<ice::line>;

const ice::address SERVER{"127.0.0.1", 9999};

// A periodic ping: what dangled when it was spawned on the executor.
struct pings {
    std::vector<std::string>& seen;

    void opened(line_session& peer) { peer.spawn(ping(peer, seen)); }
    std::string operator()(std::string_view text, line_session& peer) {
        if (text == "throw") peer.spawn(throws(peer));
        if (text == "quit") {
            peer.close();
            peer.spawn(ping(peer, seen));
        }
        return std::string(text);
    }
    void closed(line_session& peer) {
        seen.emplace_back("closed");
        peer.spawn(ping(peer, seen));
    }

    struct end {
        std::vector<std::string>& seen;
        line_session& peer;
        ~end() { seen.push_back(fmt::format("ended {}", peer.uid())); }
    };
    static ice::task<> ping(line_session& peer, std::vector<std::string>& seen) {
        const end told{seen, peer};
        for (;;) {
            co_await peer.sleep(30s);
            if (peer.push("ping")) co_return;
        }
    }
    static ice::task<> throws(line_session& peer) {
        co_await peer.sleep(1s);
        throw std::runtime_error("no luck");
    }
};

// Its own wait cannot be cancelled, so it is there until the loop destroys it.
struct stubborn : pings {
    void opened(line_session& peer) { peer.spawn(wait(peer, seen)); }

    static ice::task<> wait(line_session& peer, std::vector<std::string>& seen) {
        const end told{seen, peer};
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        ice::event never(peer.executor());
        co_await never.wait();
    }
};

// Waits for something of its own, which nothing ends.
struct slow : pings {
    ice::task<std::string> operator()(std::string_view text, line_session& peer) {
        std::string answer(text);
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await peer.sleep(60s);
        peer.spawn(ping(peer, seen));
        co_return answer;
    }
};

struct fixture {
    fixture() {
        srv.log().to([this](ice::log_level level, std::string_view line) {
            if (level == ice::log_level::error) errors.emplace_back(line);
        });
    }
    std::unique_ptr<line_session> open() { return sim.run(sim.open<ice::line>(SERVER)).value(); }
    std::string next(line_session& peer) {
        const auto got = sim.run(peer.receive());
        return got ? std::string(*got) : got.error().message();
    }

    std::vector<std::string> seen, errors;  // first: coroutines use them until the end
    simulation sim;
    ice::server srv{sim.net()};
    ice::listener<ice::line>& l = srv.add(ice::tcp_server_action{SERVER}
                                              .protocol(ice::line{})
                                              .logic(pings{seen})
                                              .timeouts({.idle = ice::no_timeout}));
};

const std::vector<std::string> in_order{"ended #1", "closed"};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(session_spawn, fixture)

BOOST_AUTO_TEST_CASE(a_ping_runs_until_its_peer_leaves_and_ends_before_closed) {
    auto peer = open();
    const auto began = sim.now();
    for (int i = 0; i < 3; ++i) BOOST_TEST(next(*peer) == "ping");
    BOOST_TEST((sim.now() - began > 89s));
    BOOST_TEST(seen.empty());
    peer.reset();
    sim.run_for(1s);
    BOOST_TEST(seen == in_order, boost::test_tools::per_element());
    BOOST_TEST(l.size() == 0u);
    BOOST_TEST(errors.empty(), "being cancelled is no failure");
}

BOOST_AUTO_TEST_CASE(a_coroutine_ends_with_its_own_session_only) {
    auto first = open();
    auto second = open();
    first.reset();
    sim.run_for(1s);
    BOOST_TEST(seen == in_order, boost::test_tools::per_element());
    BOOST_TEST(next(*second) == "ping");
}

BOOST_AUTO_TEST_CASE(the_report_counts_them) {
    auto peer = open();
    sim.run_for(1s);
    const auto lines = l.report();
    BOOST_TEST_REQUIRE(lines.size() == 2u);
    BOOST_TEST(lines[1].ends_with(", 1 coroutines spawned"), lines[1]);
}

// The danger: the exception is lost, and the peer gets no further ping.
BOOST_AUTO_TEST_CASE(an_exception_closes_the_connection_and_is_counted) {
    auto peer = open();
    BOOST_TEST(!sim.run(peer->send("throw")));
    BOOST_TEST(next(*peer) == "throw");
    BOOST_TEST(next(*peer) == make_error_code(ice::errc::closed).message());
    peer.reset();
    sim.run_for(1s);
    BOOST_TEST(seen == in_order, boost::test_tools::per_element());
    BOOST_TEST(l.counters().logic_threw == 1u);
    BOOST_TEST_REQUIRE(errors.size() == 1u);
    BOOST_TEST(errors[0].ends_with("its logic threw: no luck"), errors[0]);
}

BOOST_AUTO_TEST_CASE(after_close_nothing_is_spawned) {
    auto peer = open();
    BOOST_TEST(!sim.run(peer->send("quit")));
    BOOST_TEST(next(*peer) == "quit");
    sim.run_for(1s);
    BOOST_TEST(seen == in_order, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_drain_and_a_stop_end_the_coroutine) {
    auto drained = open();
    srv.drain(ice::no_timeout);
    sim.run_for(1s);
    BOOST_TEST(seen == in_order, boost::test_tools::per_element());
    seen.clear();
    quiet_server other(sim.host("10.0.0.1"));
    const ice::address there{"10.0.0.1", 1};
    auto& stopped =
        other.add(ice::tcp_server_action{there}.protocol(ice::line{}).logic(pings{seen}));
    auto peer = sim.run(sim.open<ice::line>(there)).value();
    sim.run_for(1s);
    other.stop();
    sim.run_for(1ms);
    BOOST_TEST(seen == in_order, boost::test_tools::per_element());
    BOOST_TEST(stopped.size() == 0u);
}

// The danger: the loop ends while a logic waits, and destroys the session before the coroutine that
// uses it.
BOOST_AUTO_TEST_CASE(a_stop_ends_the_coroutine_while_the_logic_waits) {
    quiet_server other(sim.host("10.0.0.1"));
    const ice::address there{"10.0.0.1", 1};
    other.add(ice::tcp_server_action{there}.protocol(ice::line{}).logic(slow{{seen}}));
    auto peer = sim.run(sim.open<ice::line>(there)).value();
    BOOST_TEST(!sim.run(peer->send("x")));
    sim.run_for(1s);
    other.stop();
    sim.run_for(1ms);
    BOOST_TEST(seen == std::vector<std::string>{"ended #1"}, boost::test_tools::per_element());
    sim.run_for(1min);
    BOOST_TEST(seen == in_order, boost::test_tools::per_element());
}

// The danger: the session is gone when the loop destroys what still uses it. Asio destroys first
// the wait that began last, and that is the session's for the end of what it has spawned.
BOOST_AUTO_TEST_CASE(a_session_lives_as_long_as_what_it_has_spawned) {
    {
        simulation own;
        ice::server other(own.net());
        other.log().to([](ice::log_level, std::string_view) {});
        auto& stopped =
            other.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(stubborn{{seen}}));
        auto gone = own.run(own.open<ice::line>(SERVER)).value();
        auto stays = own.run(own.open<ice::line>(SERVER)).value();
        own.run_for(1s);
        gone.reset();
        own.run_for(1s);
        BOOST_TEST(stopped.size() == 2u, "it waits for what it has spawned");
        other.stop();
        own.run_for(1s);
        BOOST_TEST(seen.empty());
    }
    std::sort(seen.begin(), seen.end());
    BOOST_TEST(seen == (std::vector<std::string>{"ended #1", "ended #2"}),
               boost::test_tools::per_element());
}

// Callers of a pool share its sessions: none of them may leave a coroutine there.
BOOST_AUTO_TEST_CASE(a_session_without_a_listener_cannot_spawn) {
    auto peer = open();
    BOOST_CHECK_THROW(peer->spawn(pings::ping(*peer, seen)), std::logic_error);
}

BOOST_AUTO_TEST_SUITE_END()
