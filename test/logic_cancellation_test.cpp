// What ends a logic that waits: its timeout, stop(), and the end of a drain's grace period cancel
// its coroutine, and its connection closes whatever it does.
#include <asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/protocols/line.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"
#include "world.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::simulation;
using line_session = ice::session<ice::line>;

const ice::address SERVER{"127.0.0.1", 9999}, UPSTREAM{"10.0.0.9", 1};
const std::string CLOSED = make_error_code(ice::errc::closed).message();

struct note_end {
    std::vector<std::string>& seen;
    ~note_end() { seen.emplace_back("logic ended"); }
};

// "sleep" waits an hour, "ask" for an upstream, "hold" five seconds that nothing ends.
struct waits {
    std::vector<std::string>& seen;
    ice::pool<ice::line>* upstream = nullptr;

    ice::task<std::string> operator()(std::string_view text, line_session& peer) {
        const note_end told{seen};
        if (text == "ask") {
            const auto reply = co_await upstream->request(std::string("x"), 1h);
            seen.push_back(reply.error().message());
        } else if (text == "hold") {
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            co_await peer.sleep(5s);
        } else {
            co_await peer.sleep(1h);
        }
        co_return "late";
    }
    void closed(line_session& peer, ice::error_code why) {
        seen.push_back(why.message());
        static_cast<void>(peer.push("bye"));
    }
};

struct talks : waits {
    ice::task<> converse(line_session& peer) {
        for (;;) {
            const auto got = co_await peer.receive();
            if (!got) co_return;
            const std::string answer = co_await (*this)(*got, peer);
            const ice::error_code lost = co_await peer.send(answer);
            if (lost) co_return;
        }
    }
};

// Takes its time to say that it has ended.
struct slow_end {
    std::vector<std::string>& seen;
    ice::task<std::string> operator()(std::string_view, line_session& peer) {
        co_await peer.sleep(1ms);
        throw std::runtime_error("no luck");
    }
    ice::task<> closed(line_session& peer, ice::error_code) {
        co_await peer.sleep(300ms);
        seen.emplace_back("closed");
    }
};

struct fixture {
    fixture() {
        srv.log().to([this](ice::log_level level, std::string_view line) {
            if (level == ice::log_level::error) errors.emplace_back(line);
        });
    }
    template <class L>
    ice::listener<ice::line>& listen(L logic, ice::timeouts times = {.logic = 3s}) {
        return srv.add(ice::tcp_server_action{SERVER}
                           .protocol(ice::line{})
                           .logic(std::move(logic))
                           .timeouts(times));
    }
    std::unique_ptr<line_session> ask(std::string what) {
        auto peer = sim.run(sim.open<ice::line>(SERVER)).value();
        BOOST_TEST(!sim.run(peer->send(std::move(what))));
        return peer;
    }
    std::string next(line_session& peer) {
        const auto got = sim.run(peer.receive());
        return got ? std::string(*got) : got.error().message();
    }
    void check_seen(std::vector<std::string> expected) {
        BOOST_TEST(seen == expected, boost::test_tools::per_element());
        BOOST_TEST(errors.empty(), "being cancelled is no failure");
    }

    void stop_while_it_waits(ice::listener_base& l) {
        sim.run_for(1s);
        l.stop();
        sim.run_for(1ms);
        check_seen({"logic ended", stopped});
        BOOST_TEST(l.size() == 0u);
    }

