// The limits and timeouts of a pool at their edges (one below and above, a millisecond before and
// after), and their counters. In virtual time.
#include <ice/pool.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

// An upstream that takes as long as it is told.
struct fixture : asking {
    fixture() { serve_slowly({}); }

    ice::error_code ask_and_lose() {
        lose_next_request();
        return ask();
    }
};

// A line, after a word of welcome.
struct greeted : ice::line {
    ice::task<ice::error_code> handshake(ice::session<greeted>& peer) {
        const ice::error_code unsent = co_await peer.send(std::string_view("hello"));
        if (unsent) co_return unsent;
        const auto heard = co_await peer.receive();
        co_return heard.error();
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pool_bounds, fixture)

BOOST_AUTO_TEST_CASE(max_waiters_callers_wait_and_no_more) {
    work = 1h;
    auto& p = add(1, {}, {.max_waiters = 3});
    begin();  // has the connection
    for (int i = 0; i < 3; ++i) BOOST_TEST(!begin().has_value());
    BOOST_TEST(p.waiting() == 3U);
    auto& above = begin();
    BOOST_TEST_REQUIRE(above.has_value());
    BOOST_TEST(above->error() == ice::errc::pool_full);
    BOOST_TEST(p.counters().refused == 1U);
}

// pool_large_request_test.cpp has the same of requests on a shared connection.
BOOST_AUTO_TEST_CASE(the_outbox_of_a_lease_takes_a_push_while_fewer_bytes_are_unsent) {
    for (const std::size_t outbox : {0u, 1u, 6u, 7u, 8u}) {
        fixture each;
        auto& p = each.add(1, {}, {.outbox = outbox});
        const auto pushes = [](ice::pool<ice::line>& to) -> ice::task<ice::error_code> {
            const auto leased = co_await to.acquire();
            BOOST_TEST(!(*leased)->push("hello"));  // of any size; 7 bytes with its end
            co_return (*leased)->push("more");
        };
        const ice::error_code second = each.sim.run(pushes(p));
        BOOST_TEST((second == ice::errc::outbox_full) == (outbox <= 7));
    }
}

BOOST_AUTO_TEST_CASE(a_pool_opens_its_size_and_no_more) {
    work = 1h;
    auto& p = add(3, {}, {.preconnect = 0});
    BOOST_TEST(p.state().open() == 0U);
    for (std::size_t i = 1; i <= 5; ++i) {
        begin();
        sim.run_for(1ms);
        BOOST_TEST(p.busy() == std::min<std::size_t>(i, 3));
    }
    BOOST_TEST(p.counters().connects == 3U);
}

BOOST_AUTO_TEST_CASE(preconnect_connections_are_opened_before_the_first_request) {
    for (const std::size_t wanted :
         {std::size_t{0}, std::size_t{1}, std::size_t{2}, std::size_t{3}, ice::unlimited}) {
        auto action = ice::tcp_client_action{far, fmt::format("{}", wanted), 2, ice::line{}};
        auto& p = open(std::move(action).limits({.preconnect = wanted}));
        BOOST_TEST(p.idle() == std::min<std::size_t>(wanted, 2));
        BOOST_TEST(p.counters().connects == p.idle());
    }
}

BOOST_AUTO_TEST_CASE(an_unfinished_reply_may_be_as_long_as_the_limit_and_no_longer) {
    const ice::address in_pieces{"10.0.0.1", 8};
    up.add(ice::tcp_server_action{in_pieces}.logic(
        [](std::string_view asked, ice::session<ice::raw>& peer) -> ice::task<std::string> {
            std::string piece(std::stoul(std::string(asked)), 'x');
            const ice::error_code unsent = co_await peer.send(std::move(piece));
            BOOST_TEST(!unsent);
            co_await peer.sleep(1ms);
            co_return "\r\n";
        }));
    auto action = ice::tcp_client_action{in_pieces, "pieces", 1, ice::line{}};
    auto& p = open(std::move(action).limits({.message = 100}));
    for (const auto* size : {"99", "100"}) BOOST_TEST(!end(begin(p, size)));
    BOOST_TEST(p.counters().discarded == 0U);
    BOOST_TEST(end(begin(p, "101")) == ice::errc::message_too_large);
    BOOST_TEST(p.counters().bad_replies == 1U);
    BOOST_TEST(p.counters().discarded == 1U);
}

BOOST_AUTO_TEST_CASE(ten_requests_and_a_tenth_of_all_are_retried_and_no_more) {
    // The danger: an upstream that loses all requests gets twice as many as in normal operation.
    auto& p = add(2, {}, {.retries = 10});
    for (int i = 0; i < 11; ++i) BOOST_TEST(!ask_and_lose());  // 11 <= 10 + 11 / 10
    BOOST_TEST(p.counters().retries == 11U);
    BOOST_TEST(ask_and_lose() == ice::errc::not_sent);
    BOOST_TEST(p.counters().retries == 11U);
    BOOST_TEST(p.counters().refused == 1U);
    for (int i = 13; i < 19; ++i) BOOST_TEST(!ask());
    BOOST_TEST(ask_and_lose() == ice::errc::not_sent, "the nineteenth");
    BOOST_TEST(!ask_and_lose(), "the twentieth");
    BOOST_TEST(p.counters().retries == 12U);
    BOOST_TEST(p.counters().requests == 20U);
}

BOOST_AUTO_TEST_CASE(without_retries_no_request_is_sent_again) {
    auto& p = add(2, {}, {.retries = 0});
    BOOST_TEST(ask_and_lose() == ice::errc::not_sent);
    BOOST_TEST(p.counters().retries == 0U);
    BOOST_TEST(!ask());
}

BOOST_AUTO_TEST_CASE(a_request_ends_at_its_timeout) {
    add(1, {.request = 1s});
    work = 998ms;
    auto& in_time = begin();
    sim.run_for(1s);
    BOOST_TEST(in_time->has_value());
    work = 1001ms;
    auto& late = begin();
    sim.run_for(999ms);
    BOOST_TEST(!late.has_value());
    sim.run_for(1ms);
    BOOST_TEST_REQUIRE(late.has_value());
    BOOST_TEST(late->error() == ice::errc::request_timeout);
    BOOST_TEST(srv.get(name).counters().timeouts == 1U);
}

BOOST_AUTO_TEST_CASE(a_failure_tells_an_unfinished_reply_from_silence) {
    // The lines of the upstream end in LF, the pool expects CR LF: "no reply in time" alone would
    // blame the network.
    const ice::address other{"10.0.0.1", 8};
    bool is_silent = false;
    up.add(ice::tcp_server_action{other}.logic(
        [&](std::string_view) -> std::string { return is_silent ? "" : "noon\n"; }));
    for (const std::size_t depth : {1U, 4U}) {
        const ice::pool_name<ice::line> own{depth == 1 ? "alone" : "beside others"};
        auto& p = open(ice::tcp_client_action{other, own, 2}
                           .timeouts({.request = 1s})
                           .limits({.pipeline = depth}));
        const auto text = [&](ice::duration timeout) {
            auto& reply = begin(p, "gettime", timeout);
            BOOST_TEST(end(reply) == ice::errc::request_timeout);
            sim.run_for(1min);
            return reply->failure().text();
        };
        const std::string bytes = "; 5 bytes received are no whole message";
        is_silent = false;
        for (const ice::duration timeout : {ice::duration(500ms), ice::duration(1s)})
            BOOST_TEST(text(timeout).find("no reply in time" + bytes) != std::string::npos);
        is_silent = true;
        BOOST_TEST(text(500ms).find("received") == std::string::npos);
    }
}

BOOST_AUTO_TEST_CASE(a_request_without_time_left_is_refused_and_never_sent) {
    // The danger: a caller passes the rest of its own time. A request for which no time is left
    // would be executed for no caller, and cost a connection.
    for (const std::size_t depth : {1U, 4U}) {
        const ice::pool_name<ice::line> own{depth == 1 ? "alone" : "beside others"};
        auto& p = open(ice::tcp_client_action{far, own, 1}.limits({.pipeline = depth}));
        for (const ice::duration none :
             {ice::duration(-1h), ice::duration(-1ns), ice::duration(0s)}) {
            bool is_over = false;
            const auto asks = [&]() -> ice::task<> {
                const auto reply = co_await p.request("hello", none);
                BOOST_TEST_REQUIRE(!reply.has_value());
                BOOST_TEST(reply.error() == ice::errc::acquire_timeout);
                BOOST_TEST(!reply.failure().may_have_been_executed());
                const auto lent = co_await p.acquire(none);
                BOOST_TEST_REQUIRE(!lent.has_value());
                BOOST_TEST(lent.error() == ice::errc::acquire_timeout);
                is_over = true;
            };
            const std::uint64_t before = sim.operations();
            sim.spawn(asks());
            sim.run_for(1us);
            BOOST_TEST(is_over);
            BOOST_TEST(sim.operations() == before);
            BOOST_TEST(p.idle() == 1U);
        }
        BOOST_TEST(p.counters().refused == 6U);
        BOOST_TEST(p.counters().requests == 6U);
        BOOST_TEST(!end(begin(p, "hello", 1s)));
    }
}

BOOST_AUTO_TEST_CASE(a_caller_waits_until_the_acquire_timeout_and_no_longer) {
    work = 1h;
    add(1, {.acquire = 1s});
    begin();
    auto& waits = begin();
    sim.run_for(999ms);
    BOOST_TEST(!waits.has_value());
    sim.run_for(1ms);
    BOOST_TEST_REQUIRE(waits.has_value());
    BOOST_TEST(waits->error() == ice::errc::acquire_timeout);
    BOOST_TEST(srv.get(name).counters().refused == 1U);
}

BOOST_AUTO_TEST_CASE(a_connect_ends_at_its_timeout) {
    sim.faults()[ice::testing::fault::blackhole] = 1;
    auto& p = add(1, {.connect = 1s});
    auto& waits = begin();
    sim.run_for(998ms);
    BOOST_TEST(!waits.has_value());
    BOOST_TEST(p.counters().connect_failures == 0U);
    sim.run_for(2ms);
    BOOST_TEST_REQUIRE(waits.has_value());
    BOOST_TEST(waits->error() == ice::errc::connect_timeout);
    BOOST_TEST(p.counters().connect_failures == 1U);
}

BOOST_AUTO_TEST_CASE(a_handshake_with_an_upstream_ends_at_its_timeout) {
    work = 998ms;  // and 0.2 ms to and fro
    constexpr ice::pool_name<greeted> polite{"polite"};
    auto action = ice::tcp_client_action{far, polite, 1};
    auto& p = srv.add(std::move(action).timeouts({.handshake = 1s, .idle = 2s}));
    sim.run_for(1s);
    BOOST_TEST(p.idle() == 1U);
    BOOST_TEST(p.counters().connect_failures == 0U);
    work = 1001ms;
    sim.run_for(3s);  // it is unused
    BOOST_TEST(p.idle() == 0U);
    std::optional<ice::pool_result<std::string>> reply;
    const auto asks = [&]() -> ice::task<> {
        auto got = co_await p.request("hello");
        reply.emplace(std::move(got));
    };
    sim.spawn(asks());
    sim.run_for(999ms);
    BOOST_TEST(p.state().connecting == 1U);
    BOOST_TEST(p.counters().connect_failures == 0U);
    sim.run_for(2ms);
    BOOST_TEST(p.counters().connect_failures == 1U);
    BOOST_TEST_REQUIRE(reply.has_value());
    BOOST_TEST(reply->error() == ice::errc::handshake_timeout);
}

BOOST_AUTO_TEST_CASE(an_unused_connection_ends_at_the_idle_timeout) {
    auto& p = add(2, {.idle = 1s});
    sim.run_for(998ms);
    BOOST_TEST(p.idle() == 2U);
    sim.run_for(2ms);
    BOOST_TEST(p.idle() == 0U);
    BOOST_TEST(p.counters().expired == 2U);
}

BOOST_AUTO_TEST_CASE(a_connection_ends_in_the_last_quarter_of_its_maximum_lifetime) {
    // If all ended at once, an upstream would get all new connections at once, too.
    const ice::address other("10.0.0.1", 8);
    up.add(ice::tcp_server_action{other}.protocol(ice::line{}).timeouts({.idle = 1h}));
    auto& p =
        open(ice::tcp_client_action{other, name, 50}.timeouts({.idle = 1h, .max_lifetime = 100s}));
    sim.run_for(74s);
    BOOST_TEST(p.counters().aged == 0U);
    sim.run_for(13s);
    BOOST_TEST(p.counters().aged > 10U);
    BOOST_TEST(p.counters().aged < 40U);
    sim.run_for(14s);
    BOOST_TEST(p.counters().aged == 50U);
}

BOOST_AUTO_TEST_CASE(min_connections_stay_open_without_requests) {
    for (const std::size_t kept : {0U, 1U, 2U}) {
        const ice::pool_name<ice::line> own{kept == 0 ? "none" : kept == 1 ? "one" : "both"};
        auto action = ice::tcp_client_action{far, own, 2};
        auto& p = open(std::move(action).timeouts({.idle = 1s}).limits({.min_connections = kept}));
        sim.run_for(1500ms);
        BOOST_TEST(p.idle() == kept);
    }
}

BOOST_AUTO_TEST_SUITE_END()
