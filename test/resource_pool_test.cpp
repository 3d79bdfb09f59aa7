// resource_pool: a pool of what another library connects. In virtual time; the library of the tests
// is a struct. apps/examples/postgres_test.py has a real one.
#include <ice/resource_pool.hpp>

#include <asio/error.hpp>
#include <cerrno>
#include <deque>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <string>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;

// What the library has of one connection.
struct wire {
    int id = 0;
    bool is_clean = true;
    bool is_closed = false;
};
using handle = std::shared_ptr<wire>;
using lease = ice::pool_result<ice::resource_lease<handle>>;
constexpr ice::resource_name<handle> name{"db"};

struct fixture {
    // Makes a wire, unless `refused` says why not.
    ice::task<ice::result<handle>> connect(const ice::address& where) {
        asked.push_back(where.text());
        co_await srv.sleep(takes);
        if (throws) throw std::runtime_error("no such database");
        if (refused) co_return refused;
        wires.push_back(std::make_shared<wire>(wire{.id = static_cast<int>(wires.size())}));
        co_return wires.back();
    }
    ice::task<ice::error_code> check(const handle& h) {
        ++checks;
        co_await srv.sleep(check_takes);
        co_return h->is_clean ? ice::error_code() : make_error_code(ice::errc::bad_message);
    }
    ice::task<ice::error_code> reset(const handle& h) {
        ++resets;
        co_await srv.sleep(reset_takes);
        h->is_clean = cleans;
        if (throws) throw std::runtime_error("no rollback");
        co_return not_reset;
    }
    ice::resource_action<handle> action(std::size_t size,
                                        ice::pool_addresses where = ice::address("10.0.0.1:5432")) {
        return ice::resource_action{std::move(where), name, size}
            .connect([this](const ice::address& to) { return connect(to); })
            .is_clean([](const handle& h) { return h->is_clean; })
            .close([](const handle& h) { h->is_closed = true; });
    }
    auto& open(ice::resource_action<handle> a) {
        auto& p = srv.add(std::move(a));
        sim.run_for(1s);
        return p;
    }
    auto acquire(ice::duration timeout = 1s) { return sim.run(srv.get(name).acquire(timeout)); }
    int id() {  // of the resource that a caller gets
        auto leased = acquire();
        return leased ? (**leased)->id : -1;
    }
    auto& open_with_reset(std::size_t size, ice::duration handshake = 1s) {
        return open(action(size).timeouts({.handshake = handshake}).reset([this](const handle& h) {
            return reset(h);
        }));
    }
    // Leases the resource, and leaves something on it.
    void soil() {
        auto leased = acquire();
        BOOST_TEST_REQUIRE(leased.has_value());
        (**leased)->is_clean = false;
    }

