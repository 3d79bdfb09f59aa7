// The handshake of a listener and of a pool ends at timeouts::handshake, whatever it waits for.
#include <asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/pool.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

// Waits for something else than its connection.
struct lazy : ice::line {
    ice::task<ice::error_code> handshake(ice::session<lazy>& s) {
        co_await s.sleep(span);
        co_return ice::error_code();
    }
    ice::duration span = 1h;
};
// The same with bool as its answer; cannot be cancelled.
struct stubborn : ice::line {
    ice::task<bool> handshake(ice::session<stubborn>& s) {
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await s.sleep(20s);
        co_return true;
    }
};

template <class P>
ice::task<ice::error_code> hello(ice::pool<P>& p) {
    const auto got = co_await p.request("hello");
    co_return got.error();
}

struct fixture : asking {
    template <class P>
    ice::pool<P>& add(P protocol = {}) {
        serve();
        return srv.add(
            ice::tcp_client_action<P>{far, "slow", 1, protocol}.timeouts({.handshake = 1s}));
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(handshake_timeout, fixture)

BOOST_AUTO_TEST_CASE(a_handshake_of_a_pool_that_waits_for_something_else_ends_in_time) {
    auto& p = add<lazy>();
    const auto begin = sim.now();
    sim.run_until([&] { return p.counters().connect_failures == 1; }, 1h);
    BOOST_TEST((sim.now() - begin < 1010ms));
    BOOST_TEST(p.addresses().all().front()->cause() == ice::errc::handshake_timeout);
    BOOST_TEST(p.counters().connects == 1u);
    sim.run_for(10s);
    BOOST_TEST(p.counters().connects > 1u);  // it goes on trying
    const auto ec = sim.run(hello(p));
    BOOST_TEST((ec == ice::condition::not_executed));
}

BOOST_AUTO_TEST_CASE(a_handshake_that_ends_in_time_serves) {
    auto& p = add<lazy>({{}, 999ms});
    sim.run_for(1s);
    BOOST_TEST(!sim.run(hello(p)));
    BOOST_TEST(p.counters().connect_failures == 0u);
}

// It uses the session, so the pool can only wait for its end; then the pool goes on.
BOOST_AUTO_TEST_CASE(a_handshake_that_cannot_be_cancelled_holds_its_connection_until_it_ends) {
    auto& p = add<stubborn>();
    sim.run_for(19s);
    BOOST_TEST(p.counters().connect_failures == 0u);
    sim.run_for(2s);
    BOOST_TEST(p.counters().connect_failures == 1u);
    BOOST_TEST(p.addresses().all().front()->cause() == ice::errc::handshake_timeout);
}

BOOST_AUTO_TEST_CASE(a_handshake_of_a_listener_that_waits_for_something_else_ends_in_time) {
    auto& l = up.add(ice::tcp_server_action{far}.protocol(lazy{}).timeouts({.handshake = 1s}));
    auto peer = sim.run(sim.open<ice::line>(far));
    sim.run_for(999ms);
    BOOST_TEST(l.size() == 1u);
    sim.run_for(2ms);
    BOOST_TEST(l.size() == 0u);
    BOOST_TEST(l.counters().timeouts == 1u);
}

BOOST_AUTO_TEST_CASE(a_server_that_ends_ends_a_handshake_that_waits) {
    up.add(ice::tcp_server_action{far}.protocol(lazy{}));
    auto peer = sim.run(sim.open<ice::line>(far));
    sim.run_for(1s);
    up.stop();
    sim.run_for(10s);
}

BOOST_AUTO_TEST_SUITE_END()
