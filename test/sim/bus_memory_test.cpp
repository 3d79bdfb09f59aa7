// Each single allocation of subscribe() and publish() of a bus fails once: what has failed leaves
// nothing behind, and what comes after it is as if it had not been called.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/bus.hpp>
#include <ice/testing/sim.hpp>
#include <new>

#include "../nats_broker.hpp"
#include "../quiet_server.hpp"
#include "heap.hpp"

namespace {

using namespace std::chrono_literals;

const ice::address broker_address{"10.0.0.1", 4222};

struct bus_scene {
    bus_scene() {
        there.subscribe("t", [this](std::string_view) { ++got_there; });
        sim.run_for(1s);
    }

    ice::testing::simulation sim;
    test::nats_broker broker{sim, broker_address};
    quiet_server one{sim.host("10.0.1.1")}, two{sim.host("10.0.1.2")};
    ice::bus here{one, broker_address, {.topics = 2}}, there{two, broker_address};
    int got_here = 0, got_there = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(bus_memory)

// The danger: a topic that is there without its subscription, or a handler that nobody can end.
BOOST_AUTO_TEST_CASE(a_subscription_without_memory_leaves_nothing) {
    bool was_reached = true;
    for (std::uint64_t n = 0; was_reached; ++n) {
        bus_scene w;
        int failed = 0;
        const auto [threw, reached] =
            heap::strike_at(n, [&] { w.here.subscribe("t", [&](std::string_view) { ++failed; }); });
        was_reached = reached;
        w.sim.run_for(1s);
        BOOST_TEST(!w.here.publish("t", "own"));
        BOOST_TEST(!w.there.publish("t", "of the other"));
        w.sim.run_for(1s);
        BOOST_TEST(failed == (threw ? 0 : 2), "allocation " << n);
        w.here.subscribe("t", [&](std::string_view) { ++w.got_here; });
        w.sim.run_for(1s);
        BOOST_TEST(!w.there.publish("t", "again"));
        w.sim.run_for(1s);
        BOOST_TEST(w.got_here == 1, "allocation " << n);
    }
}

// The danger: a topic whose numbers begin again, all of which the others take for late.
BOOST_AUTO_TEST_CASE(a_topic_that_is_forgotten_without_memory_is_a_new_stream) {
    bool was_reached = true;
    for (std::uint64_t n = 0; was_reached; ++n) {
        bus_scene w;
        for (int i = 0; i < 50; ++i) BOOST_TEST(!w.here.publish("t", "1"));
        BOOST_TEST(!w.here.publish("u", "1"));
        w.sim.run_for(1s);
        was_reached = heap::strike_at(n, [&] { (void)w.here.publish("v", "1"); }).was_reached;
        w.sim.run_for(1s);
        w.got_there = 0;
        for (int i = 0; i < 10; ++i) BOOST_TEST(!w.here.publish("t", "2"));
        w.sim.run_for(1s);
        BOOST_TEST(w.got_there == 10, "allocation " << n);
    }
}

BOOST_AUTO_TEST_SUITE_END()
