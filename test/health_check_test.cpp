// health_check: which idle connections the pool checks, and what happens after a wrong or missing
// reply; in virtual time.
#include <ice/health_check.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

// An upstream that says how it is when it is asked "ping".
struct fixture : asking {
    fixture() {
        serve([this](std::string_view m, ice::session<ice::line>& peer) -> ice::task<std::string> {
            if (m != "ping") co_return std::string(m);
            ++pings;
            co_await peer.sleep(delay);
            co_return says;
        });
    }
    ice::pool<ice::line>& add(std::size_t size, std::size_t depth = 1) {
        return open(
            ice::tcp_client_action{far, name, size}
                .limits({.pipeline = depth})
                .timeouts({.idle = 1h, .check = 100ms})
                .breaker({.failures = 3, .first = 10ms, .cap = 10ms})
                .health_check("ping", 10s, [](std::string_view reply) { return reply == "well"; }));
    }
    // How long a reply takes.
    ice::duration wait() {
        const auto begun = sim.now();
        BOOST_TEST(!ask());
        return sim.now() - begun;
    }

    std::string says = "well";
    ice::duration delay{};
    int pings = 0;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(health_check, fixture)

BOOST_AUTO_TEST_CASE(a_connection_idle_for_the_interval_is_checked_and_stays) {
    auto& p = add(1);
    sim.run_for(9990ms);
    BOOST_TEST(pings == 0);
    sim.run_for(20ms);
    BOOST_TEST(pings == 1);
    BOOST_TEST(p.idle() == 1U);
    sim.run_for(50s);
    BOOST_TEST(pings == 6);
    BOOST_TEST(p.counters().checks == 6U);
    BOOST_TEST(p.counters().checks_failed == 0U);
    BOOST_TEST(p.counters().connects == 1U);
    BOOST_TEST(p.counters().requests == 0U, "it is no caller's");
}

BOOST_AUTO_TEST_CASE(the_pool_owns_the_message_of_the_check) {
    // The danger: the pool sends a local variable of main() that is long gone.
    std::string local = "ping";
    open(ice::tcp_client_action{far, name, 1}.health_check(std::string_view(local), 10s));
    local = "gone";
    sim.run_for(11s);
    BOOST_TEST(pings == 1);
}

BOOST_AUTO_TEST_CASE(a_connection_in_use_is_not_checked) {
    add(1);
    for (int i = 0; i < 10; ++i) {
        BOOST_TEST(!ask());
        sim.run_for(9s);
    }
    BOOST_TEST(pings == 0);
}

BOOST_AUTO_TEST_CASE(by_default_there_are_no_checks) {
    // Only the user knows a message for it; "PING" means nothing to most protocols.
    asking::add(1, {.idle = 1h});
    sim.run_for(30min);
    BOOST_TEST(pings == 0);
}

BOOST_AUTO_TEST_CASE(a_wrong_reply_closes_the_connection_and_is_counted) {
    auto& p = add(1);
    says = "ill";
    sim.run_for(10100ms);
    BOOST_TEST(pings == 1);
    BOOST_TEST(p.counters().checks_failed == 1U);
    BOOST_TEST(p.counters().discarded == 1U);
    BOOST_TEST(p.counters().connects == 2U, "another takes its place");
    BOOST_TEST(p.report().find("1 health checks, 1 failed") != std::string::npos, p.report());
}

BOOST_AUTO_TEST_CASE(a_check_succeeds_before_its_timeout_and_fails_after_it) {
    auto& p = add(1);
    delay = 99ms;
    sim.run_for(11s);
    BOOST_TEST(p.counters().checks == 1U);
    BOOST_TEST(p.counters().checks_failed == 0U);
    delay = 101ms;
    sim.run_for(10s);
    BOOST_TEST(p.counters().checks == 2U);
    BOOST_TEST(p.counters().checks_failed == 1U);
}

BOOST_AUTO_TEST_CASE(callers_get_other_connections_during_a_check) {
    // The danger: while all connections are checked at once, no caller gets one.
    auto& p = add(2);
    delay = 90ms;
    sim.run_for(10s);
    BOOST_TEST(p.busy() == 1U);
    BOOST_TEST(p.idle() == 1U);
    BOOST_TEST((wait() < 1ms));
    BOOST_TEST(p.busy() == 1U);
    sim.run_for(1s);
    BOOST_TEST(p.idle() == 2U);
}

BOOST_AUTO_TEST_CASE(a_checked_connection_still_ends_at_the_idle_timeout) {
    // Otherwise a pool that grew once never shrinks.
    auto action = ice::tcp_client_action{far, name, 2};
    auto& p = open(std::move(action).timeouts({.idle = 25s}).health_check("ping", 10s));
    sim.run_for(24s);
    BOOST_TEST(pings == 4);
    BOOST_TEST(p.idle() == 2U);
    sim.run_for(2s);
    BOOST_TEST(p.idle() == 0U);
    BOOST_TEST(p.counters().expired == 2U);
}

BOOST_AUTO_TEST_CASE(failing_checks_open_the_breaker_and_a_good_one_closes_it) {
    // So callers fail at once if the upstream has hung since before the first of them.
    auto& p = add(1);
    const auto breaker_state = [&] { return p.addresses().all().front()->breaker.state(); };
    delay = 1h;
    sim.run_for(31s);
    BOOST_TEST(p.counters().checks_failed == 3U);
    BOOST_TEST((breaker_state() != ice::breaker::states::closed));
    delay = {};
    sim.run_for(11s);
    BOOST_TEST((breaker_state() == ice::breaker::states::closed));
    BOOST_TEST(!ask());
}

BOOST_AUTO_TEST_CASE(checks_work_where_requests_share_a_connection) {
    auto& p = add(1, 16);
    sim.run_for(11s);
    BOOST_TEST(pings == 1);
    BOOST_TEST(p.counters().checks == 1U);
    BOOST_TEST(!ask());
    BOOST_TEST(p.counters().connects == 1U);
    says = "ill";
    sim.run_for(11s);
    BOOST_TEST(p.counters().checks_failed == 1U);
    BOOST_TEST(!ask());
}

BOOST_AUTO_TEST_CASE(a_connection_that_ended_while_idle_is_no_failed_check) {
    auto& p = add(1);
    up.stop();
    sim.run_for(11s);
    BOOST_TEST(p.counters().checks_failed == 0U);
    BOOST_TEST(p.counters().stale == 1U);
    BOOST_TEST(p.addresses().all().front()->breaker.failures() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
