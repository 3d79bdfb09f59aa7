// Each single allocation of a redis_subscriber fails once, in its calls and in its life: while it
// connects, subscribes, is refused, gets messages and loses its connection. In the end it is as if
// nothing had been, or it has told of a gap.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/redis_subscriber.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <new>
#include <optional>
#include <string>

#include "../quiet_server.hpp"
#include "../redis_broker.hpp"
#include "failing.hpp"

namespace {

using namespace std::chrono_literals;
using namespace failing;

const ice::address redis_address{"10.0.0.1", 6379};

// The broker's protocol is in the names of its functions.
bool may_fail_at_the_subscriber() { return may_fail_outside({"resp_requests", "redis_broker"}); }

struct redis_scene {
    redis_scene() {
        broker.denied = {"secret"};
        redis.on_gap([this](const ice::redis_gap&) { ++gaps; });
        redis.on_error([this](std::string_view) { ++errors; });
    }
    ice::redis_subscriber::handler count() {
        return [this](const ice::redis_message_view&) { ++got; };
    }
    void begin() {
        a = redis.subscribe("a", count());
        p = redis.psubscribe("p*", count());
        redis.subscribe("secret", count());
        redis.invalidations([this](std::optional<std::string_view>) { ++drops; });
    }
    void run(ice::duration span) { run_for(sim, span); }
    void publish() {
        broker.publish("a", "1");
        broker.publish("p1", "1");
        broker.invalidate({ice::resp_bulk_string("key")});
    }

    ice::testing::simulation sim;
    test::redis_broker broker{sim, redis_address};
    quiet_server srv{sim.host("10.0.1.1")};
    ice::redis_subscriber redis{srv, redis_address, {.backoff = {.first = 10ms, .cap = 100ms}}};
    std::uint64_t a = 0, p = 0;
    unsigned got = 0, gaps = 0, errors = 0, drops = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(redis_memory)

// The danger: a channel that is there without its subscription, or a handler that nobody can end.
// `is_second`: of a channel that has one already. `earlier` commands move the place at which the
// queues of commands grow.
bool subscription_strikes(std::uint64_t n, bool is_second, int earlier) {
    redis_scene w;
    w.run(1s);
    for (int i = 0; i < earlier; ++i) w.redis.subscribe(fmt::format("{}", i), w.count());
    unsigned of_the_first = 0, failed = 0;
    if (is_second) w.redis.subscribe("a", [&](const ice::redis_message_view&) { ++of_the_first; });
    w.run(1s);
    const auto [threw, was_reached] = heap::strike_at(
        n, [&] { w.redis.subscribe("a", [&](const ice::redis_message_view&) { ++failed; }); });
    w.run(3s);
    w.broker.publish("a", "1");
    w.run(1s);
    BOOST_TEST(failed == (threw ? 0U : 1U), "allocation " << n);
    const auto again = w.redis.subscribe("a", w.count());
    w.run(1s);
    w.broker.publish("a", "2");
    w.run(1s);
    BOOST_TEST(w.got == 1U, "allocation " << n);
    BOOST_TEST(of_the_first == (is_second ? 2U : 0U));
    // This has its effect all the same, if need be on another connection.
    BOOST_TEST(!heap::strike_at(n, [&] { w.redis.unsubscribe(again); }).threw, "allocation " << n);
    w.run(3s);
    w.broker.publish("a", "3");
    w.run(1s);
    BOOST_TEST(w.got == 1U, "allocation " << n);
    return was_reached;
}

BOOST_AUTO_TEST_CASE(a_subscription_without_memory_leaves_nothing) {
    for (const bool is_second : {false, true}) {
        for (int earlier = 0; earlier < 24; ++earlier) {
            for (std::uint64_t n = 0; subscription_strikes(n, is_second, earlier);) ++n;
        }
    }
}

BOOST_AUTO_TEST_CASE(invalidations_without_memory_are_asked_for_or_not) {
    bool was_reached = true;
    for (std::uint64_t n = 0; was_reached; ++n) {
        redis_scene w;
        w.run(1s);
        const auto [threw, reached] = heap::strike_at(n, [&] {
            w.redis.invalidations([&w](std::optional<std::string_view>) { ++w.drops; });
        });
        was_reached = reached;
        w.run(3s);
        BOOST_TEST(w.redis.is_tracking() == !threw, "allocation " << n);
        BOOST_TEST((w.drops != 0) == !threw, "allocation " << n);
    }
}

// `by_us`: reconnect() ends the connection. If the session cannot be woken, closed() is not called.
bool life_strikes(std::uint64_t n, bool by_us) {
    redis_scene w;
    w.begin();
    heap::fail(n, may_fail_at_the_subscriber);
    w.run(1s);
    w.publish();
    w.run(15s);  // a heartbeat, and the secret channel is asked for again
    in_spite_of_it([&] {
        if (by_us) w.redis.link().reconnect();
        else w.broker.close_all();
    });
    w.run(1ms);
    BOOST_TEST((w.redis.link().is_connected() || !w.redis.is_tracking()), "allocation " << n);
    BOOST_TEST((w.redis.link().is_connected() || !w.redis.is_subscribed(w.a)), "allocation " << n);
    w.run(2s);
    const bool was_reached = !heap::waits_to_fail();
    heap::fail_no_more();
    w.run(30s);
    BOOST_TEST(w.redis.is_settled(), "allocation " << n);
    BOOST_TEST((w.redis.is_subscribed(w.a) && w.redis.is_subscribed(w.p)), "allocation " << n);
    BOOST_TEST(w.redis.is_tracking(), "allocation " << n);
    BOOST_TEST(w.errors >= 1U, "allocation " << n);
    BOOST_TEST(w.gaps >= 1U, "allocation " << n);
    const unsigned before = w.got, dropped = w.drops;
    w.publish();
    w.run(1s);
    BOOST_TEST(w.got == before + 2, "allocation " << n);
    BOOST_TEST(w.drops == dropped + 1, "allocation " << n);
    return was_reached;
}

// The danger: a subscription that is not asked for again, or messages that are lost without a gap.
BOOST_AUTO_TEST_CASE(each_allocation_of_its_life_may_fail) {
    for (const bool by_us : {false, true}) {
        std::uint64_t n = 0;
        while (life_strikes(n, by_us)) ++n;
        BOOST_TEST(n > 100U);
    }
}

BOOST_AUTO_TEST_SUITE_END()
