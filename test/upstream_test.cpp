// upstream: which of several addresses gets the next connection; and a pool of several addresses,
// in virtual time, while some of them fail and come back.
#include <ice/detail/upstream.hpp>

#include <algorithm>
#include <map>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

ice::time_point at(ice::duration span) { return ice::time_point() + span; }

// Three of a pool, without the pool.
struct three {
    ice::upstreams all{
        {ice::address("10.0.0.1", 1), ice::address("10.0.0.2", 1), ice::address("10.0.0.3", 1)},
        {.first = 100ms, .cap = 400ms},
        500ms,
        {.failures = 1, .first = 1s, .cap = 1s}};

    // "a", "b" and "c" stand for them.
    static std::string host(std::string_view letter) {
        return fmt::format("10.0.0.{}", letter.front() - 'a' + 1);
    }
    std::string next(ice::time_point now = at(0s)) {
        const auto* u = all.next(now);
        return u == nullptr ? "none"
                            : std::string(1, static_cast<char>('a' + u->where.host().back() - '1'));
    }
    ice::upstream& operator[](std::string_view letter) {
        for (const auto& u : all.all()) {
            if (u->where.host() == host(letter)) return *u;
        }
        throw std::logic_error("no such host");
    }
    void fail(std::string_view host, ice::time_point now = at(0s)) {
        (*this)[host].health.failed(ice::errc::connect_timeout, now, 0);
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(upstream)

// -- the decisions

BOOST_FIXTURE_TEST_CASE(a_connection_goes_to_the_address_with_the_fewest_and_ties_alternate,
                        three) {
    std::map<std::string, int> given;
    for (int i = 0; i < 9; ++i) {
        const std::string host = next();
        ++given[host];
        ++(*this)[host].open;
    }
    for (const auto* host : {"a", "b", "c"}) BOOST_TEST(given[host] == 3);
    --(*this)["a"].open;
    BOOST_TEST(next() == "a");
    ++(*this)["a"].open;
    BOOST_TEST(next() != next(), "none is always the first");
}

BOOST_FIXTURE_TEST_CASE(a_failing_address_gets_no_connection_while_others_work, three) {
    fail("b");
    for (int i = 0; i < 9; ++i) BOOST_TEST(next(at(1h)) != "b");
    BOOST_TEST(!all.are_down());
    const auto is_available = [](const auto& u) { return u->is_available(); };
    BOOST_TEST(std::ranges::any_of(all.all(), is_available));
}

BOOST_FIXTURE_TEST_CASE(if_all_addresses_fail_each_is_tried_once_per_retry_interval, three) {
    for (const auto* host : {"a", "b", "c"}) fail(host);
    BOOST_TEST(all.are_down());
    BOOST_TEST(all.why() == ice::errc::connect_timeout);
    BOOST_TEST(next(at(499ms)) == "none");
    BOOST_TEST(next(at(500ms)) != "none");
    BOOST_TEST(next(at(500ms)) != "none");
    BOOST_TEST(next(at(500ms)) != "none");
    BOOST_TEST(next(at(500ms)) == "none");
}

BOOST_FIXTURE_TEST_CASE(an_address_with_an_open_breaker_is_unused_until_its_pause_ends, three) {
    for (const auto& u : all.all())
        u->breaker.failed(ice::errc::request_timeout, 0, at(0s), 500'000'000);
    BOOST_TEST(all.are_down());
    BOOST_TEST(all.why() == ice::errc::breaker_open);
    BOOST_TEST(next(at(499ms)) == "none");
    const std::string first = next(at(500ms));
    BOOST_TEST(first != "none");
    (*this)[first].breaker.begin_trial(at(500ms));
    BOOST_TEST(next(at(500ms)) != first, "it has its trial");
    (*this)[first].breaker.succeeded();
    for (int i = 0; i < 9; ++i) BOOST_TEST(next(at(500ms)) == first);
}

// -- a pool

namespace {

constexpr ice::pool_name<ice::line> name{"many"};

ice::address place(int i) { return {fmt::format("10.0.0.{}", i), 7}; }

// Three machines, each of which answers with its number.
struct fixture {
    using reply = ice::pool_result<std::string>;

    fixture() {
        srv.log().to([this](ice::log_level, std::string_view l) { log += std::string(l) + "\n"; });
        for (int i = 1; i <= 3; ++i) start(i);
    }
    void start(int i) {
        auto& one = machines[i] = std::make_unique<quiet_server>(sim.host(place(i).host()));
        one->add(ice::tcp_server_action{place(i)}
                     .protocol(ice::line{})
                     .logic([this, i](std::string_view,
                                      ice::session<ice::line>& peer) -> ice::task<std::string> {
                         if (hangs == i || hangs == everybody) co_await peer.sleep(1h);
                         if (work != 0ms) co_await peer.sleep(work);
                         co_return fmt::format("{}", i);
                     }));
    }
    void kill(int i) {
        machines[i]->stop();
        sim.run_for(1ms);
        machines[i].reset();
    }
    ice::pool<ice::line>& add(std::size_t size) {
        auto& p = srv.add(ice::tcp_client_action{{place(1), place(2), place(3)}, name, size}
                              .timeouts({.request = 100ms, .idle = 1h})
                              .breaker({.failures = 3, .first = 1s, .cap = 1s}));
        sim.run_for(1ms);
        return p;
    }
    ice::task<reply> one(ice::duration timeout) {
        auto got = co_await srv.get(name).request("who?", timeout);
        co_return got;
    }
    // Which machines have answered `n` requests in a row: "1:10 2:10", errors as "x:2".
    std::string ask(int n, ice::duration timeout = 100ms) {
        std::map<std::string, int> seen;
        for (int i = 0; i < n; ++i) {
            last = sim.run(one(timeout));
            ++seen[*last ? **last : "x"];
        }
        std::string all;
        for (const auto& [who, times] : seen)
            all += fmt::format("{}{}:{}", all.empty() ? "" : " ", who, times);
        return all;
    }
    void crowd(int n) {
        for (int i = 0; i < n; ++i) sim.spawn(forget());
        sim.run_for(1s);
    }
    ice::task<> forget() {
        const auto ignored = co_await one(1s);
        BOOST_TEST(ignored.has_value());
    }
    ice::task<> keep_busy() {
        while (busy) { const auto ignored = co_await one(1s); }
    }
    std::vector<std::size_t> open() {
        std::vector<std::size_t> all;
        for (const auto& u : srv.get(name).state().upstreams) all.push_back(u.open);
        return all;
    }
    using counts = std::vector<std::size_t>;

    ice::testing::simulation sim;
    std::map<int, std::unique_ptr<quiet_server>> machines;
    ice::server srv{sim.net()};
    static constexpr int everybody = -1;
    int hangs = 0;
    ice::duration work{};  // of each answer
    bool busy = true;
    std::string log;
    std::optional<reply> last;
};

}  // namespace

BOOST_FIXTURE_TEST_CASE(connections_and_requests_are_spread_over_all_addresses, fixture) {
    add(6);
    BOOST_TEST((open() == counts{2, 2, 2}));
    BOOST_TEST(ask(30) == "1:10 2:10 3:10");
}

BOOST_FIXTURE_TEST_CASE(the_others_take_the_share_of_an_address_that_is_down, fixture) {
    // The danger: a third of all requests fails while one of three machines is down.
    auto& p = add(6);
    kill(2);
    BOOST_TEST(ask(30) == "1:15 3:15");
    const auto state = p.state();
    BOOST_TEST((state.upstreams[1].down == std::errc::connection_refused));
    BOOST_TEST(p.report().find("10.0.0.1:7: up (3 open), 10.0.0.2:7: down, cannot connect: "
                               "Connection refused (0 open), 10.0.0.3:7: up (2 open)") !=
                   std::string::npos,
               p.report());
}

BOOST_FIXTURE_TEST_CASE(an_address_that_comes_back_gets_its_share_again, fixture) {
    // The danger: the pool is full of connections to the others, so it never connects to this one.
    auto& p = add(6);
    kill(2);
    ask(30);
    crowd(6);
    BOOST_TEST((open() == counts{3, 0, 3}));
    start(2);
    sim.run_for(1min);
    BOOST_TEST(open()[1] == 1U);
    ask(30);
    sim.run_for(1s);
    BOOST_TEST((open() == counts{2, 2, 2}));
    BOOST_TEST(ask(30) == "1:10 2:10 3:10");
    BOOST_TEST(p.counters().rebalanced >= 2U);
    BOOST_TEST(log.find("10.0.0.2:7 is back") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_full_pool_tries_an_unreachable_address_again, fixture) {
    // The danger: one attempt fails, no caller needs another connection, and the pool never uses
    // the address again.
    auto& p = add(6);
    kill(2);
    ask(30);
    crowd(6);
    BOOST_TEST((open() == counts{3, 0, 3}));
    const auto failed = [&] { return p.state().upstreams[1].connect_failures; };
    const auto before = failed();
    for (int i = 0; i < 10; ++i) {  // 30 s at most lie between two attempts
        sim.run_for(30s);
        crowd(6);
    }
    BOOST_TEST(failed() >= before + 10);
    BOOST_TEST((open() == counts{3, 0, 3}), "the others lose nothing by it");
    start(2);
    sim.run_for(31s);
    BOOST_TEST(open()[1] == 1U);
    ask(30);
    sim.run_for(1s);
    BOOST_TEST((open() == counts{2, 2, 2}));
    BOOST_TEST(ask(30) == "1:10 2:10 3:10");
}

BOOST_FIXTURE_TEST_CASE(an_address_that_hangs_is_unused_until_its_trial_succeeds, fixture) {
    auto& p = add(3);
    hangs = 3;
    BOOST_TEST(ask(9) == "1:3 2:3 x:3");
    BOOST_TEST(last->has_value() == false);
    BOOST_TEST(last->failure().upstream() == "10.0.0.3:7");
    BOOST_TEST(ask(30) == "1:15 2:15");
    BOOST_TEST(p.state().upstreams[2].trips == 1U);
    sim.run_for(1s);
    BOOST_TEST(ask(30).ends_with("x:1"), "the trial");
    hangs = 0;
    sim.run_for(1s);
    ask(30);
    sim.run_for(1s);
    ask(30);
    BOOST_TEST(ask(30) == "1:10 2:10 3:10");
}

BOOST_FIXTURE_TEST_CASE(addresses_that_need_a_trial_do_not_evict_each_other, fixture) {
    // The danger: in a pool of size 1 each trial evicts the one before and is due at once: hundreds
    // of connects a second without a caller.
    auto& p = add(1);
    hangs = everybody;
    ask(12);
    for (const auto& u : p.state().upstreams)
        BOOST_TEST((u.breaker != ice::breaker::states::closed));
    const auto before = p.counters().connects;
    sim.run_for(1min);
    BOOST_TEST(p.counters().connects > before);
    BOOST_TEST(p.counters().connects <= before + 3 * 2 * 60,
               "each twice a second, by `retry_interval`");
    hangs = 0;
    ask(30);
    sim.run_for(2s);
    BOOST_TEST(ask(30).find('x') == std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(an_address_that_hung_returns_to_a_pool_that_is_never_idle, fixture) {
    // The danger: connections to the others fill the pool, and under their load none is ever idle,
    // so none makes room.
    add(3);
    work = 2ms;
    hangs = 3;
    ask(12);
    for (int i = 0; i < 8; ++i) sim.spawn(keep_busy());
    sim.run_for(2s);
    hangs = 0;
    sim.run_for(5s);
    BOOST_TEST((open() == counts{1, 1, 1}));
    busy = false;
    sim.run_for(2s);
}

BOOST_FIXTURE_TEST_CASE(if_all_addresses_are_down_callers_fail_at_once_with_the_cause, fixture) {
    add(3);
    for (int i = 1; i <= 3; ++i) kill(i);
    ask(1);
    const auto before = sim.now();
    BOOST_TEST(ask(5) == "x:5");
    BOOST_TEST((sim.now() - before < 1ms));
    BOOST_TEST(fmt::format("{}", last->failure()) ==
               "pool 'many' of 10.0.0.1:7, 10.0.0.2:7, 10.0.0.3:7: cannot connect: Connection "
               "refused (not executed)");
    start(2);
    sim.run_for(1min);
    BOOST_TEST(ask(10) == "2:10");
}

BOOST_FIXTURE_TEST_CASE(a_caller_makes_the_pool_try_all_addresses_that_were_down, fixture) {
    // The danger: the caller fails because one address is still down, while another is up again.
    for (int i = 1; i <= 3; ++i) kill(i);
    srv.add(ice::tcp_client_action{{place(1), place(2), place(3)}, name, 1}.backoff(
        {.first = 1h, .cap = 1h}));
    BOOST_TEST(ask(1) == "x:1");
    sim.run_for(600ms);
    start(3);
    BOOST_TEST(ask(3) == "3:3");
}

BOOST_FIXTURE_TEST_CASE(a_dead_first_address_delays_no_caller_at_the_start, fixture) {
    kill(1);
    add(1);
    BOOST_TEST(ask(10).find('x') == std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(an_address_that_a_name_loses_gets_no_more_requests, fixture) {
    // The danger: the pool keeps using a machine that the name no longer means.
    sim.resolves("up", {"10.0.0.1"});
    auto& p =
        srv.add(ice::tcp_client_action{ice::address("up", 7), name, 1}.timeouts({.refresh = 10s}));
    BOOST_TEST(ask(5) == "1:5");
    BOOST_TEST(p.report().starts_with("pool 'many' of up:7 (10.0.0.1): up, 1 of 1 open"));
    sim.resolves("up", {"10.0.0.2"});
    BOOST_TEST(ask(5) == "1:5", "the old connection is good");
    sim.run_for(11s);
    BOOST_TEST(ask(5) == "2:5");
    BOOST_TEST(p.state().upstreams.size() == 1U);
    kill(2);
    sim.resolves("up", {"10.0.0.2", "10.0.0.3"});
    ask(1);
    sim.run_for(1s);
    BOOST_TEST(ask(5) == "3:5", "a refused connection makes the pool look the name up");
}

BOOST_FIXTURE_TEST_CASE(each_address_of_a_name_has_its_share_and_replaces_the_others, fixture) {
    // The danger: all requests go to the first one, also after it has died.
    sim.resolves("up", {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    srv.add(ice::tcp_client_action{ice::address("up", 7), name, 3}.timeouts({.idle = 1h}));
    BOOST_TEST(ask(30) == "1:10 2:10 3:10");
    kill(1);
    BOOST_TEST(ask(30) == "2:15 3:15");
    start(1);
    sim.run_for(1min);
    ask(30);
    sim.run_for(1s);
    BOOST_TEST(ask(30) == "1:10 2:10 3:10");
}

BOOST_FIXTURE_TEST_CASE(a_pool_survives_an_outage_of_its_name_server, fixture) {
    sim.resolves("up", {"10.0.0.1"});
    srv.add(ice::tcp_client_action{ice::address("up", 7), name, 2}.timeouts(
        {.max_lifetime = 1min, .refresh = 10s}));
    BOOST_TEST(ask(5) == "1:5");
    sim.resolves("up", {});
    for (int i = 0; i < 60; ++i) {
        sim.run_for(10s);
        BOOST_TEST(ask(5) == "1:5");
    }
    BOOST_TEST(log.find("up:7: ") != std::string::npos, log);
    BOOST_TEST(srv.get(name).counters().lookups > 10u);
    BOOST_TEST(srv.get(name).counters().lookups_failed + 1 == srv.get(name).counters().lookups);
    BOOST_TEST(srv.get(name).report().find(" lookups, ") != std::string::npos);
}

BOOST_FIXTURE_TEST_CASE(a_pool_needs_an_address, fixture) {
    BOOST_CHECK_THROW(srv.add(ice::tcp_client_action{std::vector<ice::address>{}, name, 1}),
                      std::invalid_argument);
}

BOOST_AUTO_TEST_SUITE_END()
