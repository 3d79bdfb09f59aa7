// Callers that repeat a refused request at once: after each refusal all other handlers of the loop
// run. In virtual time, where these are counted, and on a real loop with a timer.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <ice/pool.hpp>

#include "asking.hpp"
#include "world.hpp"

namespace {

using namespace std::chrono_literals;

struct fixture : asking {
    static constexpr int refusals = 100;

    // Asks again and again, whatever it gets, and says why it was refused.
    ice::task<> insist(ice::pool<ice::line>& p, std::string what) {
        while (refused < refusals) {
            const auto got = co_await p.request(what);
            BOOST_TEST_REQUIRE(!got.has_value());
            why = got.error();
            ++refused;
        }
    }
    ice::task<> insist_on_a_lease(ice::pool<ice::line>& p) {
        while (refused < refusals) {
            const auto got = co_await p.acquire();
            BOOST_TEST_REQUIRE(!got.has_value());
            why = got.error();
            ++refused;
        }
    }
    ice::task<> take_turns() {
        for (turns = 0; refused < refusals; ++turns) co_await sim.net()->yield();
    }

    // Acts when the caller of it waits for its turn to send it again.
    ice::task<> when_it_is_lost(const ice::pool<ice::line>& p, std::function<void()> act) {
        while (p.counters().discarded == 0) co_await sim.net()->yield();
        act();
    }
    // A handler that takes a second.
    void take_long() {
        const ice::time_point end = sim.now() + 1s;
        sim.faults()[ice::testing::fault::clock_moves] = 1;
        while (sim.net()->now() < end) continue;
        sim.faults()[ice::testing::fault::clock_moves] = 0;
    }

    // How many turns another coroutine has beside one that is refused a hundred times.
    int turns_beside(ice::task<> caller) {
        refused = 0;
        sim.spawn(std::move(caller));
        sim.spawn(take_turns());
        sim.run_for(1us);
        BOOST_TEST(refused == refusals);
        return turns;
    }

    void refuses_and_lets_others_run(ice::pool<ice::line>& p, ice::error_code expected) {
        BOOST_TEST(turns_beside(insist(p, "x")) >= refusals);
        BOOST_TEST(why == expected);
        BOOST_TEST(turns_beside(insist_on_a_lease(p)) >= refusals);
        BOOST_TEST(why == expected);
    }

