// upstream_health: the decisions alone, and a pool that follows them, both in virtual time.
#include <algorithm>
#include <ice/detail/upstream_health.hpp>
#include <list>

#include "conversation.hpp"
#include "quiet_server.hpp"

using namespace test;

namespace {

const ice::backoff_limits growing{.first = 100ms, .cap = 400ms};

ice::time_point at(ice::duration span) { return ice::time_point() + span; }

// A pool of one connection in memory. Its own attempts are too far away to be seen.
struct pooled : memory_world {
    static constexpr ice::pool_name<ice::line> name{"up"};
    static constexpr auto far_away = std::chrono::hours(1);

    pooled() {
        net->chance = static_cast<std::uint64_t>(ice::duration(far_away).count());
        net->dial = [this]() -> ice::result<std::unique_ptr<ice::channel>> {
            ++dials;
            if (!up) return ice::make_error_code(ice::errc::host_not_found);
            auto made = std::make_unique<memory_channel>(*net);
            wire = made.get();
            return std::unique_ptr<ice::channel>(std::move(made));
        };
        srv.add(ice::tcp_client_action{ice::address("upstream", 1), name, 1}.backoff(
            {.first = far_away, .cap = far_away}));
        settle();
    }
    ~pooled() {
        srv.stop();
        settle();
    }

    // A request; answered if there is a connection for it. Whether it had its reply.
    bool ask() {
        auto& slot = replies.emplace_back();
        spawn(keep(srv.get(name), slot));
        settle();
        if (!slot && wire) wire->arrive("reply\r\n");
        settle();
        BOOST_TEST_REQUIRE(slot.has_value(), "nobody waits");
        return slot->has_value();
    }
    void go_down() {
        up = false;
        std::exchange(wire, nullptr)->arrive_end();
        settle();
    }

    using reply = std::optional<ice::result<std::string>>;
    static ice::task<> keep(ice::pool<ice::line>& p, reply& slot) {
        slot = co_await p.request("ask");
    }

