// retry_budget: a percentage of the requests of a window, and a few for those with little traffic.
#include <boost/test/unit_test.hpp>
#include <ice/detail/retry_budget.hpp>

using namespace std::chrono_literals;

BOOST_AUTO_TEST_SUITE(retry_budget)

BOOST_AUTO_TEST_CASE(it_is_a_part_of_the_requests_of_a_window) {
    ice::retry_budget b(10);
    ice::time_point now{1h};
    for (int i = 0; i < 100'000; ++i) b.request(now);
    now += 30s;
    int granted = 0;
    while (b.take(now)) ++granted;
    BOOST_TEST(granted == 10, "requests of long ago allow nothing");
    for (int i = 0; i < 1000; ++i) b.request(now);
    while (b.take(now)) ++granted;
    BOOST_TEST(granted == 110);
    now += 10s;
    BOOST_TEST(!b.take(now), "the window slides");
    now += 20s;
    BOOST_TEST(b.take(now));
    ice::retry_budget none(0);
    none.request(now);
    BOOST_TEST(!none.take(now));
}

BOOST_AUTO_TEST_SUITE_END()
