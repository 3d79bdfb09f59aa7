// A simulation: its time is virtual, and all that happens depends only on the seed.
#include <ice/testing/sim.hpp>

#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::fault;
using ice::testing::simulation;

const ice::address here{"127.0.0.1", 7};
constexpr ice::pool_name<ice::line> upstream{"upstream"};

// Answers after a while.
ice::task<std::string> slowly(std::string_view m, ice::session<ice::line>& peer) {
    std::string answer(m);
    co_await peer.sleep(2s);
    co_return answer;
}

// A gateway in front of a slow server, a few callers, faults: what a seed makes of it.
std::uint64_t run_of(std::uint64_t seed) {
    simulation sim(seed);
    sim.faults()[fault::short_read] = 0.5;
    sim.faults()[fault::reset] = 0.05;
    sim.faults()[fault::delay] = 0.5;
    sim.faults()[fault::clock_moves] = 0.5;
    sim.faults()[fault::late_loop] = 0.05;
    quiet_server srv(sim.net());
    srv.add(ice::tcp_server_action{here}.protocol(ice::line{}).logic(slowly));
    auto& pool = srv.add(ice::tcp_client_action{here, upstream, 2});
    int ended = 0;
    auto call = [&](int id) -> ice::task<> {
        const auto reply = co_await pool.request(fmt::format("{}", id));
        sim.note(reply ? "reply" : "error", static_cast<std::uint64_t>(id));
        ++ended;
    };
    for (int id = 0; id < 5; ++id) sim.spawn(call(id));
    BOOST_TEST(sim.run_until([&] { return ended == 5; }, 60s));
    return sim.hash();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(sim)

BOOST_AUTO_TEST_CASE(a_server_answers_a_peer) {
    simulation world;
    quiet_server srv(world.net());
    srv.add(ice::tcp_server_action{here}.protocol(ice::line{}));
    BOOST_TEST(world.run(world.ask<ice::line>(here, "hello")).value() == "hello");
}

BOOST_AUTO_TEST_CASE(an_hour_passes_at_once) {
    simulation world;
    const auto before = world.now();
    world.run(world.net()->sleep(1h));
    BOOST_TEST((world.now() - before == 1h));
    BOOST_TEST(!world.run_until([] { return false; }, 24h));
    BOOST_TEST((world.now() - before == 25h));
    world.run_for(7s);
    BOOST_TEST((world.now() - before == 25h + 7s));
}

BOOST_AUTO_TEST_CASE(a_logic_waits_in_virtual_time) {
    simulation world;
    quiet_server srv(world.net());
    srv.add(ice::tcp_server_action{here}.protocol(ice::line{}).logic(slowly));
    const auto before = world.now();
    BOOST_TEST(world.run(world.ask<ice::line>(here, "hello")).value() == "hello");
    BOOST_TEST((world.now() - before >= 2s));
    BOOST_TEST((world.now() - before < 2s + 1ms));
    const auto late = world.run(world.ask<ice::line>(here, "hello", 1s));
    BOOST_TEST(late.error() == ice::errc::request_timeout);
}

BOOST_AUTO_TEST_CASE(equal_seeds_make_equal_runs_and_other_seeds_do_not) {
    BOOST_TEST(run_of(1) == run_of(1));
    BOOST_TEST(run_of(2) == run_of(2));
    BOOST_TEST(run_of(1) != run_of(2));
}

BOOST_AUTO_TEST_CASE(at_the_end_nothing_is_left) {
    simulation world;
    {
        quiet_server srv(world.net());
        srv.add(ice::tcp_server_action{here}.protocol(ice::line{}));
        auto& pool = srv.add(ice::tcp_client_action{here, upstream, 2});
        BOOST_TEST(world.run(pool.request("x")).value() == "x");
        BOOST_TEST(!world.quiescent());
        srv.stop();
        world.run_for(1s);
    }
    world.run_for(1s);
    BOOST_TEST(world.quiescent());
}

BOOST_AUTO_TEST_CASE(coroutines_that_still_run_are_destroyed) {
    // The danger: a coroutine that waits for ever leaks, with all that it owns.
    const auto held = std::make_shared<int>();
    {
        simulation world;
        quiet_server srv(world.net());
        srv.add(ice::tcp_server_action{here}.protocol(ice::line{}).logic(slowly));
        auto& pool = srv.add(ice::tcp_client_action{here, upstream, 2});
        auto sleep = [](std::shared_ptr<int>, simulation& w) -> ice::task<> {
            co_await w.net()->sleep(1h);
        };
        auto ask = [](std::shared_ptr<int>, ice::pool<ice::line>& p) -> ice::task<> {
            static_cast<void>(co_await p.request("x"));
        };
        auto listen = [](std::shared_ptr<int>, simulation& w) -> ice::task<> {
            const auto port = w.net()->listen(ice::address("127.0.0.1", 0));
            co_await port->ready();
        };
        world.spawn(sleep(held, world));
        world.spawn(ask(held, pool));
        world.spawn(listen(held, world));
        world.run_for(1s);
        BOOST_TEST(held.use_count() == 4);
    }
    BOOST_TEST(held.use_count() == 1);
}

BOOST_AUTO_TEST_CASE(an_exception_of_a_coroutine_reaches_the_test) {
    simulation world;
    auto fail = []() -> ice::task<> {
        throw std::runtime_error("mine");
        co_return;
    };
    BOOST_CHECK_THROW(world.run(fail()), std::runtime_error);
    world.spawn(fail());
    BOOST_CHECK_THROW(world.run_for(1s), std::runtime_error);
    world.run_for(1s);
}

BOOST_AUTO_TEST_CASE(a_wait_that_nothing_can_end_is_an_error) {
    simulation world;
    BOOST_CHECK_THROW(world.run(world.net()->sleep(2h), 1h), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_loop_that_spins_is_an_error) {
    // Otherwise a simulation whose time cannot pass would never end.
    simulation world;
    auto spin = [](std::shared_ptr<ice::transport> net) -> ice::task<> {
        for (;;) co_await net->yield();
    };
    world.spawn(spin(world.net()));
    BOOST_CHECK_THROW(world.run_for(1s), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(names_resolve_as_the_test_says_and_machines_have_addresses) {
    simulation world;
    quiet_server a(world.host("10.0.0.1")), b(world.host("10.0.0.2"));
    const auto say = [](std::string_view what) {
        return [what](std::string_view, ice::session<ice::line>& peer) {
            return fmt::format("{} to {}", what, peer.peer().host());
        };
    };
    a.add(ice::tcp_server_action{ice::address("0.0.0.0:7")}.protocol(ice::line{}).logic(say("a")));
    b.add(ice::tcp_server_action{ice::address("10.0.0.2:7")}.protocol(ice::line{}).logic(say("b")));
    const auto ask = [&] { return world.run(world.ask<ice::line>({"upstream", 7}, "?")); };
    BOOST_TEST(ask().error() == ice::errc::host_not_found);
    world.resolves("upstream", {"10.0.0.1"});
    BOOST_TEST(ask().value() == "a to 127.0.0.1");
    world.resolves("upstream", {"10.0.0.3", "10.0.0.2"});  // the first has no listener
    BOOST_TEST(ask().value() == "b to 127.0.0.1");
}

BOOST_AUTO_TEST_CASE(the_history_has_the_last_events) {
    simulation world;
    for (unsigned i = 0; i < 300; ++i) world.note("mine", i);
    const std::string told = world.history();
    BOOST_TEST(std::count(told.begin(), told.end(), '\n') == 200);
    BOOST_TEST(told.find("mine         299") != told.npos);
    BOOST_TEST(told.find("mine         99 ") == told.npos);
}

BOOST_AUTO_TEST_CASE(a_peer_may_have_options_of_its_protocol_and_timeouts) {
    // The default protocol would wait for another line end, and the default timeout for 75 s.
    simulation world;
    const ice::line semicolons{";", 10};
    quiet_server srv(world.net());
    srv.add(ice::tcp_server_action{here}.protocol(semicolons));
    auto opened = world.run(world.open(here, semicolons, {.idle = 3s}));
    auto& peer = *opened.value();
    BOOST_TEST(!world.run(peer.send("hello")));
    auto reply = world.run(peer.receive());
    BOOST_TEST(reply.value() == "hello");
    const auto begin = world.now();
    reply = world.run(peer.receive());
    BOOST_TEST(reply.error() == ice::errc::idle_timeout);
    BOOST_TEST((world.now() - begin == 3s));
}

BOOST_AUTO_TEST_CASE(each_peer_has_timeouts_of_its_own) {
    simulation world;
    quiet_server srv(world.net());
    srv.add(ice::tcp_server_action{here}.protocol(ice::line{}));
    const auto one = world.run(world.open(here, ice::line{}, {.idle = 3s})).value();
    const auto other = world.run(world.open(here, ice::line{}, {.idle = 5s})).value();
    const auto begin = world.now();
    BOOST_TEST(world.run(one->receive()).error() == ice::errc::idle_timeout);
    BOOST_TEST((world.now() - begin == 3s));
    BOOST_TEST(world.run(other->receive()).error() == ice::errc::idle_timeout);
    BOOST_TEST((world.now() - begin == 8s));  // its own time begins with its receive()
}

BOOST_AUTO_TEST_SUITE_END()