    std::list<reply> replies;
    quiet_server srv{net};
    memory_channel* wire = nullptr;  // the last connection
    bool up = true;
    int dials = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(upstream_health)

// -- the decisions

BOOST_AUTO_TEST_CASE(a_new_upstream_counts_as_healthy) {
    // Otherwise a new pool would refuse its first callers.
    const ice::upstream_health h(growing, 500ms);
    BOOST_TEST(!h.is_failing());
    BOOST_TEST(!h.why());
}

BOOST_AUTO_TEST_CASE(a_failure_and_its_cause_last_until_a_connection_is_made) {
    ice::upstream_health h(growing, 500ms);
    h.failed(ice::errc::connect_timeout, at(0s), 0);
    h.failed(ice::errc::host_not_found, at(1s), 0);
    BOOST_TEST(h.is_failing());
    BOOST_TEST(h.why() == ice::errc::host_not_found);
    BOOST_TEST(h.connected(), "it is news");
    BOOST_TEST(!h.is_failing());
    BOOST_TEST(!h.connected(), "it is none");
}

BOOST_AUTO_TEST_CASE(callers_cause_one_attempt_per_retry_interval) {
    // More attempts are a storm against a dead upstream; with fewer, a restarted one stays unused.
    ice::upstream_health h(growing, 500ms);
    h.failed(ice::errc::connect_timeout, at(1s), 0);
    BOOST_TEST(!h.may_try(at(1s)));
    BOOST_TEST(!h.may_try(at(1500ms - 1ns)));
    BOOST_TEST(h.may_try(at(1500ms)));
    BOOST_TEST(!h.may_try(at(1500ms)));
    BOOST_TEST(!h.may_try(at(2000ms - 1ns)));
    BOOST_TEST(h.may_try(at(2000ms)));
    h.failed(ice::errc::connect_timeout, at(1900ms), 0);  // the time counts from the end
    BOOST_TEST(!h.may_try(at(2400ms - 1ns)));
    BOOST_TEST(h.may_try(at(2400ms)));
}

BOOST_AUTO_TEST_CASE(after_three_retry_intervals_attempts_are_rarer_and_spread) {
    // A thousand pools that each try twice a second, in step, overload the upstream.
    const auto next = [](std::uint64_t random) {
        ice::upstream_health h(growing, 500ms);
        h.failed(ice::errc::connect_timeout, at(1s), random);
        h.failed(ice::errc::connect_timeout, at(2s), random);  // the third time ends in 500 ms
        ice::duration pause = 0s;
        while (!h.may_try(at(2s + pause))) pause += 10ms;
        return pause;
    };
    BOOST_TEST((next(0) == 2s));
    BOOST_TEST((next(std::uint64_t{100} << 32) == 7s));
    BOOST_TEST((next(std::uint64_t{50} << 32) == 4500ms));

    ice::upstream_health h(growing, 500ms);
    h.failed(ice::errc::connect_timeout, at(1s), 0);
    h.failed(ice::errc::connect_timeout, at(10s), 0);
    h.connected();
    h.failed(ice::errc::connect_timeout, at(20s), 0);  // lost anew
    BOOST_TEST(h.may_try(at(20500ms)));
}

BOOST_AUTO_TEST_CASE(the_next_attempt_backs_off_until_there_is_a_reply) {
    // An upstream that accepts and closes at once does not prove that it works.
    ice::upstream_health h({.first = 1ms, .cap = 1h}, 500ms);
    ice::duration bound = 1ms;
    for (int i = 0; i < 5; ++i, bound *= 4) {
        const auto random = static_cast<std::uint64_t>(bound.count());
        BOOST_TEST((h.failed(ice::errc::upstream_closes, at(1s), random) == at(1s + bound)));
        h.connected();
    }
    h.replied();
    BOOST_TEST((h.failed(ice::errc::upstream_closes, at(1s), 1'000'000) == at(1s + 1ms)));
}

// -- a pool

BOOST_FIXTURE_TEST_CASE(callers_cause_attempts_to_an_upstream_that_went_away, pooled) {
    // Without attempts the upstream stays unused for the whole back-off; too many overload it.
    BOOST_TEST(ask());
    BOOST_TEST(dials == 1);
    go_down();
    BOOST_TEST(!ask());
    BOOST_TEST(dials == 2);
    constexpr int tried[] = {50, 100, 530, 960};  // the pause is 4.3 s with this chance
    for (int step = 1; step <= 1000; ++step) {
        advance(10ms);
        BOOST_TEST_REQUIRE(!ask());
        BOOST_TEST_REQUIRE(dials ==
                           2 + std::ranges::count_if(tried, [&](int p) { return p <= step; }));
    }
    BOOST_TEST(replies.back()->error() == ice::errc::host_not_found);
}

BOOST_FIXTURE_TEST_CASE(an_upstream_that_returns_soon_is_used_within_the_retry_interval, pooled) {
    go_down();
    BOOST_TEST(!ask());
    advance(200ms);
    up = true;
    int refused = 0;
    for (; !ask(); ++refused) {
        BOOST_TEST_REQUIRE(refused < 30);
        advance(10ms);
    }
    BOOST_TEST(refused == 30);
    for (int i = 0; i < 3; ++i) BOOST_TEST(ask());
    BOOST_TEST(dials == 3);
}

BOOST_FIXTURE_TEST_CASE(an_upstream_that_returns_late_is_used_after_a_pause, pooled) {
    go_down();
    BOOST_TEST(!ask());
    advance(1h - 10s);
    BOOST_TEST(!ask());
    up = true;
    advance(4300ms - 1ns);
    BOOST_TEST(!ask());
    advance(1ns);
    BOOST_TEST(ask());
    BOOST_TEST(dials == 4);
}

BOOST_FIXTURE_TEST_CASE(without_callers_an_upstream_is_tried_by_back_off, pooled) {
    // The first caller after a long pause should find a connection.
    go_down();
    BOOST_TEST(!ask());
    up = true;
    advance(1h - 1ms);
    BOOST_TEST(dials == 2);
    advance(1ms);
    BOOST_TEST(dials == 3);
    BOOST_TEST(ask());
    BOOST_TEST(dials == 3);
}

BOOST_AUTO_TEST_SUITE_END()
