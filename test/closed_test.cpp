// closed() of a logic: it learns why a session ends, and its last message reaches the peer.
#include <fmt/format.h>

#include <asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/protocols/line.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::simulation;
using line_session = ice::session<ice::line>;

const ice::address SERVER{"127.0.0.1", 9999};

struct seen {
    std::vector<ice::error_code> causes, pushed;
};

struct polite {
    seen& told;
    std::size_t size = 3;  // of its last message

    ice::task<std::string> operator()(std::string_view text, line_session& peer) {
        std::string answer(text);
        if (answer == "sleep") co_await peer.sleep(40s);
        if (answer == "hold") {
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            co_await peer.sleep(40s);
        }
        if (answer == "throw") throw std::runtime_error("no luck");
        if (answer == "quit") peer.close();
        if (answer == "fill") co_return std::string(60'000, 'x');
        co_return answer;
    }
    void closed(line_session& peer, ice::error_code why) {
        told.causes.push_back(why);
        if (size != 0) told.pushed.push_back(peer.push(std::string(size, '4')));
    }
};

struct fixture {
    ice::listener<ice::line>& add(std::size_t size = 3, ice::timeouts times = {}) {
        return srv.add(ice::tcp_server_action{SERVER}
                           .protocol(ice::line("\r\n", 100'000))
                           .logic(polite{told, size})
                           .timeouts(times));
    }
    std::unique_ptr<line_session> open() { return sim.run(sim.open<ice::line>(SERVER)).value(); }
    void send(line_session& peer, std::string text) { BOOST_TEST(!sim.run(peer.send(text))); }
    std::string next(line_session& peer) {
        const auto got = sim.run(peer.receive());
        return got ? std::string(*got) : got.error().message();
    }
    // The peer hears the last message, and then the end.
    void check(line_session& peer, ice::error_code why) {
        BOOST_TEST(next(peer) == "444");
        BOOST_TEST(next(peer) == ended);
        check_cause(why);
    }
    void check_cause(ice::error_code why) {
        sim.run_for(1min);
        BOOST_TEST_REQUIRE(told.causes.size() == 1u);
        BOOST_TEST(told.causes[0] == why);
    }

    const std::string ended = make_error_code(ice::errc::closed).message();
    seen told;  // before the world, whose coroutines use it until the end
    simulation sim;
    quiet_server srv{sim.net()};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(closed, fixture)

BOOST_AUTO_TEST_CASE(closed_gets_draining_in_a_drain) {
    add();
    auto peer = open();
    send(*peer, "x");
    BOOST_TEST(next(*peer) == "x");
    srv.drain(ice::no_timeout);
    check(*peer, ice::errc::draining);
}

BOOST_AUTO_TEST_CASE(closed_gets_stopped_after_close_and_after_an_exception) {
    auto& l = add();
    auto peer = open();
    send(*peer, "throw");
    check(*peer, ice::errc::stopped);
    BOOST_TEST(l.counters().logic_threw == 1u);
    told = {};
    auto other = open();
    send(*other, "quit");
    BOOST_TEST(next(*other) == "quit");
    check(*other, ice::errc::stopped);
}

// The danger: a timeout cancels the channel, which sends nothing after that.
BOOST_AUTO_TEST_CASE(an_idle_peer_gets_a_last_message_after_its_timeout) {
    auto& l = add();
    auto peer = open();
    check(*peer, ice::errc::idle_timeout);
    BOOST_TEST(l.counters().timeouts == 1u);
    BOOST_TEST(l.size() == 0u);
}

BOOST_AUTO_TEST_CASE(timeouts_of_messages_and_logics_allow_a_last_message_too) {
    add(3, {.message = 10s, .logic = 20s});
    auto peer = open();
    peer->bytes().out() += "half a";
    BOOST_TEST(peer->try_flush());
    check(*peer, ice::errc::message_timeout);
    told = {};
    auto other = open();
    send(*other, "sleep");
    check(*other, ice::errc::logic_timeout);
}

BOOST_AUTO_TEST_CASE(closed_gets_errc_closed_if_the_peer_has_closed) {
    add();
    open().reset();
    check_cause(ice::errc::closed);
}

// stop() closes now.
BOOST_AUTO_TEST_CASE(after_stop_no_last_message_is_sent) {
    add();
    auto peer = open();
    srv.stop();
    BOOST_TEST(next(*peer) == ended);
    check_cause(ice::errc::stopped);
    BOOST_TEST_REQUIRE(told.pushed.size() == 1u);
    BOOST_TEST(told.pushed[0] == ice::errc::stopped);
}

// The danger: the timeout has cancelled the channel before stop() does, and a logic that returns
// later would open it again.
BOOST_AUTO_TEST_CASE(a_logic_that_returns_after_stop_sends_nothing) {
    add(3, {.logic = 20s});
    auto peer = open();
    send(*peer, "hold");
    sim.run_for(30s);
    srv.stop();
    BOOST_TEST(next(*peer) == ended);
    check_cause(ice::errc::logic_timeout);
}

// Without a last message a timeout ends the connection as it does without closed().
BOOST_AUTO_TEST_CASE(a_timeout_without_a_last_message_ends_the_connection) {
    auto& l = add(0);
    auto peer = open();
    BOOST_TEST(next(*peer) == ended);
    check_cause(ice::errc::idle_timeout);
    BOOST_TEST(l.size() == 0u);
}

// The last message is bounded: a peer that does not read it gets timeouts::write.
BOOST_AUTO_TEST_CASE(a_peer_that_reads_nothing_does_not_hold_the_session) {
    sim.faults().window = 1000;
    auto& l = add(50'000, {.idle = 60s, .write = 10s});
    auto peer = open();
    sim.run_for(61s);
    BOOST_TEST(told.causes.size() == 1u);
    BOOST_TEST(l.size() == 1u);
    sim.run_for(10s);
    BOOST_TEST(l.size() == 0u);
    BOOST_TEST(told.pushed.at(0) == ice::error_code());
}

// The kernel has half an answer: the peer would read a message behind it as the other half.
BOOST_AUTO_TEST_CASE(after_part_of_an_answer_no_last_message_is_sent) {
    sim.faults().window = 1000;
    add(3, {.write = 10s});
    auto peer = open();
    send(*peer, "fill");
    check_cause(ice::errc::write_timeout);
    BOOST_TEST(told.pushed.at(0) == ice::errc::write_timeout);
}

BOOST_AUTO_TEST_SUITE_END()