    int refused = 0, turns = 0;
    ice::error_code why;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pool_refusals, fixture)

BOOST_AUTO_TEST_CASE(a_stopped_pool_lets_others_run) {
    serve();
    auto& p = add(1);
    srv.stop();
    refuses_and_lets_others_run(p, ice::errc::stopped);
}

BOOST_AUTO_TEST_CASE(a_pool_that_drains_lets_others_run) {
    serve();
    auto& p = add(1);
    p.drain();
    refuses_and_lets_others_run(p, ice::errc::draining);
}

BOOST_AUTO_TEST_CASE(a_pool_whose_upstream_is_down_lets_others_run) {
    auto& p = add(1);  // without a listener there
    BOOST_TEST(ask() == ice::connect_error(asio::error::connection_refused));
    refuses_and_lets_others_run(p, ice::connect_error(asio::error::connection_refused));
}

BOOST_AUTO_TEST_CASE(a_pool_with_an_open_breaker_lets_others_run) {
    serve_slowly(1h);
    auto& p = add(1, {.request = 1ms}, {}, {.failures = 1});
    BOOST_TEST(ask() == ice::errc::request_timeout);
    BOOST_TEST(turns_beside(insist(p, "x")) >= refusals);
    BOOST_TEST(why == ice::errc::breaker_open);
}

BOOST_AUTO_TEST_CASE(a_full_pool_lets_others_run) {
    serve_slowly(1h);
    auto& p = add(1, {}, {.max_waiters = 1});
    begin();  // has the connection
    begin();  // waits for it
    refuses_and_lets_others_run(p, ice::errc::pool_full);
}

BOOST_AUTO_TEST_CASE(a_message_that_cannot_be_packed_lets_others_run) {
    serve();
    for (const std::size_t depth : {1U, 4U}) {
        const ice::pool_name<ice::line> own{depth == 1 ? "alone" : "beside others"};
        auto& p = open(ice::tcp_client_action{far, own, 1}.limits({.pipeline = depth}));
        BOOST_TEST(turns_beside(insist(p, "two\r\nlines")) >= refusals);
        BOOST_TEST(why == ice::errc::unencodable);
        BOOST_TEST(p.idle() == 1U);
        BOOST_TEST(!end(begin(p, "one line")));
    }
}

BOOST_AUTO_TEST_CASE(a_retry_is_sent_after_other_handlers_have_run) {
    serve();
    auto& p = add(2);
    sim.run_for(1ms);
    const std::uint64_t first = sim.operations();
    sim.fail_operation(first, EPIPE);
    std::uint64_t between = 0;
    const auto looks = [&]() -> ice::task<> {
        between = sim.operations();
        co_return;
    };
    slot got;
    const auto asks = [&]() -> ice::task<> {
        auto made = co_await p.request(std::string("x"));
        got.emplace(std::move(made));
    };
    sim.spawn(asks());
    sim.spawn(looks());
    BOOST_TEST(!end(got));
    BOOST_TEST(p.counters().retries == 1U);
    BOOST_TEST(between == first + 1);
}

BOOST_AUTO_TEST_CASE(a_retry_that_has_timed_out_meanwhile_is_not_sent) {
    // The danger: other handlers run between the check of its timeout and the retry, which is sent
    // although its caller has left.
    int served = 0;
    serve([&](std::string_view m) -> std::string {
        ++served;
        return std::string(m);
    });
    for (const std::size_t depth : {1U, 4U}) {
        const ice::pool_name<ice::line> own{depth == 1 ? "alone" : "beside others"};
        auto& p = open(ice::tcp_client_action{far, own, 2}.limits({.pipeline = depth}));
        lose_next_request();
        slot got;
        const auto asks = [&]() -> ice::task<> {
            auto made = co_await p.request(std::string("x"), 5ms);
            got.emplace(std::move(made));
        };
        sim.spawn(asks());
        sim.spawn(when_it_is_lost(p, [this] { take_long(); }));
        BOOST_TEST(end(got) == ice::errc::not_sent);
        sim.run_for(1s);
        BOOST_TEST(served == 0);
        BOOST_TEST(p.counters().retries == 0U);
    }
}

BOOST_AUTO_TEST_CASE(a_caller_cancelled_before_its_retry_gets_a_failure_and_is_counted) {
    serve();
    for (const std::size_t depth : {1U, 4U}) {
        const ice::pool_name<ice::line> own{depth == 1 ? "alone" : "beside others"};
        auto& p = open(ice::tcp_client_action{far, own, 2}.limits({.pipeline = depth}));
        lose_next_request();
        slot got;
        const auto asks = [&]() -> ice::task<> {
            auto made = co_await p.request(std::string("x"));
            got.emplace(std::move(made));
        };
        asio::cancellation_signal stop;
        asio::co_spawn(sim.net()->executor(), asks(),
                       asio::bind_cancellation_slot(stop.slot(), [](const std::exception_ptr& e) {
                           BOOST_TEST((e == nullptr));
                       }));
        sim.spawn(when_it_is_lost(p, [&] { stop.emit(asio::cancellation_type::terminal); }));
        sim.run_for(1s);
        BOOST_TEST_REQUIRE(got.has_value());
        BOOST_TEST(got->error() == asio::error::operation_aborted);
        BOOST_TEST(!got->failure().may_have_been_executed());
        BOOST_TEST(p.counters().refused == 1U);
    }
}

BOOST_AUTO_TEST_CASE(a_caller_that_retries_in_a_loop_lets_a_shared_connection_close) {
    // The danger: at that instant the pool still lists the connection, which refuses each request:
    // a caller that retries would never let it go.
    serve_slowly(1h);
    for (const unsigned retries : {0U, 10U}) {
        const ice::pool_name<ice::line> own{retries == 0 ? "never" : "some"};
        auto& p = open(ice::tcp_client_action{far, own, 2}
                           .timeouts({.request = 1s})
                           .limits({.preconnect = 1, .pipeline = 4, .retries = retries})
                           .breaker({.failures = ice::unlimited}));
        refused = 0;
        sim.spawn(insist(p, "x"));
        sim.run_for(10s);
        BOOST_TEST(refused <= 20);  // ten timeouts
        BOOST_TEST(p.counters().retries <= 10U);
        refused = refusals;
        sim.run_for(10s);
    }
}

BOOST_AUTO_TEST_CASE(a_timer_fires_beside_a_caller_that_retries_in_a_loop) {
    test::world w;
    test::tcp::acceptor nobody(w.io, {asio::ip::address_v4::loopback(), 0});
    const ice::address there("127.0.0.1", nobody.local_endpoint().port());
    nobody.close();
    auto& p = w.srv.add(ice::tcp_client_action{there, name, 1});
    bool fired = false;
    int asked = 0;
    const auto insists = [&]() -> ice::task<bool> {
        while (!fired && ++asked < 100'000) {
            const auto got = co_await p.request(std::string("x"));
            BOOST_TEST_REQUIRE(!got.has_value());
        }
        co_return fired;
    };
    w.until([&] { return p.counters().connect_failures != 0; }, "a refused connection");
    asio::steady_timer timer(w.io, 0ms);
    timer.async_wait([&](std::error_code) { fired = true; });
    BOOST_TEST(w.run(insists()));
    BOOST_TEST(asked < 100);
}

BOOST_AUTO_TEST_SUITE_END()
