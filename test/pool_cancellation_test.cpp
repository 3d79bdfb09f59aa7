// A caller of a pool that is cancelled, at each turn of the loop in which it can be: the pool
// counts it exactly once, and serves the others.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>
#include <ice/event.hpp>
#include <ice/lease.hpp>
#include <ice/pool.hpp>
#include <stdexcept>
#include <string_view>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

struct fixture : asking {
    static constexpr int most_steps = 2000;

    // Cancels `caller` after so many steps of the simulation. Returns whether it still ran then.
    bool cancel_after(int steps, ice::task<> caller) {
        asio::cancellation_signal stop;
        bool is_over = false;
        asio::co_spawn(
            sim.net()->executor(), std::move(caller),
            asio::bind_cancellation_slot(stop.slot(), [&](const std::exception_ptr& thrown) {
                is_over = true;
                threw = thrown != nullptr;
            }));
        while (steps-- != 0 && !is_over) sim.advance();
        const bool ran = !is_over;
        stop.emit(asio::cancellation_type::terminal);
        sim.run_for(1s);
        BOOST_TEST(is_over);
        return ran;
    }
    void check_counters(const ice::pool<ice::line>& p, std::size_t leases = 0) {
        const ice::pool_counters& n = p.counters();
        BOOST_TEST(n.requests == n.replies + n.timeouts + n.refused + n.failures + leases);
    }

    bool threw = false;
};

struct kind {
    std::size_t depth = 1;  // pool_limits::pipeline
    bool loses = false;     // its connection is lost before a byte is sent
    bool leases = false;    // acquire() instead of request()
    bool connects = false;  // no connection is open before
    bool waits = false;     // others have all the room
};

// Cancels such a caller after 0, 1, 2 .. steps, until it ends by itself.
void sweep(const kind& k) {
    bool ran = true;
    int steps = 0;
    for (; ran && steps < fixture::most_steps; ++steps) {
        fixture f;
        f.serve_slowly(5ms);
        auto& p = f.open(ice::tcp_client_action{fixture::far, fixture::name, 1}.limits(
            {.preconnect = k.connects ? 0U : 1U, .pipeline = k.depth}));
        const std::size_t others = k.waits ? k.depth : 0;
        for (std::size_t i = 0; i < others; ++i) f.begin("other");
        if (k.loses) f.lose_next_request();
        std::size_t leased = 0;
        std::optional<ice::error_code> got;
        const auto asks = [&]() -> ice::task<> {
            if (k.leases) {
                auto own = co_await p.acquire(10s);
                leased += own.has_value() ? 1 : 0;
                got = own.error();
            } else {
                auto reply = co_await p.request(std::string("first"), 10s);
                got = reply.error();
            }
        };
        ran = f.cancel_after(steps, asks());
        BOOST_TEST_CONTEXT("cancelled after " << steps << " steps; " << k.depth << " may share") {
            BOOST_TEST((!got || !*got || *got == asio::error::operation_aborted));
            f.check_counters(p, leased);
            BOOST_TEST(p.counters().requests <= others + 1);
            // Asio throws in the caller's own coroutine if it was cancelled before its request.
            BOOST_TEST(f.threw == (steps == 0));
            BOOST_TEST(!f.ask("second"));
            BOOST_TEST(f.replies.back()->value() == "second");
            f.check_counters(p, leased);
        }
    }
    BOOST_TEST(steps > 2);
    BOOST_TEST(steps < fixture::most_steps);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pool_cancellation)

BOOST_AUTO_TEST_CASE(a_request_that_is_cancelled_at_any_step_is_counted_once) {
    for (const std::size_t depth : {1U, 4U}) {
        sweep({.depth = depth});
        sweep({.depth = depth, .connects = true});
        sweep({.depth = depth, .waits = true});
    }
}

BOOST_AUTO_TEST_CASE(a_request_that_loses_its_connection_and_is_cancelled_is_counted_once) {
    for (const std::size_t depth : {1U, 4U}) sweep({.depth = depth, .loses = true});
}

BOOST_FIXTURE_TEST_CASE(a_request_is_counted_once_if_its_logic_or_its_protocol_throws, fixture) {
    struct throwing : ice::line {
        ice::error_code packet(std::string_view text, std::string& out) {
            if (text == "packet") throw std::runtime_error("packet");
            return ice::line::packet(text, out);
        }
    };
    serve();
    for (const std::size_t depth : {1U, 4U}) {
        const char* const own = depth == 1 ? "alone" : "beside others";
        auto action = ice::tcp_client_action{far, own, 1, throwing{}}
                          .limits({.pipeline = depth})
                          .logic([](std::string_view reply) -> std::string {
                              if (reply == "logic") throw std::runtime_error("logic");
                              return std::string(reply);
                          });
        auto& p = open(std::move(action));
        for (const char* what : {"packet", "logic"}) {
            const auto asks = [&]() -> ice::task<> {
                auto reply = co_await p.request(std::string(what));
            };
            cancel_after(most_steps, asks());
            BOOST_TEST(threw);
        }
        const ice::pool_counters& n = p.counters();
        BOOST_TEST(n.requests == 2U);
        BOOST_TEST(n.refused == 1U);
        BOOST_TEST(n.failures == 1U);
        BOOST_TEST(n.replies == 0U);
    }
}

BOOST_AUTO_TEST_CASE(a_caller_may_ask_after_it_was_cancelled) {
    // As to release what it has locked. The danger: that depends on whether a connection is idle.
    for (const std::size_t connections : {0U, 1U}) {
        fixture f;
        f.serve();
        auto& p = f.open(ice::tcp_client_action{fixture::far, fixture::name, 1}.limits(
            {.preconnect = connections}));
        std::optional<ice::error_code> got;
        const auto asks = [&]() -> ice::task<> {
            co_await asio::this_coro::throw_if_cancelled(false);
            ice::event never(f.sim.net()->executor());
            co_await never.wait();
            auto reply = co_await p.request(std::string("release"), 10s);
            got = reply.error();
        };
        BOOST_TEST(f.cancel_after(5, asks()));
        BOOST_TEST_REQUIRE(got.has_value());
        BOOST_TEST(!*got);
    }
}

BOOST_AUTO_TEST_CASE(a_lease_that_is_cancelled_at_any_step_is_counted_once) {
    sweep({.leases = true});
    sweep({.leases = true, .connects = true});
    sweep({.leases = true, .waits = true});
}

BOOST_AUTO_TEST_SUITE_END()
