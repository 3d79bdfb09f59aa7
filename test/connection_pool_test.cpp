// connection_pool: how a pool drains and stops, also in a server without peers. In virtual time;
// requests and leases are in pool_test.cpp and its neighbours.
#include <ice/detail/connection_pool.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

// An upstream that takes a second for each answer.
struct fixture : asking {
    fixture() { serve_slowly(1s); }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(connection_pool, fixture)

BOOST_AUTO_TEST_CASE(a_drain_finishes_accepted_requests_and_refuses_new_ones) {
    auto& p = add(1);
    auto &asked = begin(), &waits = begin();
    BOOST_TEST(p.waiting() == 1U);
    p.drain();
    BOOST_TEST_REQUIRE(ask() == ice::errc::draining);
    BOOST_TEST(replies.back()->failure().text() ==
               "pool 'far' of 10.0.0.1:7: draining: nothing new is begun (not executed)");
    BOOST_TEST(p.report().find("10.0.0.1:7: up, draining, 1 of 1 open") != std::string::npos,
               p.report());
    BOOST_TEST(!end(asked));
    BOOST_TEST(!end(waits));
    BOOST_TEST(p.counters().refused == 1U);
    sim.run_for(1ms);
    BOOST_TEST(p.state().open() == 0U);
}

BOOST_AUTO_TEST_CASE(a_drained_pool_opens_no_connection) {
    // The danger: the upstream comes back, or one of min_connections ends, and the pool connects.
    auto& p = add(2, {.idle = 10s}, {.min_connections = 2});
    p.drain();
    BOOST_TEST(p.idle() == 0U);
    sim.run_for(1h);
    BOOST_TEST(p.counters().connects == 2U);
    BOOST_TEST(ask() == ice::errc::draining);
}

// The danger: a timer of a pool keeps a loop of the user's running until it fires.
BOOST_AUTO_TEST_CASE(after_stop_no_timer_is_left) {
    auto& p = add(2, {.max_lifetime = 1h}, {.min_connections = 2});
    begin();
    p.stop();
    sim.run_for(1ms);
    sim.net()->deadlines().forget_cleared();
    BOOST_TEST((sim.net()->deadlines().next() == ice::never));
}

// The danger: nothing ends the connection, as its attempt never begins.
BOOST_AUTO_TEST_CASE(an_attempt_that_has_not_begun_ends_with_stop) {
    auto& p = srv.add(ice::tcp_client_action{far, name, 2});
    BOOST_TEST(p.state().connecting == 2U);
    p.stop();
    sim.run_for(1ms);
    BOOST_TEST(p.state().connecting == 0U);
    BOOST_TEST(p.state().open() == 0U);
}

BOOST_AUTO_TEST_CASE(a_waiter_in_a_drain_gets_a_new_connection) {
    // The upstream closes the connection while another caller waits.
    auto& p = add(1);
    begin("first", 500ms);
    auto& waits = begin();
    p.drain();
    BOOST_TEST(!end(waits));
    BOOST_TEST(p.counters().timeouts == 1U);
    BOOST_TEST(p.counters().connects == 2U);
}

BOOST_AUTO_TEST_CASE(a_pipelined_pool_drains_too) {
    auto& p = add(1, {}, {.pipeline = 8});
    for (int i = 0; i < 3; ++i) begin();
    p.drain();
    BOOST_TEST(ask() == ice::errc::draining);
    for (int i = 0; i < 3; ++i) BOOST_TEST(!end(*std::next(replies.begin(), i)));
    sim.run_for(1ms);
    BOOST_TEST(p.state().open() == 0U);
}

BOOST_AUTO_TEST_CASE(a_server_drains_its_pools_last) {
    // The danger: a drain ends requests of a gateway with errc::stopped.
    auto& p = add(1);
    auto& asked = begin();
    srv.drain(10s);
    BOOST_TEST(ask() == ice::errc::draining);
    BOOST_TEST(!end(asked));
    sim.run_for(10ms);
    BOOST_TEST(ask() == ice::errc::stopped, "it is over");
    BOOST_TEST(p.counters().replies == 1U);
}

BOOST_AUTO_TEST_CASE(the_grace_period_ends_the_drain_of_a_pool) {
    auto& p = add(1);
    auto &asked = begin("hello", 1h), &waits = begin("hello", 1h);
    srv.drain(100ms);
    sim.run_for(99ms);
    BOOST_TEST(!asked.has_value());
    BOOST_TEST(!waits.has_value());
    sim.run_for(2ms);
    BOOST_TEST_REQUIRE(asked.has_value());
    BOOST_TEST(asked->error() == ice::errc::stopped);
    BOOST_TEST(waits->error() == ice::errc::stopped);
    BOOST_TEST(p.state().open() == 0U);
}

BOOST_AUTO_TEST_CASE(a_waiter_in_a_drain_fails_at_once_if_its_upstream_is_dead) {
    // The danger: no connection can be made, and the waiter waits for the whole grace period.
    up.stop();
    sim.run_for(1ms);
    auto dying = sim.host("10.0.0.2");
    const ice::address there{"10.0.0.2", 7};
    auto acceptor = dying->listen(there);
    constexpr ice::pool_name<ice::line> other{"dying"};
    auto& p = srv.add(ice::tcp_client_action{there, other, 2}.limits({.preconnect = 1}));
    std::unique_ptr<ice::channel> upstream;
    BOOST_TEST_REQUIRE(sim.run_until(
        [&] {
            if (auto got = acceptor->accept()) upstream = *std::move(got);
            return upstream != nullptr && p.idle() == 1;
        },
        1s));
    acceptor.reset();
    std::list<ice::pool_result<std::string>> ends;
    const auto asks = [&]() -> ice::task<> {
        auto got = co_await p.request("hello", 1min);
        ends.push_back(std::move(got));
    };
    sim.spawn(asks());
    sim.run_for(1us);
    sim.spawn(asks());
    sim.run_for(10ms);
    BOOST_TEST(p.waiting() == 1U);
    BOOST_TEST(p.counters().connect_failures > 0U);
    upstream.reset();
    sim.run_for(10ms);
    BOOST_TEST_REQUIRE(ends.size() == 2U);
    for (const auto& end : ends) BOOST_TEST(!end.has_value());
    BOOST_TEST((ends.back().error() == std::errc::connection_refused));
}

BOOST_AUTO_TEST_SUITE_END()
