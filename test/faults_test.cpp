// Each fault does what its name says, and is counted.
#include <ice/testing/faults.hpp>

#include <asio/error.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>

#include "printing.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::fault;
using ice::testing::simulation;

const ice::address here{"127.0.0.1", 7};

// An echo of lines in a world where one thing always goes wrong.
struct fixture {
    explicit fixture(fault f, double chance = 1) : struck(f) {
        srv.log().to([](ice::log_level, std::string_view) {});
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
    ice::server srv{world.net()};
    fault struck;
    ice::time_point began;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(faults)

BOOST_AUTO_TEST_CASE(the_dice_are_the_same_everywhere) {
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

BOOST_AUTO_TEST_CASE(connects_fail_in_their_ways) {
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

BOOST_AUTO_TEST_CASE(accepting_fails_and_goes_on) {
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

BOOST_AUTO_TEST_CASE(every_fault_has_a_name) {
    for (std::uint8_t f = 0; f < static_cast<std::uint8_t>(fault::count); ++f)
        BOOST_TEST(ice::testing::name(static_cast<fault>(f)) != "none");
}

BOOST_AUTO_TEST_SUITE_END()