    std::vector<std::string> seen, errors;  // first: coroutines use them until the end
    simulation sim;
    ice::server srv{sim.net()};
    const std::string late = make_error_code(ice::errc::logic_timeout).message();
    const std::string stopped = make_error_code(ice::errc::stopped).message();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(logic_cancellation, fixture)

BOOST_AUTO_TEST_CASE(its_timeout_cancels_a_logic_and_its_peer_gets_a_last_message) {
    auto& l = listen(waits{seen});
    const auto began = sim.now();
    auto peer = ask("sleep");
    BOOST_TEST(next(*peer) == "bye");
    BOOST_TEST(next(*peer) == CLOSED);
    BOOST_TEST((sim.now() - began < 3100ms));
    peer.reset();
    sim.run_for(1s);
    check_seen({"logic ended", late});
    BOOST_TEST(l.counters().timeouts == 1u);
    BOOST_TEST(l.counters().logic_threw == 0u);
    BOOST_TEST(l.size() == 0u);
}

// The danger: the gateway holds a connection of the upstream for a client that is gone.
BOOST_AUTO_TEST_CASE(its_timeout_ends_the_request_that_a_logic_waits_for) {
    quiet_server silent(sim.host("10.0.0.9"));
    silent.add(ice::tcp_server_action{UPSTREAM}
                   .protocol(ice::line{})
                   .logic(waits{seen})
                   .timeouts({.logic = ice::no_timeout}));
    auto& up = srv.add(ice::tcp_client_action{UPSTREAM, "up", 1, ice::line{}});
    auto& l = listen(waits{seen, &up});
    auto peer = ask("ask");
    BOOST_TEST(next(*peer) == "bye");
    const std::string aborted = make_error_code(asio::error::operation_aborted).message();
    check_seen({aborted, "logic ended", late});
    BOOST_TEST(up.counters().discarded == 1u);
    peer.reset();
    sim.run_for(2s);
    BOOST_TEST(l.size() == 0u);
}

BOOST_AUTO_TEST_CASE(stop_cancels_a_logic) {
    auto& l = listen(waits{seen});
    auto peer = ask("sleep");
    stop_while_it_waits(l);
    BOOST_TEST(next(*peer) == CLOSED);
}

BOOST_AUTO_TEST_CASE(stop_cancels_a_conversation_that_waits_for_something_else) {
    auto& l = listen(talks{{seen}});
    auto peer = ask("sleep");
    stop_while_it_waits(l);
}

BOOST_AUTO_TEST_CASE(the_end_of_the_grace_period_cancels_a_logic) {
    auto& l = listen(waits{seen}, {.logic = ice::no_timeout});
    auto peer = ask("sleep");
    sim.run_for(1s);
    srv.drain(20s);
    sim.run_for(19s);
    BOOST_TEST(seen.empty());
    sim.run_for(2s);
    check_seen({"logic ended", stopped});
    BOOST_TEST(l.size() == 0u);
}

// The danger: a peer waits for ever, as a coroutine cannot be ended from outside.
BOOST_AUTO_TEST_CASE(a_logic_that_ignores_it_loses_its_connection) {
    auto& l = listen(waits{seen});
    const auto began = sim.now();
    auto peer = ask("hold");
    BOOST_TEST(next(*peer) == CLOSED);
    BOOST_TEST((sim.now() - began >= 4s && sim.now() - began < 4100ms));
    BOOST_TEST(l.size() == 1u);
    sim.run_for(2s);
    check_seen({"logic ended", late});
    BOOST_TEST(l.size() == 0u);
}

// The danger: the cancellation ends the end of the session, which counts and closes.
BOOST_AUTO_TEST_CASE(a_logic_that_has_ended_is_not_cancelled_any_more) {
    auto& l = listen(slow_end{seen});
    auto peer = ask("x");
    sim.run_for(100ms);
    l.stop();
    sim.run_for(1s);
    BOOST_TEST(seen == std::vector<std::string>{"closed"}, boost::test_tools::per_element());
    BOOST_TEST(l.size() == 0u);
    BOOST_TEST(l.counters().ended_by_us == 1u);
    BOOST_TEST(errors.size() == 1u, "the exception of the logic");
}

// The danger: what a logic waits for is destroyed after what it uses.
BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_while_a_logic_waits) {
    std::vector<std::string> own_seen;
    {
        simulation own;
        quiet_server other(own.net());
        other.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(waits{own_seen}));
        auto peer = own.run(own.open<ice::line>(SERVER)).value();
        BOOST_TEST(!own.run(peer->send("sleep")));
        own.run_for(1s);
    }
    BOOST_TEST(own_seen == std::vector<std::string>{"logic ended"},
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_SUITE_END()

// The same on sockets, whose descriptor stays open as long as the logic.
BOOST_AUTO_TEST_CASE(a_logic_that_ignores_its_timeout_loses_its_socket) {
    std::vector<std::string> seen;
    test::world w;
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}
                            .protocol(ice::line{})
                            .logic(waits{seen})
                            .timeouts({.logic = 1ms}));
    auto peer = w.connect(l.endpoint());
    peer.send("hold\r\n");
    w.until([&] { return peer.poll(); });
    BOOST_TEST(seen.empty());
    w.until([&] { return seen.size() == 2u; });
}
