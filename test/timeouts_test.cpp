// Every timeout, interval and cap at its edges: the longest value of its type, zero, and less. The
// longest overflowed in the conversion to nanoseconds: it expired at once, or a pool connected
// without a pause. In virtual time; UBSan must find nothing.
#include <boost/test/unit_test.hpp>
#include <functional>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>

#include "asking.hpp"
#include "quick.hpp"

namespace {

using namespace std::chrono_literals;
using ms = std::chrono::milliseconds;
using lines = ice::session<ice::line>;

const std::vector<ms> longest{ms::max(), ms::max() - 1ms};
const std::vector<ms> none{0ms, -1ms, ms::min()};

// -- listeners

// A peer may have to say a line before it is heard.
struct greeted : ice::line {
    ice::task<ice::error_code> handshake(ice::session<greeted>& peer) {
        const auto hello = co_await peer.receive();
        co_return hello ? ice::error_code() : hello.error();
    }
};

// A day after it has connected it says what it was told to say; then it waits for a line.
struct slow_peer {
    std::string first, later;
    std::optional<ice::result<std::string>> heard;

    static ice::task<> talk(ice::testing::simulation& sim, slow_peer& me) {
        auto peer = co_await sim.open<ice::line>(asking::far);
        if (!peer) throw std::runtime_error("no connection");
        lines& s = **peer;
        s.bytes().out() += me.first;
        s.try_flush();
        co_await s.sleep(24h);
        s.bytes().out() += me.later;
        s.try_flush();
        auto reply = co_await s.receive();
        if (reply) me.heard.emplace(std::string(*reply));
        else me.heard.emplace(reply.error());
    }
};

// What a peer hears that takes a day for `first`, then `later`.
template <class P, class L>
std::string heard(const ice::timeouts& t, std::string first, std::string later, L logic) {
    ice::testing::simulation sim;
    quiet_server srv{sim.host("10.0.0.1")};
    srv.add(ice::tcp_server_action{asking::far}.protocol(P{}).logic(logic).timeouts(t));
    slow_peer p{std::move(first), std::move(later), {}};
    sim.spawn(slow_peer::talk(sim, p));
    sim.run_until([&] { return p.heard.has_value(); }, 72h);
    srv.stop();
    sim.run_for(1h);
    if (!p.heard) return "nothing";
    return *p.heard ? **p.heard : p.heard->error().message();
}

std::string echoed(std::string_view line) { return std::string(line); }

ice::task<std::string> after_a_day(std::string_view line, lines& peer) {
    std::string kept(line);
    co_await peer.sleep(24h);
    co_return kept;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(timeouts)

BOOST_AUTO_TEST_CASE(the_longest_timeouts_of_a_listener_do_not_expire) {
    for (const ms t : longest) {
        BOOST_TEST(heard<greeted>({.handshake = t}, "", "hi\r\nx\r\n", echoed) == "x");
        BOOST_TEST(heard<ice::line>({.message = t}, "he", "llo\r\n", echoed) == "hello");
        BOOST_TEST(heard<ice::line>({.idle = t}, "", "hello\r\n", echoed) == "hello");
        BOOST_TEST(heard<ice::line>({.idle = t, .logic = t}, "hello\r\n", "", after_a_day) ==
                   "hello");
    }
}

BOOST_AUTO_TEST_CASE(timeouts_of_zero_expire_at_once) {
    const std::string closed = make_error_code(ice::errc::closed).message();
    for (const ms t : none) {
        BOOST_TEST(heard<greeted>({.handshake = t}, "", "hi\r\nx\r\n", echoed) == closed);
        BOOST_TEST(heard<ice::line>({.message = t}, "he", "llo\r\n", echoed) == closed);
        BOOST_TEST(heard<ice::line>({.idle = t}, "", "hello\r\n", echoed) == closed);
        BOOST_TEST(heard<ice::line>({.logic = t}, "hello\r\n", "", after_a_day) == closed);
    }
}

namespace {

// A peer that reads nothing for a day; how much of `size` bytes it has got in the end.
ice::task<> read_late(ice::testing::simulation& sim, std::size_t& got) {
    auto bytes = co_await sim.net()->connect(asking::far, ice::never);
    ice::channel& c = **bytes;
    c.out() = "more\r\n";
    c.try_flush();
    co_await sim.net()->sleep(24h);
    for (;;) {
        const ice::error_code ec = co_await c.fill();
        if (ec) co_return;
        got += c.data().size();
        c.consume(c.data().size());
    }
}

// A peer that closes a day after our graceful close; the sessions that are left before it.
ice::task<> close_late(ice::testing::simulation& sim) {
    auto bytes = co_await sim.net()->connect(asking::far, ice::never);
    ice::channel& c = **bytes;
    c.out() = "bye\r\n";
    c.try_flush();
    co_await sim.net()->sleep(24h);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_write_timeout_may_be_any_duration) {
    constexpr std::size_t size = 1'000'000;  // more than the kernels between hold
    const auto more = [](std::string_view) { return std::string(size, 'x'); };
    const auto got = [&](ms t) {
        ice::testing::simulation sim;
        quiet_server srv{sim.host("10.0.0.1")};
        srv.add(ice::tcp_server_action{asking::far}.logic(more).timeouts({.write = t}));
        std::size_t n = 0;
        sim.spawn(read_late(sim, n));
        sim.run_for(48h);
        return n;
    };
    for (const ms t : longest) BOOST_TEST(got(t) == size);
    for (const ms t : none) BOOST_TEST(got(t) < size);
}

BOOST_AUTO_TEST_CASE(the_linger_timeout_may_be_any_duration) {
    const auto bye = [](std::string_view, lines& peer) { peer.close(); };
    const auto left = [&](ms t) {
        ice::testing::simulation sim;
        quiet_server srv{sim.host("10.0.0.1")};
        auto& l = srv.add(ice::tcp_server_action{asking::far}
                              .protocol(ice::line{})
                              .logic(bye)
                              .timeouts({.linger = t}));
        sim.spawn(close_late(sim));
        sim.run_for(23h);
        const std::size_t open = l.size();
        sim.run_for(2h);
        BOOST_TEST(l.size() == 0U);
        return open;
    };
    for (const ms t : longest) BOOST_TEST(left(t) == 1U);
    for (const ms t : none) BOOST_TEST(left(t) == 0U);
}

// -- pools

namespace {

// An upstream that takes a day for "day".
ice::task<std::string> answer(std::string_view line, lines& peer) {
    std::string kept(line);
    if (kept == "day") co_await peer.sleep(24h);
    co_return kept;
}

struct slow : asking {
    slow() {
        up.add(ice::tcp_server_action{far}
                   .protocol(ice::line{})
                   .logic(answer)
                   .timeouts({.idle = 1000h, .logic = 1000h}));
    }
    ~slow() {
        srv.stop();
        up.stop();
        sim.run_for(25h);
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_request_and_acquire_timeouts_may_be_any_duration) {
    for (const ms t : longest) {
        slow a;
        a.add(1, {.acquire = t, .request = t});
        auto& first = a.begin("day");
        auto& second = a.begin("x");  // waits for the connection
        BOOST_TEST(!a.sim.run_until([&] { return second.has_value(); }, 23h));
        a.sim.run_for(2h);
        BOOST_TEST_REQUIRE((first.has_value() && second.has_value()));
        BOOST_TEST((**first == "day" && **second == "x"));
    }
    for (const ms t : none) {
        slow a;
        a.add(1, {.request = t});
        BOOST_TEST((a.ask("x") == ice::errc::acquire_timeout));  // and nothing was sent
    }
    for (const ms t : none) {
        slow a;
        a.add(1, {.acquire = t});
        a.begin("day");
        BOOST_TEST((a.ask("x") == ice::errc::acquire_timeout));
    }
}

BOOST_AUTO_TEST_CASE(the_timeout_of_a_single_request_may_be_any_duration) {
    const auto ask = [](auto span) {
        slow a;
        a.add(1);
        auto& reply = a.begin("day", span);
        a.sim.run_for(25h);
        return reply ? reply->error() : make_error_code(ice::errc::idle_timeout);
    };
    BOOST_TEST(!ask(std::chrono::hours::max()));
    BOOST_TEST(!ask(std::chrono::seconds::max()));
    BOOST_TEST(!ask(ms::max() - 1ms));
    BOOST_TEST(!ask(ice::duration::max()));
    BOOST_TEST((ask(std::chrono::hours::min()) == ice::errc::acquire_timeout));
    BOOST_TEST((ask(-1h) == ice::errc::acquire_timeout));
}

BOOST_AUTO_TEST_CASE(the_sum_of_the_waits_of_callers_does_not_overflow) {
    // 10,000 requests in flight add up to 292 years within 11 days.
    static constexpr auto ages = std::chrono::years(200);
    asking a;
    a.up.add(ice::tcp_server_action{asking::far}
                 .protocol(ice::line{})
                 .logic([](std::string_view, lines& peer) -> ice::task<std::string> {
                     co_await peer.sleep(ages);
                     co_return "at last";
                 })
                 .timeouts({.idle = ice::no_timeout, .logic = ice::no_timeout}));
    auto& p = a.add(2, {.request = ice::no_timeout, .max_lifetime = ice::no_timeout});
    auto &first = a.begin("x"), &second = a.begin("y");
    a.sim.run_for(ages + 1h);
    BOOST_TEST((first.has_value() && second.has_value()));
    BOOST_TEST((p.counters().request_time == ice::no_timeout));
    BOOST_TEST(p.report().find(" 2 replies") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(the_timeout_of_a_lease_may_be_any_duration) {
    const auto talk = [](ice::pool<ice::line>& p, auto span, std::string& said) -> ice::task<> {
        auto lease = co_await p.acquire(span);
        if (!lease) said = lease.error().message();
        if (!lease) co_return;
        const ice::error_code ec = co_await (*lease)->send(std::string("day"));
        if (ec) co_return;
        const auto reply = co_await (*lease)->receive();
        said = reply ? std::string(*reply) : reply.error().message();
    };
    for (const bool all : {true, false}) {
        slow a;
        auto& p = a.add(1);
        std::string said = "nothing";
        a.sim.spawn(all ? talk(p, std::chrono::hours::max(), said) : talk(p, -1h, said));
        a.sim.run_for(25h);
        const std::string late = make_error_code(ice::errc::acquire_timeout).message();
        BOOST_TEST(said == (all ? "day" : late));
    }
}

BOOST_AUTO_TEST_CASE(the_longest_lifetimes_keep_connections_open) {
    // The pool took the connection for too old at once, and made another for each request.
    for (const ms t : longest) {
        slow a;
        auto& p = a.add(2, {.idle = t, .max_lifetime = t}, {.min_connections = 2});
        a.sim.run_for(is_quick ? 24h : 240h);
        for (int i = 0; i < 20; ++i) BOOST_TEST(!a.ask("x"));
        BOOST_TEST(p.counters().connects == 2U);
        BOOST_TEST(p.idle() == 2U);
    }
}

BOOST_AUTO_TEST_CASE(a_lifetime_of_zero_serves_callers_and_does_not_spin) {
    // With min_connections that end at once, the pool connected as fast as the network allowed.
    for (const ms t : none) {
        for (const auto& times :
             {ice::pool_timeouts{.idle = t}, ice::pool_timeouts{.max_lifetime = t}}) {
            slow a;
            auto& p = a.add(2, times, {.min_connections = 2});
            a.sim.run_for(10s);
            BOOST_TEST(p.counters().connects <= 50U);  // two each pool_timeouts::retry_interval
            BOOST_TEST(!a.ask("x"));
        }
    }
}

BOOST_AUTO_TEST_CASE(the_refresh_of_a_name_may_be_any_duration) {
    const auto named = [](ms t) {
        asking a;
        a.serve();
        a.sim.resolves("up.example", {"10.0.0.1"});
        const ice::address where("up.example", 7);
        auto& p = a.open(ice::tcp_client_action{where, asking::name, 1}.timeouts({.refresh = t}));
        a.sim.run_for(100ms);
        BOOST_TEST(a.sim.events() < 1000U, "it looks up at most once a millisecond");
        BOOST_TEST(!a.ask("x"));
        return p.counters().connects;
    };
    for (const ms t : longest) BOOST_TEST(named(t) == 1U);
    for (const ms t : none) BOOST_TEST(named(t) == 1U);
}

BOOST_AUTO_TEST_CASE(the_connect_timeout_may_be_any_duration) {
    const auto tried = [](ms t) {
        asking a;
        a.serve();
        a.sim.faults()[ice::testing::fault::blackhole] = 1;
        auto& p = a.add(1, {.connect = t});
        a.sim.run_for(1h);
        return p.counters().connect_failures;
    };
    for (const ms t : longest) BOOST_TEST(tried(t) == 0U);
    for (const ms t : none) BOOST_TEST(tried(t) > 0U);
}

namespace {

// What it connects to must say something first.
struct patient : ice::line {
    ice::task<ice::error_code> handshake(ice::session<patient>& peer) {
        const ice::error_code unsent = co_await peer.send(std::string("day"));
        if (unsent) co_return unsent;
        const auto hello = co_await peer.receive();
        co_return hello ? ice::error_code() : hello.error();
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(the_handshake_timeout_may_be_any_duration) {
    constexpr ice::pool_name<patient> name{"patient"};
    const auto idle = [&](ms t, ice::duration span) {
        slow a;
        auto& p = a.srv.add(
            ice::tcp_client_action{asking::far, name, 1}.timeouts({.handshake = t, .idle = 1h}));
        a.sim.run_for(span);
        return p.idle();
    };
    for (const ms t : longest) BOOST_TEST(idle(t, 24h + 1min) == 1U);
    for (const ms t : none) BOOST_TEST(idle(t, 10min) == 0U);  // it connects without end
}

BOOST_AUTO_TEST_CASE(the_check_timeout_may_be_any_duration) {
    using counts = std::pair<std::uint64_t, std::uint64_t>;
    const auto failed = [](ms reply, auto interval) {
        slow a;
        auto& p = a.open(ice::tcp_client_action{asking::far, asking::name, 1}
                             .timeouts({.idle = 1000h, .check = reply, .max_lifetime = 1000h})
                             .health_check(std::string("day"), interval));
        a.sim.run_for(30h);
        return counts(p.counters().checks, p.counters().checks_failed);
    };
    for (const ms t : longest) BOOST_TEST((failed(t, 1h) == counts(2, 0)));
    BOOST_TEST((failed(1s, ms::max()) == counts(0, 0)));
    BOOST_TEST((failed(1s, ms::max() - 1ms) == counts(0, 0)));
    for (const ms t : none) BOOST_TEST(failed(t, 1h).second > 0U);
}

BOOST_AUTO_TEST_CASE(a_check_interval_of_zero_checks_often_and_does_not_spin) {
    for (const ms t : none) {
        asking a;
        a.serve();
        auto& p = a.open(ice::tcp_client_action{asking::far, asking::name, 1}.health_check(
            std::string("ping"), t));
        a.sim.run_for(1s);
        BOOST_TEST(p.counters().checks > 100U);
        BOOST_TEST(p.counters().checks <= 1000U);  // one each millisecond
    }
}

// -- upstreams that are down

BOOST_AUTO_TEST_CASE(the_retry_interval_may_be_any_duration) {
    // Each of fifty callers within 50 ms caused a connect.
    const auto connects = [](ms t) {
        asking a;
        auto& p = a.open(ice::tcp_client_action{asking::far, asking::name, 1}
                             .timeouts({.retry_interval = t})
                             .backoff({.first = 1h, .cap = 1h}));
        for (int i = 0; i < 50; ++i) {
            a.ask();
            a.sim.run_for(1ms);
        }
        return p.counters().connects;
    };
    for (const ms t : longest) BOOST_TEST(connects(t) <= 2U);
    for (const ms t : none) BOOST_TEST((connects(t) > 2U && connects(t) <= 51U));
}

BOOST_AUTO_TEST_CASE(the_back_off_may_be_any_duration) {
    const auto connects = [](ice::backoff_limits b) {
        asking a;
        auto& p = a.open(ice::tcp_client_action{asking::far, asking::name, 1}.backoff(b));
        a.sim.run_for(1s);
        return p.counters().connects;
    };
    for (const ms t : longest) {
        BOOST_TEST(connects({.first = t, .cap = t}) == 1U);
        BOOST_TEST(connects({.first = 50ms, .cap = t}) < 10U);
        BOOST_TEST(connects({.first = t, .cap = 10ms}) > 50U);
    }
    for (const ms t : none) {
        BOOST_TEST(connects({.first = t, .cap = 30s}) < 30U);
        BOOST_TEST(connects({.first = 50ms, .cap = t}) > 1000U);  // never waits: as it is told
    }
}

BOOST_AUTO_TEST_CASE(a_pause_of_the_breaker_is_no_longer_than_the_outage_whatever_its_cap) {
    // With a large cap the pause lasted centuries.
    const auto pause = [](ice::breaker_limits b) {
        slow a;
        b.failures = 1;
        auto& p = a.add(2, {.request = 100ms}, {}, b);
        a.ask("day");
        return p.addresses().all().front()->breaker.due() - a.sim.now();
    };
    for (const ms t : longest) {
        BOOST_TEST((pause({.cap = t}) <= 500ms));
        BOOST_TEST((pause({.first = t}) <= 30s));
        BOOST_TEST((pause({.first = t, .cap = t}) > 24h));
    }
    for (const ms t : none) {
        BOOST_TEST((pause({.cap = t}) <= 0ms));
        BOOST_TEST((pause({.first = t}) <= 0ms));
    }
}

// -- what else takes a duration

BOOST_AUTO_TEST_CASE(a_sleep_and_a_grace_period_may_be_any_duration) {
    const auto sleep = [](std::shared_ptr<ice::transport> net, auto span,
                          bool& over) -> ice::task<> {
        co_await net->sleep(span);
        over = true;
    };
    ice::testing::simulation sim;
    bool late = false, soon = false, past = false;
    sim.spawn(sleep(sim.net(), std::chrono::hours::max(), late));
    sim.spawn(sleep(sim.net(), ms::min(), soon));
    sim.spawn(sleep(sim.net(), std::chrono::hours::min(), past));
    sim.run_for(24h);
    BOOST_TEST((soon && past && !late));

    slow a;
    a.add(1, {.request = ms::max()});
    auto& reply = a.begin("day");
    a.srv.drain(std::chrono::hours::max());
    a.sim.run_for(25h);
    BOOST_TEST_REQUIRE(reply.has_value());
    BOOST_TEST(!reply->error());
}

BOOST_AUTO_TEST_CASE(durations_of_a_simulation_may_be_any) {
    ice::testing::simulation sim;
    quiet_server srv{sim.host("10.0.0.1")};
    srv.add(ice::tcp_server_action{asking::far}.protocol(ice::line{}));
    const auto ask = [&](auto span) { return sim.ask<ice::line>(asking::far, "x", span); };
    BOOST_TEST(!sim.run(ask(std::chrono::hours::max()), std::chrono::hours::max()).error());
    BOOST_TEST((sim.run(ask(-1h)).error() == ice::errc::connect_timeout));
    BOOST_CHECK_THROW(sim.run(sim.net()->sleep(1h), ms::min()), std::runtime_error);
    sim.faults().stall = std::chrono::hours::max();
    sim.faults()[ice::testing::fault::slow_connect] = 1;
    BOOST_TEST((sim.run(ask(1s)).error() == ice::errc::connect_timeout));
    srv.stop();
    sim.run_for(std::chrono::hours::max());  // until nothing happens any more
    BOOST_TEST((sim.now() < ice::never));
}

BOOST_AUTO_TEST_SUITE_END()
