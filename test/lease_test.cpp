// lease: when its connection returns to the pool. In virtual time; pool_test.cpp has more.
#include <ice/pool.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

struct fixture : asking {
    fixture() { serve(); }
    // Sends so many messages, and takes so many replies.
    ice::task<bool> talk(int asks, int takes, bool throws = false, bool keeps = true) {
        auto lease = co_await pool.acquire(1s);
        if (!lease) co_return false;
        if (keeps) lease->keep();
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

// The danger: MULTI or SELECT of one caller applies to the requests of the next.
BOOST_AUTO_TEST_CASE(the_session_of_a_lease_reaches_no_other_caller) {
    BOOST_TEST(sim.run(talk(2, 2, false, false)));
    BOOST_TEST(pool.counters().discarded == 1U);
    BOOST_TEST(sim.run(talk(1, 1)));
    BOOST_TEST(pool.counters().connects == 2U);
    BOOST_TEST(pool.addresses().all().front()->breaker.failures() == 0U);
}

BOOST_AUTO_TEST_CASE(a_lease_that_was_not_used_returns_its_connection) {
    for (int i = 0; i < 3; ++i) BOOST_TEST(sim.run(talk(0, 0, false, false)));
    BOOST_TEST(pool.counters().connects == 1U);
    BOOST_TEST(pool.counters().returned == 3U);
}

// What the caller says is no proof: the reply may be on its way.
BOOST_AUTO_TEST_CASE(keep_does_not_keep_a_connection_with_an_unread_reply) {
    BOOST_TEST(sim.run(talk(3, 2)));
    BOOST_TEST(pool.counters().discarded == 1U);
}

// The danger: a caller that thinks looks like an upstream that is silent.
BOOST_AUTO_TEST_CASE(a_lease_that_lasts_makes_no_impatient_caller_open_the_breaker) {
    asking slow;
    slow.serve_slowly(10ms);
    auto& p = slow.add(2, {.request = 2s}, {}, {.failures = 2});
    slow.sim.spawn([](auto& from, auto net) -> ice::task<> {
        const auto leased = co_await from.acquire(1h);
        co_await net->sleep(20s);
    }(p, slow.sim.net()));
    slow.sim.run_for(10s);
    for (int i = 0; i < 5; ++i)
        BOOST_TEST(slow.end(slow.begin("x", 1ms)) == ice::errc::request_timeout);
    BOOST_TEST(p.addresses().all().front()->breaker.is_closed());
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

// -- a protocol with reset()

namespace {

// What the resets of all connections do, and how many have begun.
struct plan {
    std::string sends = "reset";
    bool receives = true;
    ice::error_code says{};
    ice::duration sleeps{};
    bool throws = false;
    int begun = 0;
};

struct resettable : ice::line {
    plan* p = nullptr;

    ice::task<ice::error_code> reset(ice::session<resettable>& peer) {
        ++p->begun;
        if (p->sleeps != ice::duration::zero()) co_await peer.sleep(p->sleeps);
        if (p->throws) throw std::runtime_error("no reset");
        const ice::error_code unsent = co_await peer.send(std::string_view(p->sends));
        if (unsent) co_return unsent;
        if (!p->receives) co_return p->says;
        const auto reply = co_await peer.receive();
        co_return reply ? p->says : reply.error();
    }
};

struct reset_fixture : asking {
    reset_fixture() { serve(); }

    ice::task<bool> talk(int asks, int takes, bool keeps = false) {
        auto lease = co_await pool.acquire(1s);
        if (!lease) co_return false;
        if (keeps) lease->keep();
        for (int i = 0; i < asks; ++i) co_await (*lease)->send(std::string_view("x"));
        for (int i = 0; i < takes; ++i) {
            const auto got = co_await (*lease)->receive();
            if (!got) co_return false;
        }
        co_return true;
    }
    void use(int asks = 1, int takes = 1, bool keeps = false) {
        BOOST_TEST(sim.run(talk(asks, takes, keeps)));
        sim.run_for(10ms);
    }

    plan resets;
    ice::pool<resettable>& pool = srv.add(ice::tcp_client_action<resettable>{
        far, "state", 1,
        resettable{{}, &resets}}.timeouts({.handshake = 1s}));
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(a_reset_returns_the_connection_of_a_lease, reset_fixture) {
    for (int i = 1; i <= 3; ++i) {
        use(i, i);
        BOOST_TEST(resets.begun == i);
    }
    BOOST_TEST(pool.counters().connects == 1U);
    BOOST_TEST(pool.counters().returned == 3U);
}

BOOST_FIXTURE_TEST_CASE(a_lease_that_is_kept_or_was_not_used_needs_no_reset, reset_fixture) {
    use(1, 1, true);
    use(0, 0);
    BOOST_TEST(resets.begun == 0);
    BOOST_TEST(pool.counters().connects == 1U);
}

// The danger: the reset takes the late reply for its own, and its own goes to the next caller.
BOOST_FIXTURE_TEST_CASE(a_lease_with_an_unread_reply_is_not_reset, reset_fixture) {
    use(2, 1);
    BOOST_TEST(resets.begun == 0);
    BOOST_TEST(pool.counters().discarded == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_reset_that_fails_closes_the_connection, reset_fixture) {
    for (int how = 0; how < 4; ++how) {
        const auto before = pool.counters().discarded;
        resets = {};
        if (how == 0) resets.says = ice::errc::handshake_failed;
        if (how == 1) resets.throws = true;
        if (how == 2) resets.receives = false;  // its reply is still to come
        if (how == 3) resets.sleeps = 1h;
        use();
        sim.run_for(2s);
        BOOST_TEST(pool.counters().discarded == before + 1);
        BOOST_TEST(pool.busy() == 0U);
    }
}

BOOST_FIXTURE_TEST_CASE(a_reset_ends_at_the_timeout_of_a_handshake, reset_fixture) {
    resets.sleeps = 990ms;
    use();
    sim.run_for(1s);
    BOOST_TEST(pool.counters().returned == 1U);
    resets.sleeps = 1010ms;
    use();
    sim.run_for(1s);
    BOOST_TEST(pool.counters().discarded == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_caller_waits_for_a_reset_as_for_a_connection, reset_fixture) {
    resets.sleeps = 100ms;
    BOOST_TEST(sim.run(talk(1, 1)));
    const auto before = pool.counters().waited;
    BOOST_TEST(sim.run(talk(1, 1)));
    BOOST_TEST(pool.counters().waited == before + 1);
    BOOST_TEST(pool.counters().connects == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_pool_that_ends_does_not_wait_for_a_reset, reset_fixture) {
    resets.sleeps = 1h;
    BOOST_TEST(sim.run(talk(1, 1)));
    srv.stop();
    sim.run_for(10s);
    BOOST_TEST(pool.busy() == 0U);
}

BOOST_FIXTURE_TEST_CASE(a_pool_that_drains_resets_nothing, reset_fixture) {
    const auto slow = [this]() -> ice::task<> {
        auto lease = co_await pool.acquire(1h);
        co_await (*lease)->send(std::string_view("x"));
        const auto got = co_await (*lease)->receive();
        BOOST_TEST(got.has_value());
        co_await sim.net()->sleep(1s);
    };
    sim.spawn(slow());
    sim.run_for(100ms);
    pool.drain();
    sim.run_for(2s);
    BOOST_TEST(resets.begun == 0);
    BOOST_TEST(pool.busy() == 0U);
}

BOOST_AUTO_TEST_CASE(a_caller_that_asks_again_and_again_leaves_the_connection_to_one_that_leases) {
    const ice::pool_name<ice::line> own{"shared"};
    auto& p = open(ice::tcp_client_action{far, own, 1}.limits({.pipeline = 8}));
    bool stop = false, leased = false;
    const auto asks = [&]() -> ice::task<> {
        while (!stop) auto reply = co_await p.request(std::string("q"));
    };
    const auto leases = [&]() -> ice::task<> {
        co_await sim.net()->sleep(1ms);
        auto l = co_await p.acquire(50ms);
        leased = bool(l);
        if (l) l->keep();
    };
    sim.spawn(asks());
    sim.spawn(leases());
    sim.run_for(100ms);
    BOOST_TEST(leased);
    stop = true;
    sim.run_for(1s);
}

BOOST_AUTO_TEST_SUITE_END()
