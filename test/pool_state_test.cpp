// pool_state: the state of a pool as numbers and as text.
#include <ice/pool_state.hpp>

#include "asking.hpp"

BOOST_AUTO_TEST_SUITE(pool_state)

BOOST_FIXTURE_TEST_CASE(a_state_is_a_copy_and_counts_the_connections, asking) {
    serve();
    auto& pool = add(2);
    const auto look = [&]() -> ice::task<ice::pool_state> {
        const auto mine = co_await pool.acquire();
        co_return pool.state();
    };
    const auto during = sim.run(look());
    BOOST_TEST(during.name == "far");
    BOOST_TEST_REQUIRE(during.upstreams.size() == 1U);
    BOOST_TEST(during.upstreams[0].where == "10.0.0.1:7");
    BOOST_TEST(during.upstreams[0].open == 2U);
    BOOST_TEST(!during.upstreams[0].down);
    BOOST_TEST((during.upstreams[0].breaker == ice::breaker::states::closed));
    BOOST_TEST(during.size == 2U);
    BOOST_TEST(during.open() == 2U);
    BOOST_TEST(during.idle == 1U);
    BOOST_TEST(during.busy == 1U);
    BOOST_TEST(pool.state().idle == 2U);
    BOOST_TEST(during.counters.connects == 2U);
}

BOOST_AUTO_TEST_CASE(its_text_is_one_line_with_the_cause_of_an_upstream_that_is_down) {
    ice::pool_state s;
    s.name = "far";
    ice::upstream_state u;
    u.where = "10.0.0.1:7";
    u.down = ice::errc::connect_timeout;
    s.upstreams.push_back(u);
    s.size = 3;
    s.counters.truncated = 7;
    const std::string line = to_string(s);
    BOOST_TEST(
        line.starts_with("pool 'far' of 10.0.0.1:7: down, cannot connect: timed out, 0 of 3 "
                         "open (0 idle, 0 busy, 0 connecting), 0 waiting; requests: 0 "));
    BOOST_TEST(line.find(" 7 truncated") != std::string::npos);
    BOOST_TEST(line.find('\n') == std::string::npos);
    u.down = {};
    u.breaker = ice::breaker::states::half_open;
    u.broken = ice::errc::closed;
    u.open = 1;
    s.upstreams.push_back(u);
    BOOST_TEST(to_string(s).starts_with(
        "pool 'far' of 10.0.0.1:7: down, cannot connect: timed out (0 open), 10.0.0.1:7: breaker "
        "half open, closed by the peer (1 open), 0 of 3 open"));
}

BOOST_AUTO_TEST_SUITE_END()
