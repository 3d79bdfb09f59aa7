// lease: who may use its connection afterwards. In virtual time; more of it is in pool_test.cpp.
#include <ice/lease.hpp>

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
        if (throws) throw std::runtime_error("the borrower failed");
        co_return true;
    }

    ice::pool<ice::line>& pool = srv.add(ice::tcp_client_action{far, name, 1});
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(lease, fixture)

BOOST_AUTO_TEST_CASE(a_talk_that_is_over_gives_its_connection_back) {
    for (int i = 0; i < 3; ++i) BOOST_TEST(sim.run(talk(i, i)));
    BOOST_TEST(pool.counters().connects == 1U);
    BOOST_TEST(pool.counters().returned == 3U);
}

BOOST_AUTO_TEST_CASE(a_reply_that_was_not_taken_ends_it) {
    // The danger: it would be the next caller's.
    BOOST_TEST(sim.run(talk(2, 1)));
    BOOST_TEST(pool.counters().discarded == 1U);
    BOOST_TEST(sim.run(talk(1, 1)));
    BOOST_TEST(pool.counters().connects == 2U);
}

BOOST_AUTO_TEST_CASE(a_borrower_that_throws_does_not_return_it) {
    // It looks clean, but what it was in the middle of nobody knows.
    BOOST_CHECK_THROW(sim.run(talk(1, 1, true)), std::runtime_error);
    BOOST_TEST(pool.counters().discarded == 1U);
}

BOOST_AUTO_TEST_CASE(who_has_none_in_time_is_told_why) {
    const auto waits = [this]() -> ice::task<ice::error_code> {
        const auto mine = co_await pool.acquire(1s);
        const auto second = co_await pool.acquire(10ms);
        co_return second.error();
    };
    BOOST_TEST(sim.run(waits()) == ice::errc::pool_wait_timeout);
}

BOOST_AUTO_TEST_SUITE_END()
