// limits: the table of bounds, and how many connections a limit of descriptors allows.
#include <boost/test/unit_test.hpp>
#include <ice/limits.hpp>

namespace {

using ice::connections_allowed;

}  // namespace

BOOST_AUTO_TEST_SUITE(limits)

BOOST_AUTO_TEST_CASE(below_256_descriptors_a_quarter_is_reserved) {
    // Without reserved descriptors a full server could not reach its upstreams; with too many it
    // could serve no peer.
    BOOST_TEST(connections_allowed(1000, 0) == 0U);
    BOOST_TEST(connections_allowed(1000, 1) == 1U);
    BOOST_TEST(connections_allowed(1000, 3) == 3U);
    BOOST_TEST(connections_allowed(1000, 4) == 3U);
    BOOST_TEST(connections_allowed(1000, 100) == 75U);
}

BOOST_AUTO_TEST_CASE(from_256_descriptors_on_64_are_reserved) {
    // The edge where a quarter is 64: one connection too many here is an EMFILE in production.
    BOOST_TEST(connections_allowed(10'000, 255) == 192U);
    BOOST_TEST(connections_allowed(10'000, 256) == 192U);
    BOOST_TEST(connections_allowed(10'000, 257) == 193U);
    BOOST_TEST(connections_allowed(10'000, 259) == 195U);
    BOOST_TEST(connections_allowed(10'000, 260) == 196U);
    BOOST_TEST(connections_allowed(10'000, 1024) == 960U);
}

BOOST_AUTO_TEST_CASE(no_more_connections_are_allowed_than_wanted) {
    // The limit of the process must not raise a lower limit of the user.
    BOOST_TEST(connections_allowed(0, 1024) == 0U);
    BOOST_TEST(connections_allowed(1, 1024) == 1U);
    BOOST_TEST(connections_allowed(959, 1024) == 959U);
    BOOST_TEST(connections_allowed(960, 1024) == 960U);
    BOOST_TEST(connections_allowed(961, 1024) == 960U);
}

BOOST_AUTO_TEST_CASE(unlimited_does_not_overflow) {
    // With RLIM_INFINITY or `unlimited` no sum may wrap around.
    BOOST_TEST(connections_allowed(10'000, ice::unlimited) == 10'000U);
    BOOST_TEST(connections_allowed(ice::unlimited, 1024) == 960U);
    BOOST_TEST(connections_allowed(ice::unlimited, ice::unlimited) == ice::unlimited - 64);
}

BOOST_AUTO_TEST_CASE(pools_get_their_size_up_to_half_of_the_rest) {
    // The edges where a pool's size becomes half of what is left.
    BOOST_TEST(connections_allowed(10'000, 1024, 1) == 959U);
    BOOST_TEST(connections_allowed(10'000, 1024, 479) == 481U);
    BOOST_TEST(connections_allowed(10'000, 1024, 480) == 480U);
    BOOST_TEST(connections_allowed(10'000, 1024, 481) == 480U);
    BOOST_TEST(connections_allowed(10'000, 1024, ice::unlimited) == 480U);
    BOOST_TEST(connections_allowed(100, 1024, 480) == 100U);
    BOOST_TEST(connections_allowed(10'000, 1, 1) == 1U);
    BOOST_TEST(connections_allowed(10'000, 0, 1) == 0U);
}

BOOST_AUTO_TEST_CASE(more_descriptors_never_allow_fewer_connections) {
    // A higher limit must not refuse a peer that a lower one accepts.
    for (std::size_t n = 0; n < 2000; ++n) {
        BOOST_TEST(connections_allowed(ice::unlimited, n) <=
                   connections_allowed(ice::unlimited, n + 1));
        BOOST_TEST(connections_allowed(ice::unlimited, n) <= n);
        BOOST_TEST(connections_allowed(ice::unlimited, n, 300) <=
                   connections_allowed(ice::unlimited, n + 1, 300));
    }
}

BOOST_AUTO_TEST_CASE(the_defaults_do_not_contradict_each_other) {
    // Each default is sound alone; together they could contradict their reasons.
    const ice::limits l;
    const ice::timeouts t;
    const ice::pool_limits pl;
    const ice::pool_timeouts pt;
    const ice::backoff_limits b;
    const ice::breaker_limits br;
    BOOST_TEST((pt.idle < t.idle), "a pool closes an unused connection before the server does");
    BOOST_TEST((pt.acquire <= pt.request), "waiting is a part of the request");
    BOOST_TEST((pt.connect < pt.request), "a request outlives an attempt to connect");
    BOOST_TEST((pt.retry_interval < pt.connect));
    BOOST_TEST((t.linger < t.idle));
    BOOST_TEST((b.first < b.cap));
    BOOST_TEST((br.first < br.cap));
    BOOST_TEST((pt.check < pt.request), "a check is the least of all requests");
    BOOST_TEST(l.inbox <= l.message);
    BOOST_TEST(l.connections_per_peer < l.connections);
    BOOST_TEST(pl.message == l.message);
    for (const std::size_t n : {l.connections, l.connections_per_peer, l.message, l.inbox, l.outbox,
                                l.batch, l.accepts, pl.max_waiters, pl.message, br.failures})
        BOOST_TEST((0 < n && n < ice::unlimited), "everything has a limit");
    for (const auto span : {t.handshake, t.message, t.idle, t.write, t.logic, t.linger, pt.connect,
                            pt.handshake, pt.acquire, pt.request, pt.idle, pt.retry_interval,
                            pt.max_lifetime, pt.check, b.first, b.cap, br.first, br.cap})
        BOOST_TEST((span > span.zero() && span < std::chrono::hours(1)), "and an end");
}

BOOST_AUTO_TEST_SUITE_END()
