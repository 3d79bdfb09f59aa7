// Seed defect 10: timers went by the wall clock, and two of the same instant ended the server.
#include "../memory_transport.hpp"
#include "../world.hpp"

BOOST_AUTO_TEST_CASE(deadlines_of_one_instant_all_fire) {
    ice::deadlines queue;
    int fired = 0;
    const auto fire = [](void* count) { ++*static_cast<int*>(count); };
    ice::deadline a(queue, fire, &fired), b(queue, fire, &fired), c(queue, fire, &fired);
    const ice::time_point at(std::chrono::seconds(1));
    a.set(at);
    b.set(at);
    c.set(at);
    queue.expire(at - std::chrono::nanoseconds(1));
    BOOST_TEST(fired == 0);
    queue.expire(at);
    BOOST_TEST(fired == 3);
}

BOOST_AUTO_TEST_CASE(two_connections_that_time_out_together_both_end) {
    test::world w;
    ice::timeouts soon;
    soon.idle = std::chrono::milliseconds(20);
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.timeouts(soon));
    auto a = w.connect(l.endpoint());
    auto b = w.connect(l.endpoint());
    a.read_to_end();
    b.read_to_end();
    w.until([&] { return l.counters().timeouts == 2; });
}

// Every deadline is on the steady clock, which setting the date does not move.
static_assert(std::is_same_v<ice::time_point, std::chrono::steady_clock::time_point>);
