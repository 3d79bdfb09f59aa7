// breaker: its decisions alone, without clock or connection; and a pool with breakers, in virtual
// time.
#include <ice/detail/breaker.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;
using states = ice::breaker::states;

constexpr ice::error_code (*late)() = [] {
    return ice::make_error_code(ice::errc::request_timeout);
};

ice::time_point at(ice::duration span) { return ice::time_point() + span; }
std::uint64_t all_of(ice::duration span) { return static_cast<std::uint64_t>(span.count()); }

constexpr ice::breaker_limits three{.failures = 3, .first = 100ms, .cap = 3s};

// Fails so often that it opens at `now`, for `pause`.
ice::breaker opened(ice::time_point now, ice::duration pause) {
    ice::breaker b(three);
    for (int i = 0; i < 3; ++i) b.failed(late(), 0, now, all_of(pause));
    return b;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(breaker)

// -- the decisions

BOOST_AUTO_TEST_CASE(a_breaker_opens_at_its_limit_and_not_before) {
    ice::breaker b(three);
    BOOST_TEST(b.is_closed());
    BOOST_TEST(!b.failed(late(), 0, at(1s), 0));
    BOOST_TEST(!b.failed(late(), 0, at(1s), 0));
    BOOST_TEST(b.is_closed(), "one below");
    BOOST_TEST(b.failed(late(), 0, at(1s), 0), "the limit");
    BOOST_TEST((b.state() == states::open));
    BOOST_TEST(!b.failed(late(), 0, at(1s), 0), "one above is no news");
    BOOST_TEST(b.why() == ice::errc::request_timeout);
}

BOOST_AUTO_TEST_CASE(a_reply_restarts_the_count_of_failures) {
    // An upstream that loses one request in ten is not down.
    ice::breaker b(three);
    for (int i = 0; i < 100; ++i) {
        b.failed(late(), 0, at(1s), 0);
        b.failed(late(), 0, at(1s), 0);
        BOOST_TEST(!b.succeeded());
    }
    BOOST_TEST(b.is_closed());
    BOOST_TEST(b.failures() == 0U);
}

BOOST_AUTO_TEST_CASE(unlimited_never_opens_and_zero_opens_at_the_first_failure) {
    ice::breaker never({.failures = ice::unlimited}), first({.failures = 0});
    for (int i = 0; i < 1000; ++i) BOOST_TEST_REQUIRE(!never.failed(late(), 0, at(1s), 0));
    BOOST_TEST(first.failed(late(), 0, at(1s), 0));
}

BOOST_AUTO_TEST_CASE(no_request_passes_in_the_pause_and_one_after_it) {
    auto b = opened(at(1s), 80ms);
    BOOST_TEST(b.begin_trial(at(1s)) == 0U);
    BOOST_TEST(b.begin_trial(at(1080ms - 1ns)) == 0U);
    BOOST_TEST(b.begin_trial(at(1080ms)) != 0U);
    BOOST_TEST((b.state() == states::half_open));
    BOOST_TEST(b.begin_trial(at(1h)) == 0U, "exactly one");
}

BOOST_AUTO_TEST_CASE(a_trial_without_a_result_is_given_up) {
    // The danger: the timeout of its caller is an hour, and the pool refuses all others for an
    // hour.
    auto b = opened(at(1s), 0ms);
    const auto first = b.begin_trial(at(1s));
    b.give_up(first, at(6s));
    BOOST_TEST(b.begin_trial(at(6s - 1ns)) == 0U);
    const auto second = b.begin_trial(at(6s));
    b.give_up(first, at(7s));
    BOOST_TEST((b.due() == ice::never));
    BOOST_TEST(second != 0U);
    BOOST_TEST(!b.failed(late(), first, at(7s), 0), "it decides nothing more");
    b.left(first);
    BOOST_TEST((b.state() == states::half_open));
    BOOST_TEST(b.failed(late(), second, at(7s), 0));
}

BOOST_AUTO_TEST_CASE(the_result_of_the_trial_decides) {
    auto good = opened(at(1s), 0ms), bad = good;
    good.begin_trial(at(1s));
    BOOST_TEST(good.succeeded());
    BOOST_TEST(good.is_closed());
    BOOST_TEST(good.failures() == 0U);
    const auto p = bad.begin_trial(at(1s));
    BOOST_TEST(bad.failed(late(), p, at(2s), all_of(1s)), "once is enough");
    BOOST_TEST((bad.state() == states::open));
    BOOST_TEST((bad.due() == at(3s)), "and the pause is longer");
}

BOOST_AUTO_TEST_CASE(a_pause_is_no_longer_than_the_outage_and_its_cap) {
    // The danger: an upstream that hung for a second gets no request for many seconds.
    auto b = opened(at(1s), 100ms);
    struct {
        ice::duration now, most;
    } const trials[] = {{1050ms, 100ms}, {1150ms, 150ms}, {2s, 1s}, {4s, 3s}, {1h, 3s}};
    for (const auto& [now, most] : trials) {
        auto longer = b;
        longer.failed(late(), longer.begin_trial(at(1h)), at(now), all_of(most) + 1);
        BOOST_TEST((longer.due() == at(now)), "no pause is longer than its bound");
        b.failed(late(), b.begin_trial(at(1h)), at(now), all_of(most));
        BOOST_TEST((b.due() == at(now + most)));
    }
    b.succeeded();
    for (int i = 0; i < 3; ++i) b.failed(late(), 0, at(2h), all_of(100ms));
    BOOST_TEST((b.due() == at(2h + 100ms)), "a new outage");
}

BOOST_AUTO_TEST_CASE(requests_from_before_the_pause_count_only_with_a_reply) {
    // The danger: ten older requests that time out after the trial began cancel it, again and
    // again.
    auto b = opened(at(1s), 0ms);
    BOOST_TEST(!b.failed(late(), 0, at(1s), 0));
    const auto p = b.begin_trial(at(1s));
    BOOST_TEST(!b.failed(late(), 0, at(1s), 0));
    BOOST_TEST((b.state() == states::half_open));
    BOOST_TEST(b.succeeded(), "a late reply is a reply");
    BOOST_TEST(!b.failed(late(), p, at(1s), 0), "then the trial is one of many");
}

BOOST_AUTO_TEST_CASE(a_trial_of_an_earlier_pause_does_not_count_when_the_breaker_opens_again) {
    // Its connection would stay idle, and be assigned, while the breaker of its address is open.
    ice::breaker b = opened(at(0s), 100ms);
    const auto p = b.begin_trial(at(1s));
    BOOST_TEST(b.is_current(p));
    BOOST_TEST(b.succeeded(), "another request was answered meanwhile");
    BOOST_TEST(!b.is_current(p));
    for (int i = 0; i < 3; ++i) b.failed(late(), 0, at(2s), 0);
    BOOST_TEST((b.state() == states::open));
    BOOST_TEST(!b.is_current(p));
    const auto q = b.begin_trial(at(3s));
    BOOST_TEST(!b.is_current(p));
    BOOST_TEST(b.is_current(q));
    BOOST_TEST(!b.is_current(0));
}

BOOST_AUTO_TEST_CASE(a_cancelled_trial_allows_the_next_one) {
    // The danger: the caller of the trial is cancelled, and no other trial follows.
    auto b = opened(at(1s), 80ms);
    const auto p = b.begin_trial(at(2s));
    b.left(p);
    BOOST_TEST((b.state() == states::open));
    const auto q = b.begin_trial(at(2s));
    BOOST_TEST(q != 0U);
    b.left(p);
    BOOST_TEST((b.state() == states::half_open), "an old trial says nothing of the new one");
    BOOST_TEST(!b.failed(late(), p, at(2s), 0));
    BOOST_TEST((b.state() == states::half_open));
    b.left(0);
    BOOST_TEST((b.state() == states::half_open));
}

// -- a pool

namespace {

// An upstream that answers, hangs, hangs up or lies, and a pool that asks it.
struct fixture : asking {
    fixture() {
        serve([this](std::string_view m, ice::session<ice::line>& peer) -> ice::task<std::string> {
            ++asked;
            if (hangs) co_await peer.sleep(1h);
            if (hangs_up) throw std::runtime_error("no");
            co_return std::string(m);
        });
    }
    ice::pool<ice::line>& add(std::size_t size = 1, std::size_t depth = 1,
                              ice::breaker_limits b = {.first = 1s, .cap = 8s}) {
        return asking::add(size, {.request = 100ms}, {.pipeline = depth}, b);
    }
    // Until the breaker has opened.
    void break_it() {
        hangs = true;
        for (int i = 0; i < 5; ++i) BOOST_TEST(ask() == ice::errc::request_timeout);
        BOOST_TEST((breaker_state() == states::open));
    }
    states breaker_state() { return srv.get(name).state().upstreams.front().breaker; }
    // How many of so many that ask at once get a reply.
    int passed(int callers, ice::duration timeout = {}) {
        std::vector<const slot*> many;
        for (int i = 0; i < callers; ++i) many.push_back(&begin("hello", timeout));
        int n = 0;
        for (auto* r : many) n += end(*r) ? 0 : 1;
        return n;
    }

    bool hangs = false, hangs_up = false;
    int asked = 0;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(after_five_timeouts_an_upstream_gets_no_request, fixture) {
    // The danger: each caller waits for its whole timeout while the upstream hangs.
    auto& p = add();
    hangs = true;
    for (int i = 0; i < 4; ++i) BOOST_TEST(ask() == ice::errc::request_timeout);
    BOOST_TEST((breaker_state() == states::closed));
    BOOST_TEST(ask() == ice::errc::request_timeout);
    BOOST_TEST((breaker_state() == states::open));
    const auto before = sim.now();
    const ice::error_code sixth = ask();
    BOOST_TEST(sixth == ice::errc::breaker_open);
    BOOST_TEST((sixth == ice::condition::not_executed));
    BOOST_TEST((sim.now() - before < 1ms), "at once");
    BOOST_TEST(asked == 5);
    BOOST_TEST(p.counters().breaker_open == 1U);
    BOOST_TEST(fmt::format("{}", replies.back()->failure()) ==
               "pool 'far' of 10.0.0.1:7: too many requests in a row have failed: the upstream is "
               "given a pause; of the upstream: no reply in time (not executed)");
    BOOST_TEST(p.report().find("10.0.0.1:7: breaker open, no reply in time, ") !=
               std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(after_the_pause_the_reply_to_one_request_closes_the_breaker, fixture) {
    add(3);
    break_it();
    hangs = false;
    asked = 0;
    sim.run_for(1s);
    BOOST_TEST(passed(10) == 1, "exactly one");
    BOOST_TEST(asked == 1);
    BOOST_TEST((breaker_state() == states::closed));
    for (int i = 0; i < 3; ++i) BOOST_TEST(!ask());
}

BOOST_FIXTURE_TEST_CASE(a_pool_that_recovers_does_not_exceed_its_size, fixture) {
    auto& p = add();
    break_it();
    hangs = false;
    sim.run_for(1s);
    BOOST_TEST(!ask());
    const auto connects = p.counters().connects;
    BOOST_TEST(p.state().open() == 1U);
    sim.run_for(1s);
    BOOST_TEST(p.state().open() == 1U);
    BOOST_TEST(p.counters().connects == connects);
}

BOOST_FIXTURE_TEST_CASE(a_failed_trial_costs_one_caller_only, fixture) {
    add(3);
    break_it();
    asked = 0;
    int trials = 0;
    for (int i = 0; i < 6000; ++i) {
        if (ask() != ice::errc::breaker_open) ++trials;
        sim.run_for(10ms);
    }
    BOOST_TEST(trials == asked);
    BOOST_TEST(trials >= 7, "a minute, and a pause is no longer than 8 s");
    BOOST_TEST(trials <= 60);
}

BOOST_FIXTURE_TEST_CASE(after_a_trial_whose_caller_left_another_follows, fixture) {
    add();
    break_it();
    hangs = false;
    sim.run_for(1s);
    BOOST_TEST(ask("t\r\nwo") == ice::errc::unencodable);
    BOOST_TEST((breaker_state() != states::closed));
    BOOST_TEST(!ask());
    BOOST_TEST((breaker_state() == states::closed));
}

BOOST_FIXTURE_TEST_CASE(a_caller_that_arrives_while_the_trial_connects_gets_the_trial, fixture) {
    // The danger: the pool refuses the caller, and then the new connection has no request.
    auto& p = add();
    break_it();
    hangs = false;
    BOOST_TEST_REQUIRE(sim.run_until([&] { return p.state().connecting == 1; }, 10s));
    auto &first = begin(), &second = begin();
    BOOST_TEST(end(second) == ice::errc::breaker_open);
    BOOST_TEST(!end(first));
    BOOST_TEST((breaker_state() == states::closed));
}

BOOST_FIXTURE_TEST_CASE(an_unused_trial_connection_does_not_keep_the_breaker_open, fixture) {
    // The upstream closes the connection while it is idle, and the next caller needs another.
    add();
    break_it();
    hangs = false;
    sim.run_for(10min);
    BOOST_TEST((breaker_state() != states::closed));
    BOOST_TEST(!ask());
}

BOOST_FIXTURE_TEST_CASE(errors_that_the_caller_caused_do_not_count, fixture) {
    auto& p = add();
    for (int i = 0; i < 20; ++i) BOOST_TEST(ask("t\r\nwo") == ice::errc::unencodable);
    for (int i = 0; i < 20; ++i)
        BOOST_TEST(ask(std::string(9000, 'x')) == ice::errc::message_too_large);
    BOOST_TEST((replies.back()->failure().kind() == ice::failure_kind::bad_request));
    BOOST_TEST(!replies.back()->failure().may_have_been_executed());
    for (int i = 0; i < 20; ++i) {
        auto leaver = [&]() -> ice::task<> {
            auto mine = co_await p.acquire();
            co_await (*mine)->send(std::string_view("asks and goes"));
        };
        sim.run(leaver());
    }
    BOOST_TEST(p.counters().discarded == 20U);
    BOOST_TEST((breaker_state() == states::closed));
    BOOST_TEST(!ask());
}

BOOST_FIXTURE_TEST_CASE(a_broken_shared_connection_is_one_failure, fixture) {
    // Sixteen callers of a broken connection are one failure, not more than three times the limit.
    add(1, 16);
    hangs_up = true;
    for (int round = 1; round <= 5; ++round) {
        BOOST_TEST((breaker_state() == states::closed));
        BOOST_TEST(passed(16, 10s) == 0);
    }
    BOOST_TEST((breaker_state() == states::open));
}

BOOST_FIXTURE_TEST_CASE(five_callers_of_a_silent_shared_connection_open_the_breaker, fixture) {
    // The danger: the connection stays until the last of them gives up, and each new caller waits.
    add(1, 100);
    hangs = true;
    BOOST_TEST(passed(5, 100ms) == 0);
    BOOST_TEST((breaker_state() == states::open));
}

BOOST_FIXTURE_TEST_CASE(callers_with_short_timeouts_do_not_open_the_breaker, fixture) {
    for (const std::size_t depth : {1U, 8U}) {
        asking slow;
        slow.serve_slowly(10ms);
        auto& p = slow.add(8, {}, {.pipeline = depth});
        auto& waits = slow.begin();
        for (int i = 0; i < 20; ++i) BOOST_TEST(slow.ask("x", 1ms) == ice::errc::request_timeout);
        BOOST_TEST(p.state().upstreams.front().trips == 0U);
        BOOST_TEST(!slow.end(waits));
        BOOST_TEST(!slow.ask());
    }
}

BOOST_FIXTURE_TEST_CASE(a_trial_is_not_shared, fixture) {
    add(1, 16);
    hangs_up = true;
    for (int i = 0; i < 5; ++i) BOOST_TEST(ask() == ice::errc::closed);
    BOOST_TEST((breaker_state() == states::open));
    hangs_up = false;
    asked = 0;
    sim.run_for(1s);
    BOOST_TEST(passed(16) == 1);
    for (int i = 0; i < 3; ++i) BOOST_TEST(!ask());
}

BOOST_FIXTURE_TEST_CASE(a_breaker_without_limit_never_opens, fixture) {
    add(1, 1, {.failures = ice::unlimited});
    hangs = true;
    for (int i = 0; i < 20; ++i) BOOST_TEST(ask() == ice::errc::request_timeout);
}

BOOST_FIXTURE_TEST_CASE(waiters_fail_at_once_when_the_breaker_opens, fixture) {
    add(1);
    hangs = true;
    for (int i = 0; i < 4; ++i) BOOST_TEST(ask() == ice::errc::request_timeout);
    auto &last = begin("hello", 1s), &waits = begin("hello", 10s);
    BOOST_TEST(end(last) == ice::errc::request_timeout);
    const auto then = sim.now();
    BOOST_TEST(end(waits) == ice::errc::breaker_open);
    BOOST_TEST((sim.now() == then));
}

BOOST_AUTO_TEST_SUITE_END()