    ice::testing::simulation sim;
    quiet_server srv{sim.net()};
    ice::duration takes = 1ms, check_takes = 1ms, reset_takes = 1ms;
    ice::error_code refused, not_reset;
    bool throws = false, cleans = true;
    int checks = 0, resets = 0;
    std::vector<std::string> asked;
    std::deque<handle> wires;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(resource_pool, fixture)

BOOST_AUTO_TEST_CASE(callers_get_resources_that_are_made_once) {
    auto& p = open(action(2));
    for (int i = 0; i < 10; ++i) {
        auto leased = acquire();
        BOOST_TEST_REQUIRE(leased.has_value());
        BOOST_TEST((**leased)->id == 1, "the one that came back last");
    }
    BOOST_TEST(wires.size() == 2u);
    BOOST_TEST(p.counters().requests == 10u);
    BOOST_TEST(p.counters().replies == 10u);
    BOOST_TEST(p.counters().returned == 10u);
    BOOST_TEST(asked.front() == "10.0.0.1:5432");
}

BOOST_AUTO_TEST_CASE(a_caller_waits_for_the_lease_of_another) {
    open(action(1));
    std::optional<lease> first = acquire();
    auto late = acquire(100ms);
    BOOST_TEST(late.error() == ice::errc::acquire_timeout);
    BOOST_TEST(!late.failure().may_have_been_executed());
    sim.spawn([](auto& held, ice::server& s) -> ice::task<> {
        co_await s.sleep(10ms);
        held.reset();
    }(first, srv));
    BOOST_TEST(acquire(100ms).has_value());
}

// The danger: both happen in one round of the loop, and nothing wakes the caller any more.
BOOST_AUTO_TEST_CASE(a_caller_whose_time_ends_as_it_is_given_a_dead_resource_returns) {
    open(action(1));
    std::optional<lease> held = acquire();
    takes = 1h;
    std::optional<lease> got;
    const auto end = sim.now() + 1s;
    sim.spawn([](auto& pool, auto& slot) -> ice::task<> {
        auto leased = co_await pool.acquire(1s);
        slot.emplace(std::move(leased));
    }(srv.get(name), got));
    const auto die = [](void* slot) {
        auto& one = *static_cast<std::optional<lease>*>(slot);
        const handle h = **one.value();
        one.reset();
        h->is_clean = false;
    };
    ice::deadline at(sim.net()->deadlines(), die, &held);
    at.set(end);
    sim.run_for(2s);
    BOOST_TEST_REQUIRE(got.has_value());
    BOOST_TEST(got->error() == ice::errc::acquire_timeout);
}

// The danger: the next caller finds the transaction of the last one open.
BOOST_AUTO_TEST_CASE(a_resource_that_is_not_clean_closes_at_the_end_of_its_lease) {
    auto& p = open(action(1));
    {
        auto leased = acquire();
        (**leased)->is_clean = false;
    }
    BOOST_TEST(wires[0]->is_closed);
    BOOST_TEST(id() == 1);
    BOOST_TEST(p.counters().discarded == 1u);
}

BOOST_AUTO_TEST_CASE(an_idle_resource_that_is_not_clean_any_more_is_replaced) {
    auto& p = open(action(1));
    wires[0]->is_clean = false;
    BOOST_TEST(id() == 1);
    BOOST_TEST(p.counters().stale == 1u);
    wires[1]->is_clean = false;
    sim.run_for(2s);
    BOOST_TEST(wires[1]->is_closed, "found without a caller");
}

BOOST_AUTO_TEST_CASE(an_exception_and_discard_close_the_resource) {
    open(action(1));
    try {
        auto leased = acquire();
        throw std::runtime_error("of the caller");
    } catch (const std::runtime_error&) {}
    BOOST_TEST(wires[0]->is_closed);
    {
        auto leased = acquire();
        leased->discard();
    }
    BOOST_TEST(wires[1]->is_closed);
    BOOST_TEST(id() == 2);
}

BOOST_AUTO_TEST_CASE(errors_of_the_upstream_open_its_breaker_and_those_of_callers_do_not) {
    auto& p = open(action(1).breaker({.failures = 2}));
    const auto fail = [&](ice::error_code why) {
        auto leased = acquire();
        BOOST_TEST_REQUIRE(leased.has_value());
        leased->discard(why);
    };
    for (int i = 0; i < 5; ++i) fail(ice::errc::unencodable);
    for (int i = 0; i < 5; ++i) fail({1, asio::error::get_netdb_category()});
    for (int i = 0; i < 5; ++i) fail(ice::errc::request_timeout);  // at once: it was impatient
    BOOST_TEST(p.counters().replies == 5u);
    BOOST_TEST(p.counters().timeouts == 5u);
    fail(ice::errc::closed);
    fail(ice::errc::closed);
    BOOST_TEST(p.counters().closed == 2u);
    BOOST_TEST(acquire().error() == ice::errc::breaker_open);
    BOOST_TEST(p.state().upstreams.front().trips == 1u);
}

// The danger: a caller that thinks looks like an upstream that is silent.
BOOST_AUTO_TEST_CASE(a_lease_that_lasts_makes_no_impatient_caller_open_the_breaker) {
    open(action(2).timeouts({.request = 2s}).breaker({.failures = 2}));
    std::optional<lease> held = acquire();
    sim.run_for(10s);
    for (int i = 0; i < 5; ++i) {
        auto leased = acquire();
        BOOST_TEST_REQUIRE(leased.has_value());
        leased->discard(ice::errc::request_timeout);
    }
}

BOOST_AUTO_TEST_CASE(an_error_of_connect_is_the_cause_and_is_tried_again_after_a_pause) {
    refused = asio::error::service_not_found;  // of no category that ice knows
    auto& p = open(action(1));
    const auto none = acquire();
    BOOST_TEST(none.error() == ice::errc::handshake_failed);
    BOOST_TEST((none.failure().cause() == asio::error::service_not_found));
    BOOST_TEST(!none.failure().may_have_been_executed());
    sim.run_for(1min);
    const auto tries = asked.size();
    BOOST_TEST(tries > 4u);
    BOOST_TEST(tries < 40u);
    BOOST_TEST(p.counters().connect_failures == tries);
    refused = {};
    sim.run_for(1min);
    BOOST_TEST(acquire().has_value());
}

BOOST_AUTO_TEST_CASE(an_error_of_the_system_is_one_of_connecting) {
    refused = std::error_code(ECONNREFUSED, std::system_category());
    open(action(1));
    BOOST_TEST(acquire().failure().text() ==
               "pool 'db' of 10.0.0.1:5432: cannot connect: Connection refused (not executed)");
}

BOOST_AUTO_TEST_CASE(an_is_clean_that_throws_is_logged_and_closes) {
    std::string log;
    srv.log().to([&](ice::log_level, std::string_view line) { log += line; });
    open(action(1).is_clean([](handle&) -> bool { throw std::runtime_error("no"); }));
    sim.run_for(2s);
    BOOST_TEST(wires[0]->is_closed);
    BOOST_TEST(log.find("pool 'db': its is_clean threw: no") != std::string::npos, log);
}

// The danger: callers are told the cause of an attempt before this one.
BOOST_AUTO_TEST_CASE(a_connect_that_throws_has_no_cause_of_a_former_one) {
    refused = asio::error::service_not_found;
    open(action(1));
    BOOST_TEST((acquire().failure().cause() == asio::error::service_not_found));
    throws = true;
    sim.run_for(1min);
    BOOST_TEST((acquire().failure().cause() == ice::errc::handshake_failed));
}

BOOST_AUTO_TEST_CASE(a_connect_that_throws_is_logged_and_fails) {
    throws = true;
    std::string log;
    srv.log().to([&](ice::log_level, std::string_view line) { log += line; });
    open(action(1));
    BOOST_TEST(acquire().error() == ice::errc::handshake_failed);
    BOOST_TEST(log.find("pool 'db' of 10.0.0.1:5432: its connect threw: no such database") !=
                   std::string::npos,
               log);
}

// The danger: a driver that hears nothing holds a place of the pool for ever.
BOOST_AUTO_TEST_CASE(a_connect_that_takes_too_long_is_cancelled) {
    takes = 1h;
    open(action(1).timeouts({.connect = 2s}));
    const auto none = acquire(10s);
    BOOST_TEST(none.error() == ice::errc::connect_timeout);
    takes = 1ms;
    sim.run_for(1min);
    BOOST_TEST(acquire().has_value());
}

BOOST_AUTO_TEST_CASE(a_health_check_closes_what_fails_or_takes_too_long) {
    auto& p = open(action(1)
                       .timeouts({.idle = 1h, .check = 100ms})
                       .health_check([this](const handle& h) { return check(h); }, 10s));
    sim.run_for(35s);
    BOOST_TEST(checks == 3);
    BOOST_TEST(p.counters().checks_failed == 0u);
    BOOST_TEST(p.counters().replies == 0u, "a check is no lease of a caller");
    check_takes = 1h;
    sim.run_for(10s);
    BOOST_TEST(p.counters().checks_failed == 1u);
    BOOST_TEST(wires[0]->is_closed);
}

BOOST_AUTO_TEST_CASE(each_address_of_a_name_gets_resources) {
    sim.resolves("db", {"10.0.0.1", "10.0.0.2"});
    open(action(2, ice::address("db:5432")));
    std::ranges::sort(asked);
    BOOST_TEST(asked == (std::vector<std::string>{"10.0.0.1:5432", "10.0.0.2:5432"}));
}

BOOST_AUTO_TEST_CASE(a_drain_waits_for_leases_and_then_closes_everything) {
    open(action(2));
    std::optional<lease> held = acquire();
    srv.drain(1h);
    sim.run_for(1min);
    BOOST_TEST(acquire().error() == ice::errc::draining);
    BOOST_TEST((wires[0]->is_closed && !wires[1]->is_closed));
    held.reset();
    BOOST_TEST(wires[1]->is_closed);
}

BOOST_AUTO_TEST_CASE(stop_cancels_attempts_and_closes_resources) {
    auto& p = open(action(2));
    std::optional<lease> held = acquire();
    takes = 1h;
    held->value().discard();
    held.reset();
    sim.run_for(1s);
    BOOST_TEST(p.state().connecting == 1u);
    p.stop();
    sim.run_for(1s);
    BOOST_TEST(p.state().connecting == 0u);
    for (const handle& h : wires) BOOST_TEST(h->is_closed);
    BOOST_TEST(acquire().error() == ice::errc::stopped);
}

// -- reset()

BOOST_AUTO_TEST_CASE(a_reset_returns_a_resource_that_is_not_clean) {
    auto& p = open_with_reset(1);
    for (int i = 1; i <= 3; ++i) {
        soil();
        BOOST_TEST(id() == 0);
        BOOST_TEST(resets == i);
    }
    BOOST_TEST(p.counters().connects == 1u);
    BOOST_TEST(p.counters().replies == 6u, "a reset is no lease of a caller");
}

BOOST_AUTO_TEST_CASE(a_clean_or_discarded_resource_is_not_reset) {
    open_with_reset(1);
    BOOST_TEST(id() == 0);
    {
        auto leased = acquire();
        (**leased)->is_clean = false;
        leased->discard();
    }
    BOOST_TEST(wires[0]->is_closed);
    BOOST_TEST(id() == 1);
    BOOST_TEST(resets == 0);
}

// The danger: the query of a caller that was cancelled still runs, though nothing shows it.
BOOST_AUTO_TEST_CASE(a_lease_that_an_exception_destroys_is_reset) {
    open_with_reset(1);
    try {
        auto leased = acquire();
        throw std::runtime_error("of the caller");
    } catch (const std::runtime_error&) {}
    BOOST_TEST(id() == 0);
    BOOST_TEST(resets == 1);
}

BOOST_AUTO_TEST_CASE(a_reset_that_fails_throws_leaves_something_or_is_late_closes_the_resource) {
    auto& p = open_with_reset(1);
    std::string log;
    srv.log().to([&](ice::log_level, std::string_view line) { log += line; });
    for (int how = 0; how < 4; ++how) {
        not_reset = {};
        if (how == 0) not_reset = ice::errc::closed;
        throws = how == 1;
        cleans = how != 2;
        if (how == 3) reset_takes = 1h;
        soil();
        sim.run_for(100ms);
        throws = false;
        BOOST_TEST(wires.at(static_cast<std::size_t>(how))->is_closed == (how != 3));
        sim.run_for(2s);
        BOOST_TEST(wires.at(static_cast<std::size_t>(how))->is_closed);
        BOOST_TEST(id() == how + 1);
    }
    BOOST_TEST(log.find("pool 'db': its reset threw: no rollback") != std::string::npos, log);
    BOOST_TEST(p.counters().discarded == 4u);
    BOOST_TEST(p.counters().closed == 1u);
    BOOST_TEST(p.counters().timeouts == 1u);
}

BOOST_AUTO_TEST_CASE(a_reset_ends_at_the_timeout_of_a_handshake) {
    auto& p = open_with_reset(1);
    reset_takes = 990ms;
    soil();
    sim.run_for(2s);
    BOOST_TEST(p.counters().returned == 1u);
    reset_takes = 1010ms;
    soil();
    sim.run_for(2s);
    BOOST_TEST(p.counters().discarded == 1u);
}

BOOST_AUTO_TEST_CASE(a_caller_waits_for_a_reset_as_for_a_lease) {
    auto& p = open_with_reset(1);
    reset_takes = 100ms;
    soil();
    BOOST_TEST(acquire(50ms).error() == ice::errc::acquire_timeout);
    BOOST_TEST(id() == 0);
    BOOST_TEST(p.counters().connects == 1u);
}

BOOST_AUTO_TEST_CASE(a_pool_that_drains_or_ends_resets_nothing) {
    auto& p = open_with_reset(2, 1h);
    std::string log;
    srv.log().to([&](ice::log_level, std::string_view line) { log += line; });
    reset_takes = 1h;
    std::optional<lease> held = acquire();
    soil();
    p.drain();
    (**held.value())->is_clean = false;
    held.reset();
    sim.run_for(10ms);
    BOOST_TEST(resets == 1);
    BOOST_TEST(p.busy() == 1u, "the one that was in progress");
    srv.stop();
    sim.run_for(1s);
    BOOST_TEST(p.busy() == 0u);
    for (const handle& h : wires) BOOST_TEST(h->is_closed);
    BOOST_TEST(log.find("threw") == std::string::npos, log);
}

BOOST_AUTO_TEST_CASE(a_lease_may_outlive_its_server) {
    std::optional<lease> held;
    handle h;
    {
        quiet_server one(sim.net());
        one.add(action(1));
        sim.run_for(1s);
        held.emplace(sim.run(one.get(name).acquire(1s)));
        h = **held.value();
    }
    BOOST_TEST(!h->is_closed);
    held.reset();
    BOOST_TEST(h->is_closed);
}

BOOST_AUTO_TEST_SUITE_END()
