// lease: when its connection returns to the pool. In virtual time; pool_test.cpp has more.
#include <ice/pool.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

struct fixture : asking {
    fixture() { serve(); }
    // Sends so many messages, and takes so many replies.
    ice::task<bool> talk(int asks, int takes, bool throws = false) {
        auto lease = co_await pool.acquire(1s);
        if (!lease) co_return false;
        for (int i = 0; i < asks; ++i) co_await (*lease)->send(fmt::format("{}", i));
        for (int i = 0; i < takes; ++i) {
            const auto got = co_await (*lease)->receive();
            BOOST_TEST(*got == fmt::format("{}", i));
        }
        if (throws) throw std::runtime_error("the holder failed");
        co_return true;
    }

    ice::pool<ice::line>& pool = srv.add(ice::tcp_client_action{far, name, 1});
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(lease, fixture)

BOOST_AUTO_TEST_CASE(a_complete_exchange_on_a_lease_returns_its_connection) {
    for (int i = 0; i < 3; ++i) BOOST_TEST(sim.run(talk(i, i)));
    BOOST_TEST(pool.counters().connects == 1U);
    BOOST_TEST(pool.counters().returned == 3U);
}

BOOST_AUTO_TEST_CASE(an_unread_reply_closes_the_connection_of_a_lease) {
    // The danger: the next caller would get it.
    BOOST_TEST(sim.run(talk(2, 1)));
    BOOST_TEST(pool.counters().discarded == 1U);
    BOOST_TEST(sim.run(talk(1, 1)));
    BOOST_TEST(pool.counters().connects == 2U);
}

BOOST_AUTO_TEST_CASE(a_lease_holder_that_throws_does_not_return_the_connection) {
    // The exchange looks complete, but nothing tells what the holder was doing.
    BOOST_CHECK_THROW(sim.run(talk(1, 1, true)), std::runtime_error);
    BOOST_TEST(pool.counters().discarded == 1U);
}

// A subscriber may wait for ever, and each drain then lasted its whole grace period.
BOOST_AUTO_TEST_CASE(a_lease_that_only_waits_for_messages_does_not_hold_a_drain) {
    std::optional<ice::error_code> why;
    ice::time_point ended;
    const auto subscribe = [&]() -> ice::task<> {
        auto lease = co_await pool.acquire(1h);
        co_await (*lease)->send(std::string("hello"));
        for (;;) {
            const auto got = co_await (*lease)->receive();
            if (!got) {
                why = got.error();
                ended = sim.now();
                co_return;
            }
        }
    };
    sim.spawn(subscribe());
    sim.run_for(1s);
    BOOST_TEST(!why.has_value());
    const auto begin = sim.now();
    pool.drain_idle_leases();
    sim.run_for(1s);
    BOOST_TEST_REQUIRE(why.has_value());
    BOOST_TEST(*why == ice::errc::draining);
    BOOST_TEST((ended == begin));
    // The drain has reached its connection: no other caller gets it.
    BOOST_TEST(pool.counters().discarded == 1U);
    BOOST_TEST(sim.run(talk(1, 1)));
}

// Nor does a lease whose holder computes first, and waits for the next message later.
BOOST_AUTO_TEST_CASE(a_lease_that_waits_after_a_drain_began_ends_at_once) {
    std::optional<ice::error_code> why;
    const auto later = [&]() -> ice::task<> {
        auto lease = co_await pool.acquire(1h);
        co_await sim.net()->sleep(2s);
        const auto got = co_await (*lease)->receive();
        why = got.error();
    };
    sim.spawn(later());
    sim.run_for(1s);
    pool.drain();
    sim.run_for(2s);
    BOOST_TEST_REQUIRE(why.has_value());
    BOOST_TEST(*why == ice::errc::draining);
}

// The drain waits for a reply that is still to come.
BOOST_AUTO_TEST_CASE(a_lease_that_waits_for_a_reply_gets_it_in_a_drain) {
    bool replied = false;
    const auto asks = [&]() -> ice::task<> {
        auto lease = co_await pool.acquire(1h);
        co_await sim.net()->sleep(1s);
        co_await (*lease)->send(std::string("hello"));
        const auto got = co_await (*lease)->receive();
        replied = got && *got == "hello";
    };
    sim.spawn(asks());
    sim.run_for(500ms);
    pool.drain();
    sim.run_for(2s);
    BOOST_TEST(replied);
}

BOOST_AUTO_TEST_CASE(a_lease_that_gets_no_connection_in_time_has_the_cause) {
    const auto waits = [this]() -> ice::task<ice::error_code> {
        const auto mine = co_await pool.acquire(1s);
        const auto second = co_await pool.acquire(10ms);
        co_return second.error();
    };
    BOOST_TEST(sim.run(waits()) == ice::errc::acquire_timeout);
}

BOOST_AUTO_TEST_SUITE_END()
