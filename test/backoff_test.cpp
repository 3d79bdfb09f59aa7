// backoff: how long to wait before connecting again. Numbers in, numbers out.
#include <boost/test/unit_test.hpp>
#include <cstdint>
#include <ice/detail/backoff.hpp>
#include <limits>
#include <random>

namespace {

using namespace std::chrono_literals;

ice::backoff_limits from_to(std::chrono::milliseconds first, std::chrono::milliseconds cap) {
    return {.first = first, .cap = cap};
}

std::uint64_t ticks(ice::duration span) { return static_cast<std::uint64_t>(span.count()); }

}  // namespace

BOOST_AUTO_TEST_SUITE(backoff)

BOOST_AUTO_TEST_CASE(the_bound_grows_up_to_the_cap_and_stays_there) {
    // Without growth, an upstream that is down gets a storm; without a cap, it is never tried
    // again.
    ice::backoff b(from_to(50ms, 30s));
    for (const auto bound : {50ms, 200ms, 800ms, 3200ms, 12'800ms, 30'000ms, 30'000ms}) {
        BOOST_TEST((b.bound() == bound), bound.count() << " ms was expected");
        b.next(0);
    }
}

BOOST_AUTO_TEST_CASE(a_cap_that_is_four_times_the_first_is_met_exactly) {
    // The edge at which growing meets the cap.
    ice::backoff b(from_to(100ms, 400ms));
    for (const auto bound : {100ms, 400ms, 400ms}) {
        BOOST_TEST((b.bound() == bound));
        b.next(1);
    }
}

BOOST_AUTO_TEST_CASE(the_jitter_is_full_from_zero_to_the_bound) {
    // With half of the range, clients that lost an upstream together would return together.
    for (const auto first : {1ms, 50ms, 30'000ms}) {
        const ice::backoff fresh(from_to(first, 30s));
        const auto most = ticks(first);
        const auto next = [&](std::uint64_t random) { return ice::backoff(fresh).next(random); };
        BOOST_TEST((next(0) == ice::duration::zero()));
        BOOST_TEST((next(1) == ice::duration(1)));
        BOOST_TEST((next(most) == first), "the bound itself can come");
        BOOST_TEST((next(most + 1) == ice::duration::zero()), "and nothing above it");
        BOOST_TEST((next(std::numeric_limits<std::uint64_t>::max()) <= first));
        BOOST_TEST((next(std::numeric_limits<std::uint64_t>::max()) >= ice::duration::zero()));
    }
}

BOOST_AUTO_TEST_CASE(no_wait_is_longer_than_its_bound) {
    // The random number has 64 bits: its sign bit must not make a wait in the past.
    std::mt19937_64 random(1);
    ice::backoff b(from_to(3ms, 7s));
    for (int i = 0; i < 10'000; ++i) {
        if (i % 20 == 0) b.reset();
        const auto bound = b.bound();
        const auto wait = b.next(random());
        BOOST_TEST((ice::duration::zero() <= wait && wait <= bound));
    }
}

BOOST_AUTO_TEST_CASE(the_waits_of_many_clients_are_spread) {
    // Units matter too: whole milliseconds of a bound of 1 ms would be no spread at all.
    std::mt19937_64 random(2);
    int late = 0;
    for (int i = 0; i < 1000; ++i) {
        ice::backoff b(from_to(1ms, 1s));
        late += b.next(random()) > 500us ? 1 : 0;
    }
    BOOST_TEST((400 < late && late < 600), late << " of 1000 in the later half");
}

BOOST_AUTO_TEST_CASE(after_a_success_the_bound_begins_at_the_first_again) {
    // Otherwise an upstream that was down once would be tried only every 30 s for ever.
    ice::backoff b(from_to(50ms, 30s));
    for (int i = 0; i < 20; ++i) b.next(0);
    BOOST_TEST((b.bound() == 30s));
    b.reset();
    BOOST_TEST((b.bound() == 50ms));
    b.next(0);
    BOOST_TEST((b.bound() == 200ms));
}

BOOST_AUTO_TEST_CASE(a_first_wait_beyond_the_cap_is_the_cap) {
    // A configuration may have the two numbers in the wrong order.
    ice::backoff b(from_to(5s, 1s));
    BOOST_TEST((b.bound() == 1s));
    BOOST_TEST((b.next(ticks(1s)) == 1s));
    BOOST_TEST((b.bound() == 1s));
    b.reset();
    BOOST_TEST((b.bound() == 1s));
    ice::backoff equal(from_to(1s, 1s));
    equal.next(0);
    BOOST_TEST((equal.bound() == 1s));
}

BOOST_AUTO_TEST_CASE(a_first_wait_of_zero_grows_too) {
    // Four times zero is zero: the pool would try an upstream that is down without a pause.
    for (const auto cap : {1ms, 2ms, 64ms, 30'000ms}) {
        ice::backoff b(from_to(0ms, cap));
        BOOST_TEST((b.next(~std::uint64_t{0}) == ice::duration::zero()));
        for (auto bound = 1ms; bound < cap; bound *= 4) {
            BOOST_TEST((b.bound() == bound));
            b.next(0);
        }
        BOOST_TEST((b.bound() == cap));
        b.next(0);
        BOOST_TEST((b.bound() == cap));
    }
}

BOOST_AUTO_TEST_CASE(a_cap_of_zero_is_no_wait) {
    // For tests and local tools: it must not divide by zero.
    ice::backoff b(from_to(50ms, 0ms));
    for (const std::uint64_t random : {std::uint64_t{0}, std::uint64_t{7}, ~std::uint64_t{0}})
        BOOST_TEST((b.next(random) == ice::duration::zero()));
}

BOOST_AUTO_TEST_SUITE_END()
