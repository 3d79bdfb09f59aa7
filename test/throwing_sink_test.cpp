// A sink of the log that throws at every line ends no server, no connection and no request. In
// virtual time; the lines go to stderr.
#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

struct fixture : asking {
    fixture() {
        const auto throws = [this](ice::log_level, std::string_view) {
            ++lines;
            throw std::runtime_error("the disk is full");
        };
        srv.log().to(throws);
        srv.log().level(ice::log_level::debug);
        up.log().to(throws);
        up.log().level(ice::log_level::debug);
    }
    // How many lines were written since the last call.
    int written() { return std::exchange(lines, 0); }

    // A connection on which one message has had its reply.
    std::unique_ptr<ice::session<ice::line>> connect() {
        auto made = sim.run(sim.open<ice::line>(far));
        BOOST_TEST_REQUIRE(!made.error());
        std::unique_ptr<ice::session<ice::line>> peer = *std::move(made);
        BOOST_TEST(!told(*peer, "hello"));
        return peer;
    }
    ice::error_code told(ice::session<ice::line>& peer, std::string what) {
        return sim.run(exchange(peer, std::move(what)));
    }
    static ice::task<ice::error_code> exchange(ice::session<ice::line>& peer, std::string what) {
        const ice::error_code unsent = co_await peer.send(what);
        if (unsent) co_return unsent;
        const auto reply = co_await peer.receive();
        co_return reply.error();
    }

    int lines = 0;
};

std::string answer(std::string_view m) {
    if (m == "throw") throw std::runtime_error("the logic's own");
    return std::string(m);
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(throwing_sink, fixture)

BOOST_AUTO_TEST_CASE(a_listener_continues_to_serve) {
    up.add(ice::tcp_server_action{far}
               .protocol(ice::line("\r\n", 100))
               .limits({.connections = 2})
               .timeouts({.idle = 1s})
               .logic(answer));
    BOOST_TEST(written() > 0);
    auto stays = connect();
    const auto still_served = [&] {
        BOOST_TEST(written() > 0);
        BOOST_TEST(!told(*stays, "still there?"));
        BOOST_TEST(!told(*connect(), "another"));
        sim.run_for(10ms);
        written();
    };
    written();
    {
        auto other = connect();
        BOOST_TEST(told(*other, "throw") == ice::errc::closed);
    }
    still_served();
    {
        auto other = connect();
        BOOST_TEST(told(*other, std::string(200, 'x')) == ice::errc::closed);
    }
    still_served();
    {
        auto other = connect();
        auto above = sim.run(sim.open<ice::line>(far));  // waits in the backlog
        sim.run_for(10ms);
    }
    still_served();
    sim.faults()[ice::testing::fault::no_descriptors] = 1;
    auto waits = sim.run(sim.open<ice::line>(far));
    sim.run_for(200ms);
    sim.faults()[ice::testing::fault::no_descriptors] = 0;
    sim.run_for(200ms);
    still_served();
}

BOOST_AUTO_TEST_CASE(a_pool_continues_and_the_server_drains) {
    auto& p = add(1, {}, {}, {.failures = 1});
    BOOST_TEST(written() > 0);
    BOOST_TEST(ask() == ice::connect_error(asio::error::connection_refused));
    serve();
    sim.run_for(1min);
    BOOST_TEST(!ask());
    BOOST_TEST(p.counters().replies == 1U);
    written();
    srv.report();
    BOOST_TEST(written() > 0);
    up.drain();
    srv.drain();
    BOOST_TEST(written() > 0);
    sim.run_for(1min);
    BOOST_TEST(ask() == ice::errc::stopped);
}

BOOST_AUTO_TEST_CASE(an_exception_of_a_coroutine_is_reported_and_ends_nothing_else) {
    const auto throws = []() -> ice::task<> {
        throw std::runtime_error("its own");
        co_return;
    };
    written();
    const auto context = std::make_shared<ice::server_context>(sim.net());
    context->log.to([this](ice::log_level, std::string_view) {
        ++lines;
        throw std::runtime_error("the disk is full");
    });
    ice::spawn(context, throws(), "user");
    sim.run_for(1ms);
    BOOST_TEST(written() == 1);
}

BOOST_AUTO_TEST_SUITE_END()
