// Requests to a pool as operations of Asio: spawned by asio::co_spawn with a completion handler.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/use_future.hpp>
#include <ice/pool.hpp>
#include <stdexcept>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;
using reply = ice::pool_result<std::string>;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pool_co_spawn, asking)

// Asio gives the handler a result in each case, and makes an empty one if there was an exception.
BOOST_AUTO_TEST_CASE(a_completion_handler_gets_the_reply_of_a_spawned_request) {
    serve();
    auto& p = add(1);
    std::optional<reply> got;
    asio::co_spawn(sim.net()->executor(), p.request("hello"),
                   [&](std::exception_ptr thrown, reply r) {
                       BOOST_TEST(!thrown);
                       got = std::move(r);
                   });
    sim.run_for(1s);
    BOOST_TEST_REQUIRE(got.has_value());
    BOOST_TEST(**got == "hello");
}

BOOST_AUTO_TEST_CASE(a_completion_handler_gets_the_failure_of_a_spawned_request) {
    auto& p = add(1);  // nothing listens
    std::optional<reply> got;
    asio::co_spawn(sim.net()->executor(), p.request("hello"),
                   [&](const std::exception_ptr&, reply r) { got = std::move(r); });
    sim.run_for(10s);
    BOOST_TEST_REQUIRE(got.has_value());
    BOOST_TEST(!got->failure().may_have_been_executed());
    BOOST_TEST(got->failure().pool() == "far");
}

BOOST_AUTO_TEST_CASE(a_completion_handler_gets_an_exception_beside_an_empty_result) {
    serve();
    auto& p = open(ice::tcp_client_action{far, name, 1}.logic(
        [](std::string_view) -> std::string { throw std::runtime_error("no use"); }));
    std::exception_ptr threw;
    std::optional<reply> got;
    asio::co_spawn(sim.net()->executor(), p.request("hello"), [&](std::exception_ptr e, reply r) {
        threw = std::move(e);
        got = std::move(r);
    });
    sim.run_for(1s);
    BOOST_TEST_REQUIRE(got.has_value());
    BOOST_CHECK_THROW(std::rethrow_exception(threw), std::runtime_error);
    BOOST_TEST(!got->has_value());
    BOOST_TEST(got->error() == ice::errc::stopped);
    // Nothing is known of it: the careful answer is that it may have been executed.
    BOOST_TEST(got->failure().may_have_been_executed());
}

BOOST_AUTO_TEST_CASE(a_spawned_lease_is_given_to_the_handler) {
    serve();
    auto& p = add(1);
    bool leased = false;
    asio::co_spawn(sim.net()->executor(), p.acquire(),
                   [&](const std::exception_ptr&, ice::pool_result<ice::lease<ice::line>> r) {
                       leased = r.has_value();
                       BOOST_TEST(p.busy() == 1u);
                   });
    sim.run_for(1s);
    BOOST_TEST(leased);
    BOOST_TEST(p.busy() == 0u);
}

BOOST_AUTO_TEST_CASE(a_request_can_be_spawned_as_a_future) {
    serve();
    auto& p = add(1);
    auto got = asio::co_spawn(sim.net()->executor(), p.request("hello"), asio::use_future);
    sim.run_for(1s);
    const reply r = got.get();
    BOOST_TEST(*r == "hello");
}

BOOST_AUTO_TEST_SUITE_END()
