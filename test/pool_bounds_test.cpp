// The bounds of a pool at their edges, a millisecond before and after, or one below and above; and
// what counts them. In virtual time.
#include <asio/co_spawn.hpp>
#include <ice/pool.hpp>
#include <ice/testing/sim.hpp>
#include <list>

#include "printing.hpp"

namespace {

using namespace std::chrono_literals;

const ice::address far{"10.0.0.1", 7};
constexpr ice::pool_name<ice::line> name{"far"};

// An upstream that takes as long as it is told.
struct fixture {
    using reply = ice::pool_result<std::string>;

    fixture() {
        for (auto* s : {&up, &srv}) s->log().to([](ice::log_level, std::string_view) {});
        up.add(ice::tcp_server_action{far}
                   .protocol(ice::line{})
                   .logic([this](std::string_view m,
                                 ice::session<ice::line>& peer) -> ice::task<std::string> {
                       co_await peer.sleep(work);
                       co_return std::string(m);
                   }));
    }
    ice::pool<ice::line>& add(std::size_t size, ice::pool_timeouts t, ice::pool_limits l = {}) {
        auto& p = srv.add(ice::tcp_client_action{far, name, size}.timeouts(t).limits(l));
        sim.run_for(1ms);
        return p;
    }
    std::optional<reply>& ask() {
        auto& slot = replies.emplace_back();
        sim.spawn(keep(srv.get(name), slot));
        sim.run_for(1us);
        return slot;
    }
    static ice::task<> keep(ice::pool<ice::line>& p, std::optional<reply>& slot) {
        auto got = co_await p.request("hello");
        slot.emplace(std::move(got));
    }

    ice::testing::simulation sim;
    ice::server up{sim.host("10.0.0.1")}, srv{sim.net()};
    ice::duration work{};
    std::list<std::optional<reply>> replies;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pool_bounds, fixture)

BOOST_AUTO_TEST_CASE(so_many_wait_and_no_more) {
    work = 1h;
    auto& p = add(1, {}, {.waiters = 3});
    ask();  // has the connection
    for (int i = 0; i < 3; ++i) BOOST_TEST(!ask().has_value());
    BOOST_TEST(p.waiting() == 3U);
    auto& above = ask();
    BOOST_TEST_REQUIRE(above.has_value());
    BOOST_TEST(above->error() == ice::errc::pool_full);
    BOOST_TEST(p.counters().refused == 1U);
}

BOOST_AUTO_TEST_CASE(so_many_connections_and_no_more) {
    work = 1h;
    auto& p = add(3, {}, {.preconnect = 0});
    BOOST_TEST(p.state().open() == 0U);
    for (std::size_t i = 1; i <= 5; ++i) {
        ask();
        sim.run_for(1ms);
        BOOST_TEST(p.busy() == std::min<std::size_t>(i, 3));
    }
    BOOST_TEST(p.counters().connects == 3U);
}

BOOST_AUTO_TEST_CASE(a_request_has_its_time_and_no_more) {
    add(1, {.request = 1s});
    work = 998ms;
    auto& in_time = ask();
    sim.run_for(1s);
    BOOST_TEST(in_time->has_value());
    work = 1001ms;
    auto& late = ask();
    sim.run_for(999ms);
    BOOST_TEST(!late.has_value());
    sim.run_for(1ms);
    BOOST_TEST_REQUIRE(late.has_value());
    BOOST_TEST(late->error() == ice::errc::request_timeout);
    BOOST_TEST(srv.get(name).counters().timeouts == 1U);
}

BOOST_AUTO_TEST_CASE(a_caller_waits_for_a_connection_and_no_longer) {
    work = 1h;
    add(1, {.wait = 1s});
    ask();
    auto& waits = ask();
    sim.run_for(999ms);
    BOOST_TEST(!waits.has_value());
    sim.run_for(1ms);
    BOOST_TEST_REQUIRE(waits.has_value());
    BOOST_TEST(waits->error() == ice::errc::pool_wait_timeout);
}

BOOST_AUTO_TEST_CASE(connecting_takes_its_time_and_no_longer) {
    sim.faults()[ice::testing::fault::blackhole] = 1;
    auto& p = add(1, {.connect = 1s});
    auto& waits = ask();
    sim.run_for(998ms);
    BOOST_TEST(!waits.has_value());
    BOOST_TEST(p.counters().connect_failures == 0U);
    sim.run_for(2ms);
    BOOST_TEST_REQUIRE(waits.has_value());
    BOOST_TEST(waits->error() == ice::errc::connect_timeout);
    BOOST_TEST(p.counters().connect_failures == 1U);
}

BOOST_AUTO_TEST_CASE(an_unused_connection_lives_as_long_as_idle_says) {
    auto& p = add(2, {.idle = 1s});
    sim.run_for(998ms);
    BOOST_TEST(p.idle() == 2U);
    sim.run_for(2ms);
    BOOST_TEST(p.idle() == 0U);
    BOOST_TEST(p.counters().expired == 2U);
}

BOOST_AUTO_TEST_CASE(a_connection_ends_in_the_last_quarter_of_its_age) {
    // All at once, and an upstream behind a balancer gets all of them at once again.
    auto& p = add(50, {.idle = 1h, .age = 100s});
    sim.run_for(74s);
    BOOST_TEST(p.counters().aged == 0U);
    sim.run_for(13s);
    BOOST_TEST(p.counters().aged > 10U);
    BOOST_TEST(p.counters().aged < 40U);
    sim.run_for(13s);
    BOOST_TEST(p.counters().aged == 50U);
}

BOOST_AUTO_TEST_CASE(so_many_are_kept_although_nobody_asks) {
    for (const std::size_t kept : {0U, 1U, 2U}) {
        const ice::pool_name<ice::line> own{kept == 0 ? "none" : kept == 1 ? "one" : "both"};
        auto action = ice::tcp_client_action{far, own, 2};
        auto& p = srv.add(std::move(action).timeouts({.idle = 1s}).limits({.keep = kept}));
        sim.run_for(1500ms);
        BOOST_TEST(p.idle() == kept);
    }
}

BOOST_AUTO_TEST_SUITE_END()
