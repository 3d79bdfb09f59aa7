// time_limit: the time that is left, on the clock of a simulation.
#include <ice/time_limit.hpp>

#include <boost/test/unit_test.hpp>
#include <chrono>
#include <ice/testing/sim.hpp>
#include <memory>

#include "quiet_server.hpp"

using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(time_limit)

BOOST_AUTO_TEST_CASE(a_limit_counts_from_when_it_was_made) {
    ice::testing::simulation sim;
    quiet_server srv(sim.net());
    const ice::time_limit limit = srv.within(200ms);
    BOOST_TEST((limit.until() == sim.now() + 200ms));
    sim.run_for(150ms);
    BOOST_TEST((limit.left() == 50ms));
    BOOST_TEST(!limit.is_over());
    sim.run_for(50ms);
    BOOST_TEST((limit.left() == 0ms));
    BOOST_TEST(limit.is_over());
    sim.run_for(1s);
    BOOST_TEST((limit.left() == -1s));
}

// The danger: the difference of two instants overflows.
BOOST_AUTO_TEST_CASE(limits_have_no_bounds) {
    ice::testing::simulation sim;
    const ice::time_limit none = sim.net()->within(ice::no_timeout);
    BOOST_TEST((none.until() == ice::never));
    BOOST_TEST((none.left() == ice::no_timeout));
    BOOST_TEST(!none.is_over());
    const ice::time_limit past = sim.net()->within(ice::duration::min());
    BOOST_TEST(past.is_over());
    BOOST_TEST((past.left() < -1h));
}

// The danger: the limit of a coroutine outlives the server, whose transport is gone then.
BOOST_AUTO_TEST_CASE(a_limit_keeps_its_transport) {
    ice::testing::simulation sim;
    auto srv = std::make_unique<quiet_server>(sim.host("10.0.0.1"));
    const std::weak_ptr<ice::transport> net = sim.host("10.0.0.1");
    const auto owners = net.use_count();
    const auto limit = std::make_unique<ice::time_limit>(srv->within(1s));
    srv.reset();
    BOOST_TEST(&limit->net() == net.lock().get());
    BOOST_TEST(net.use_count() <= owners);
    BOOST_TEST((limit->left() == 1s));
}

BOOST_AUTO_TEST_SUITE_END()
