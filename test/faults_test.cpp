// Each fault does what its name says, and is counted.
#include <ice/testing/faults.hpp>

#include <asio/error.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::fault;
using ice::testing::simulation;

const ice::address here{"127.0.0.1", 7};

// An echo of lines in a world where one thing always goes wrong.
struct fixture {
    explicit fixture(fault f, double chance = 1) : struck(f) {
        world.faults()[f] = chance;
        srv.add(ice::tcp_server_action{here}.protocol(ice::line{}));
    }
    ~fixture() { BOOST_TEST(world.fired(struck) > 0U); }

    ice::result<std::string> ask(std::string text = "hello") {
        began = world.now();
        return world.run(world.ask<ice::line>(here, std::move(text)));
    }
    ice::duration took() const { return world.now() - began; }

    simulation world;
    quiet_server srv{world.net()};
    fault struck;
    ice::time_point began;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(faults)

BOOST_AUTO_TEST_CASE(random_numbers_are_the_same_on_every_machine) {
    ice::testing::dice d(1);  // splitmix64, whose published first number for 1 this is
    BOOST_TEST(d.next() == 0x910a2dec89025cc1ULL);
    BOOST_TEST(d.below(0) == 0U);
    for (int i = 0; i < 1000; ++i) {
        const auto n = d.between(3, 5);
        BOOST_TEST((n >= 3 && n <= 5));
    }
    BOOST_TEST(d.hit(1));
    BOOST_TEST(!d.hit(0));
}

BOOST_AUTO_TEST_CASE(bytes_in_pieces_are_the_same_bytes) {
    for (const auto f : {fault::one_byte_read, fault::short_read, fault::short_write}) {
        fixture w(f);
        const std::string text(5000, 'x');
        BOOST_TEST(w.ask(text).value() == text);
    }
}

BOOST_AUTO_TEST_CASE(late_segments_are_late_and_in_order) {
    fixture w(fault::delay);
    w.world.faults().slow = 20s;
    w.world.faults().segment = 10;
    BOOST_TEST(w.ask("0123456789abcdefghijklmnopqrstuvwxyz").value() ==
               "0123456789abcdefghijklmnopqrstuvwxyz");
    BOOST_TEST((w.took() > 1s));
    BOOST_TEST((w.took() < 41s));
}

BOOST_AUTO_TEST_CASE(a_stall_ends) {
    fixture w(fault::stall);
    w.world.faults().stall = 10s;
    BOOST_TEST(w.ask().value() == "hello");
    BOOST_TEST((w.took() > 10ms));
}

BOOST_AUTO_TEST_CASE(a_reset_breaks_the_connection) {
    fixture w(fault::reset);
    w.world.faults()[fault::lost_tail] = 1;
    const auto why = w.ask().error();
    BOOST_TEST((why == asio::error::make_error_code(asio::error::connection_reset)), why.message());
    BOOST_TEST(w.world.fired(fault::lost_tail) > 0U);
}

BOOST_AUTO_TEST_CASE(a_stream_that_ends_within_a_message_is_no_message) {
    fixture w(fault::end);
    const auto reply = w.ask();
    BOOST_TEST(!reply);
}

BOOST_AUTO_TEST_CASE(each_fault_of_a_connect_has_its_effect) {
    {
        fixture w(fault::refused);
        BOOST_TEST((w.ask().error() == std::errc::connection_refused));
        BOOST_TEST((w.took() < 1ms));
    }
    {
        fixture w(fault::blackhole);
        BOOST_TEST(w.ask().error() == ice::errc::connect_timeout);
        BOOST_TEST((w.took() == 1min));
    }
    {
        fixture w(fault::slow_connect);
        w.world.faults().stall = 10s;
        BOOST_TEST(w.ask().value() == "hello");
        BOOST_TEST((w.took() > 10ms));
    }
}

BOOST_AUTO_TEST_CASE(accepting_fails_and_continues) {
    {
        fixture w(fault::no_descriptors, 0.9);
        BOOST_TEST(w.ask().value() == "hello");
        BOOST_TEST((w.took() >= 100ms));  // the listener's pause
    }
    {
        fixture w(fault::aborted);
        BOOST_TEST(!w.ask());
        w.world.faults() = {};
        BOOST_TEST(w.ask().value() == "hello");
    }
}

BOOST_AUTO_TEST_CASE(a_clock_that_moves_differs_between_two_readings_of_one_handler) {
    simulation still;
    BOOST_TEST((still.net()->now() == still.net()->now()));

    fixture w(fault::clock_moves);
    const auto begin = w.world.net()->now();
    ice::time_point before = begin;
    for (int i = 0; i < 1000; ++i) {
        const auto now = w.world.net()->now();
        BOOST_TEST((now >= before && now <= before + 50us));
        BOOST_TEST((w.world.now() == now));  // which moves nothing
        before = now;
    }
    BOOST_TEST((before > begin + 20ms && before < begin + 30ms));
}

BOOST_AUTO_TEST_CASE(a_deadline_that_a_handler_has_passed_fires_after_it_and_none_fires_early) {
    fixture w(fault::clock_moves);
    const auto net = w.world.net();
    const auto begin = w.world.now();
    ice::time_point woken;
    auto sleep = [](simulation& world, ice::time_point& at) -> ice::task<> {
        co_await world.net()->sleep(1ms);
        at = world.now();
    };
    auto work = [](simulation& world, ice::time_point end) -> ice::task<> {
        while (world.net()->now() < end) {}
        co_return;
    };
    w.world.spawn(sleep(w.world, woken));
    w.world.spawn(work(w.world, begin + 5ms));
    w.world.run_for(1s);
    BOOST_TEST((woken >= begin + 5ms));
    w.world.run_for(20s);
    const auto again = w.world.now();
    w.world.run(sleep(w.world, woken));
    BOOST_TEST((woken >= again + 1ms && woken < again + 1ms + 1ms));
}

BOOST_AUTO_TEST_CASE(a_late_loop_delays_deadlines_and_handlers) {
    fixture w(fault::late_loop);
    w.began = w.world.now();
    w.world.run(w.world.net()->sleep(1s));
    BOOST_TEST((w.took() > 1s));
    BOOST_TEST((w.took() < 1s + 5 * 200ms));
    BOOST_TEST((w.world.last_idle() <= w.began + 1s + 200ms));
}

BOOST_AUTO_TEST_CASE(bytes_that_arrive_while_the_loop_is_late_are_all_there_afterwards) {
    // A late loop finds a reply that came in time and its deadline together, and may handle either
    // first.
    std::size_t replies = 0, timeouts = 0;
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        simulation world(seed);
        quiet_server srv(world.net());
        srv.add(ice::tcp_server_action{here}.protocol(ice::line{}));
        auto peer = world.run(world.open<ice::line>(here)).value();
        world.faults()[fault::late_loop] = 1;
        const auto until = world.now() + 150ms;
        peer->set_deadline(until, ice::errc::request_timeout);
        BOOST_TEST(!world.run(peer->send(std::string_view("hello"))));
        auto receive = [](ice::session<ice::line>& from) -> ice::task<ice::error_code> {
            auto got = co_await from.receive();
            co_return got.error();
        };
        const ice::error_code failed = world.run(receive(*peer));
        BOOST_TEST((!failed || failed == ice::errc::request_timeout), failed.message());
        BOOST_TEST((world.last_idle() <= until));
        ++(failed ? timeouts : replies);
    }
    BOOST_TEST(replies > 0U);
    BOOST_TEST(timeouts > 0U);
}

BOOST_AUTO_TEST_CASE(every_fault_has_a_name) {
    for (std::uint8_t f = 0; f < static_cast<std::uint8_t>(fault::count); ++f)
        BOOST_TEST(ice::testing::name(static_cast<fault>(f)) != "none");
}

BOOST_AUTO_TEST_SUITE_END()
