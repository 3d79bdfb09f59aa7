// Names in virtual time: names of several addresses, and lookups that are slow or fail. The code
// that decides is that of sockets.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>
#include <list>
#include <optional>

#include "../printing.hpp"
#include "../quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::errc;
using ice::testing::fault;

const ice::address up{"up", 7};

// Machines that answer with their names, on a network without delays.
struct machines {
    machines() { sim.faults().latency = sim.faults().jitter = 0ns; }

    ice::listener<ice::line>& serve(const std::string& ip) {
        auto& srv = servers.emplace_back(sim.host(ip));
        return srv.add(ice::tcp_server_action{ice::address(ip, 7)}
                           .protocol(ice::line{})
                           .logic([ip](std::string_view) { return ip; }));
    }
    // A machine that answers no SYN.
    void serve_nothing(const std::string& ip) {
        sim.faults().backlog = 0;
        silent.push_back(sim.host(ip)->listen(ice::address(ip, 7)));
        sim.faults().backlog = 128;
    }

    // The machine that answers, or the error.
    std::string ask(ice::duration timeout = 3s) {
        const ice::time_point began = sim.now();
        const auto reply = sim.run(sim.ask<ice::line>(up, "who", timeout));
        took = sim.now() - began;
        return reply ? *reply : reply.error().message();
    }

    ice::testing::simulation sim;
    std::list<quiet_server> servers;
    std::vector<std::unique_ptr<ice::acceptor>> silent;
    ice::duration took{};
};

const std::string timed_out = make_error_code(errc::connect_timeout).message();

}  // namespace

BOOST_FIXTURE_TEST_SUITE(names, machines)

BOOST_AUTO_TEST_CASE(an_address_that_answers_no_syn_costs_250_ms) {
    // It took the whole time of the connect, and the second address was never tried.
    serve_nothing("10.0.0.1");
    serve("10.0.0.2");
    sim.resolves("up", {"10.0.0.1", "10.0.0.2"});
    BOOST_TEST(ask() == "10.0.0.2");
    BOOST_TEST((took == 250ms));
}

BOOST_AUTO_TEST_CASE(an_address_that_refuses_costs_nothing) {
    serve("10.0.0.2");
    sim.resolves("up", {"10.0.0.1", "10.0.0.2"});
    BOOST_TEST(ask() == "10.0.0.2");
    BOOST_TEST((took < 1ms));
}

BOOST_AUTO_TEST_CASE(the_other_family_is_second_even_if_the_resolver_lists_it_last) {
    for (const char* ip : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) serve_nothing(ip);
    serve("2001:db8::1");
    sim.resolves("up", {"10.0.0.1", "10.0.0.2", "10.0.0.3", "2001:db8::1"});
    BOOST_TEST(ask() == "2001:db8::1");
    BOOST_TEST((took == 250ms));
}

BOOST_AUTO_TEST_CASE(all_addresses_share_one_deadline) {
    for (const char* ip : {"10.0.0.1", "10.0.0.2", "10.0.0.3"}) serve_nothing(ip);
    sim.resolves("up", {"10.0.0.1", "10.0.0.2", "10.0.0.3"});
    BOOST_TEST(ask() == timed_out);
    BOOST_TEST((took == 3s));
    // An attempt that was begun last has what is left.
    serve("10.0.0.4");
    sim.resolves("up", {"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"});
    BOOST_TEST(ask(750ms) == timed_out);
    BOOST_TEST((took == 750ms));
    BOOST_TEST(ask(751ms) == "10.0.0.4");
}

BOOST_AUTO_TEST_CASE(the_address_that_worked_is_first_for_ten_minutes) {
    // Otherwise each connection of a pool takes 250 ms longer while one address of many is down.
    auto& first = serve("10.0.0.1");
    serve("10.0.0.2");
    sim.resolves("up", {"10.0.0.9", "10.0.0.2", "10.0.0.1"});
    serve_nothing("10.0.0.9");
    BOOST_TEST(ask() == "10.0.0.2");
    BOOST_TEST((took == 250ms));
    sim.run_for(10min - 1s);
    BOOST_TEST(ask() == "10.0.0.2");
    BOOST_TEST((took == 0ms));
    sim.run_for(2s);
    BOOST_TEST(ask() == "10.0.0.2");
    BOOST_TEST((took == 250ms), "the order of the resolver counts again");
    sim.resolves("up", {"10.0.0.9", "10.0.0.1"});
    BOOST_TEST(ask() == "10.0.0.1");
    BOOST_TEST((took == 250ms), "it is no address of the name any more");
    BOOST_TEST(first.counters().accepted == 1U);
}

BOOST_AUTO_TEST_CASE(if_the_first_address_works_the_resolvers_order_stays) {
    // A name that stands for many machines spreads load by the order of its addresses.
    serve("10.0.0.1");
    serve("10.0.0.2");
    sim.resolves("up", {"10.0.0.1", "10.0.0.2"});
    BOOST_TEST(ask() == "10.0.0.1");
    sim.resolves("up", {"10.0.0.2", "10.0.0.1"});
    BOOST_TEST(ask() == "10.0.0.2");
}

BOOST_AUTO_TEST_CASE(attempts_that_lose_are_closed) {
    // Otherwise each would leave an open connection without an owner.
    auto& slow = serve("10.0.0.1");
    auto& quick = serve("10.0.0.2");
    sim.resolves("up", {"10.0.0.1", "10.0.0.2"});
    sim.faults().latency = 300ms;  // 600 ms to connect: both attempts do
    BOOST_TEST(ask() == "10.0.0.1");
    sim.run_for(5s);
    BOOST_TEST(slow.counters().accepted == 1U);
    BOOST_TEST(slow.size() == 0U);
    BOOST_TEST(quick.counters().accepted == 1U);
    BOOST_TEST(quick.counters().closed == 1U);
    BOOST_TEST(quick.size() == 0U);
}

BOOST_AUTO_TEST_CASE(a_cancelled_caller_ends_its_attempts) {
    for (const char* ip : {"10.0.0.1", "10.0.0.2"}) serve_nothing(ip);
    sim.resolves("up", {"10.0.0.1", "10.0.0.2"});
    for (const auto when : {100ms, 400ms, 0ms}) {  // 0: while the name is looked up
        if (when == 0ms) sim.lookup_takes("up", 1s);
        asio::cancellation_signal leave;
        std::optional<ice::error_code> ended;
        auto connect = [&]() -> ice::task<> {
            const auto r = co_await sim.net()->connect(up, ice::never);
            ended = r.error();
        };
        asio::co_spawn(sim.net()->executor(), connect(),
                       asio::bind_cancellation_slot(leave.slot(), [](std::exception_ptr) {}));
        sim.run_for(when);
        leave.emit(asio::cancellation_type::terminal);
        sim.run_for(1ms);
        BOOST_TEST_REQUIRE(ended.has_value());
        BOOST_TEST((*ended == std::errc::operation_canceled), ended->message());
        BOOST_TEST((*ended == ice::condition::not_executed));
    }
    silent.clear();
    BOOST_TEST(sim.run_until([&] { return sim.quiescent(); }, 5min));
}

BOOST_AUTO_TEST_CASE(a_lookup_counts_towards_the_deadline) {
    serve("10.0.0.1");
    sim.resolves("up", {"10.0.0.1"});
    sim.lookup_takes("up", 2s);
    BOOST_TEST(ask() == "10.0.0.1");
    BOOST_TEST((took == 2s));
    BOOST_TEST(ask(1s) == timed_out);
    BOOST_TEST((took == 1s));
}

BOOST_AUTO_TEST_CASE(a_failing_name_server_and_an_unknown_name_are_different_errors) {
    // The first error may pass, the second needs a change of the configuration.
    serve("10.0.0.1");
    sim.lookup_fails("up", errc::name_resolution_failed);
    BOOST_TEST(ask() == "cannot connect: temporary failure of name resolution");
    sim.resolves("up", {});
    BOOST_TEST(ask() == "cannot connect: host not found");
    sim.resolves("up", {"10.0.0.1"});
    BOOST_TEST(ask() == "10.0.0.1");
}

BOOST_AUTO_TEST_CASE(faults_make_lookups_slow_or_fail_at_random) {
    serve("10.0.0.1");
    sim.resolves("up", {"10.0.0.1"});
    sim.faults()[fault::name_fails] = 1;
    BOOST_TEST(ask() == make_error_code(errc::name_resolution_failed).message());
    sim.faults()[fault::name_fails] = 0;
    sim.faults()[fault::slow_name] = 1;
    sim.faults().stall = 2s;
    BOOST_TEST(ask() == "10.0.0.1");
    BOOST_TEST((took > 10ms));
    BOOST_TEST(sim.fired(fault::name_fails) == 1U);
    BOOST_TEST(sim.fired(fault::slow_name) == 1U);
}

BOOST_AUTO_TEST_CASE(a_hanging_name_of_one_pool_does_not_delay_another_pool) {
    serve("10.0.0.1");
    sim.resolves("up", {"10.0.0.1"});
    sim.lookup_takes("hangs", 1h);
    constexpr ice::pool_name<ice::line> bad{"bad"}, good{"good"};
    quiet_server srv(sim.net());
    auto& hung = srv.add(ice::tcp_client_action{ice::address("hangs", 7), bad, 4});
    auto& well = srv.add(ice::tcp_client_action{up, good, 1});
    const auto ask_one = [&](ice::pool<ice::line>& p) {
        const ice::time_point began = sim.now();
        auto request = [&]() -> ice::task<std::string> {
            auto reply = co_await p.request(std::string_view("who"));
            if (reply) co_return *reply;
            co_return reply.error().message();
        };
        std::string got = sim.run(request());
        took = sim.now() - began;
        return got;
    };
    BOOST_TEST(ask_one(well) == "10.0.0.1");
    BOOST_TEST((took < 1ms));
    BOOST_TEST(ask_one(hung) == timed_out);
    BOOST_TEST(ask_one(well) == "10.0.0.1");
    BOOST_TEST((took < 1ms));
}

BOOST_AUTO_TEST_SUITE_END()
