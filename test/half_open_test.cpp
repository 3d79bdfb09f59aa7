// limits::allow_half_open: what becomes of a logic that waits when its peer has closed or reset, in
// the simulation and on sockets.
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <functional>
#include <ice/protocols/line.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"
#include "world.hpp"

namespace {

using namespace std::chrono_literals;
using line_session = ice::session<ice::line>;

const ice::address SERVER{"127.0.0.1", 9999}, UPSTREAM{"10.0.0.9", 1};

// What the logics have seen.
struct record {
    int began = 0, ended = 0;
    std::vector<ice::error_code> closed;
};
struct note_end {
    record& seen;
    ~note_end() { ++seen.ended; }
};

// "now" does not wait, "long" pushes 512 KiB, "ask" asks an upstream, "hold" takes five seconds
// that nothing ends, and all else an hour.
struct waits {
    record& seen;
    ice::pool<ice::line>* upstream = nullptr;

    ice::task<std::string> operator()(std::string_view text, line_session& peer) {
        const note_end told{seen};
        ++seen.began;
        if (text == "now") co_return "at once";
        if (text == "long") {
            const std::string line(8 * 1024 - 2, 'x');
            for (int i = 0; i < 64; ++i) BOOST_TEST(!peer.push(line));
            co_return line;
        }
        if (text == "ask") {
            const auto reply = co_await upstream->request(std::string("x"), 1h);
            BOOST_TEST((reply.error() == asio::error::operation_aborted));
        } else if (text == "hold") {
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
            co_await peer.sleep(5s);
        } else {
            co_await peer.sleep(1h);
        }
        co_return "late";
    }
    void closed(line_session&, ice::error_code why) { seen.closed.push_back(why); }
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

// Cleans up for so long when it is cancelled, or has received the end.
struct cleans_up {
    record& seen;
    ice::duration takes;

    ice::task<> clean() {
        asio::steady_timer timer(co_await asio::this_coro::executor);
        timer.expires_after(std::chrono::duration_cast<std::chrono::milliseconds>(takes));
        co_await timer.async_wait(asio::use_awaitable);
        ++seen.ended;
    }
    ice::task<std::string> operator()(std::string_view, line_session& peer) {
        ++seen.began;
        try {
            co_await peer.sleep(1h);
        } catch (const std::system_error&) {}
        co_await asio::this_coro::reset_cancellation_state(asio::enable_terminal_cancellation());
        co_await clean();
        co_return "late";
    }
};
struct receives_and_cleans_up : cleans_up {
    ice::task<> converse(line_session& peer) {
        ++seen.began;
        for (bool goes_on = true; goes_on;) {
            const auto got = co_await peer.receive();
            goes_on = got.has_value();
        }
        co_await clean();
    }
};

// How many messages of a connection the listener takes at once.
constexpr std::size_t depths[] = {1, 4};

template <class L>
auto listener(const ice::address& where, L logic, std::size_t in_flight, bool half_open = false) {
    return ice::tcp_server_action{where}
        .protocol(ice::line{})
        .logic(std::move(logic))
        .limits({.in_flight = in_flight, .allow_half_open = half_open});
}

struct fixture {
    using end = std::function<void(line_session&)>;
    static void half_close(line_session& peer) {
        ice::testing::simulation::half_close(peer.bytes());
    }
    static void reset(line_session& peer) { ice::testing::simulation::reset(peer.bytes()); }

    std::unique_ptr<line_session> connect() { return sim.run(sim.open<ice::line>(SERVER)).value(); }
    void send(line_session& peer, std::string what) {
        BOOST_TEST(!sim.run(peer.send(std::move(what))));
    }
    // Sends the messages, ends the connection, and checks that the logics are cancelled.
    template <class L>
    void check_cancelled(L logic, std::size_t in_flight, const std::vector<std::string>& messages,
                         const end& ends) {
        seen = {};
        quiet_server one(sim.net());
        auto& l = one.add(listener(SERVER, std::move(logic), in_flight));
        auto peer = connect();
        for (const auto& m : messages) send(*peer, m);
        sim.run_for(10ms);
        BOOST_TEST(seen.ended < seen.began);
        ends(*peer);
        sim.run_for(10ms);
        BOOST_TEST(seen.ended == seen.began);
        BOOST_TEST(seen.began != 0);
        BOOST_TEST_REQUIRE(seen.closed.size() == 1U);
        const bool is_reset = seen.closed[0] == asio::error::connection_reset;
        BOOST_TEST((seen.closed[0] == ice::errc::closed || is_reset));
        BOOST_TEST(l.size() == 0U);
        BOOST_TEST(l.counters().logic_threw == 0U);
    }

    record seen;  // first: coroutines use it until the end
    ice::testing::simulation sim;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(half_open, fixture)

BOOST_AUTO_TEST_CASE(the_end_of_the_peer_cancels_a_logic) {
    for (const end& ends : {end(half_close), end(reset)}) {
        for (const std::size_t depth : depths) {
            check_cancelled(waits{seen}, depth, {"wait"}, ends);
            check_cancelled(waits{seen}, depth, {"wait", "now", "wait"}, ends);
            // All that may be in flight, and one that waits in the kernel.
            check_cancelled(waits{seen}, depth, {"a", "b", "c", "d", "e", "f"}, ends);
        }
        check_cancelled(talks{{seen}}, 1, {"wait"}, ends);
        check_cancelled(talks{{seen}}, 1, {"wait", "wait"}, ends);
    }
}

BOOST_AUTO_TEST_CASE(the_end_of_the_peer_cancels_the_request_of_a_logic) {
    quiet_server up(sim.host("10.0.0.9")), mine(sim.net());
    int asked = 0;
    const auto silent = [&](std::string_view, line_session& peer) -> ice::task<std::string> {
        ++asked;
        co_await peer.sleep(1h);
        co_return "";
    };
    up.add(ice::tcp_server_action{UPSTREAM}.protocol(ice::line{}).logic(silent));
    for (const std::size_t depth : depths) {
        const ice::pool_name<ice::line> name{depth == 1 ? "one" : "many"};
        auto& p = mine.add(ice::tcp_client_action{UPSTREAM, name, 1}.limits({.pipeline = depth}));
        check_cancelled(waits{seen, &p}, depth, {"ask"}, half_close);
        BOOST_TEST(p.counters().failures == 1U);
    }
    BOOST_TEST(asked == 2);
}

BOOST_AUTO_TEST_CASE(an_end_that_comes_with_the_message_cancels_its_logic) {
    for (const std::size_t depth : depths) {
        seen = {};
        quiet_server one(sim.net());
        one.add(listener(SERVER, waits{seen}, depth));
        auto peer = connect();
        BOOST_TEST(!peer->push("wait"));
        BOOST_TEST(peer->bytes().try_flush());
        half_close(*peer);
        sim.run_for(1s);
        BOOST_TEST(seen.began == 1);
        BOOST_TEST(seen.ended == 1);
        BOOST_TEST(seen.closed.size() == 1U);
    }
}

BOOST_AUTO_TEST_CASE(a_logic_that_ignores_it_loses_its_connection) {
    quiet_server one(sim.net());
    auto& l = one.add(listener(SERVER, waits{seen}, 1));
    auto peer = connect();
    send(*peer, "hold");
    half_close(*peer);
    sim.run_for(2s);
    BOOST_TEST(seen.ended == 0);
    BOOST_TEST(l.sessions().empty());
    BOOST_TEST(sim.run(peer->receive()).error() == ice::errc::closed);
    sim.run_for(4s);
    BOOST_TEST(seen.ended == 1);
    BOOST_TEST(l.size() == 0U);
}

BOOST_AUTO_TEST_CASE(a_peer_that_ends_while_it_does_not_read_is_not_waited_for) {
    quiet_server one(sim.net());
    auto& l = one.add(listener(SERVER, waits{seen}, 1));
    auto peer = connect();
    send(*peer, "long");
    sim.run_for(10ms);
    BOOST_TEST_REQUIRE(!l.sessions().empty());
    BOOST_TEST((*l.sessions().begin()).bytes().unsent() != 0U);
    half_close(*peer);
    sim.run_for(10ms);
    BOOST_TEST(l.size() == 0U);
    BOOST_TEST_REQUIRE(seen.closed.size() == 1U);
    BOOST_TEST(seen.closed[0] == ice::errc::closed);
}

BOOST_AUTO_TEST_CASE(answers_that_are_made_at_once_reach_a_peer_that_has_half_closed) {
    for (const std::size_t depth : depths) {
        quiet_server one(sim.net());
        one.add(listener(SERVER, waits{seen}, depth));
        auto peer = connect();
        BOOST_TEST(!peer->push("now"));
        BOOST_TEST(peer->bytes().try_flush());
        half_close(*peer);
        BOOST_TEST(sim.run(peer->receive()).value() == "at once");
        BOOST_TEST(sim.run(peer->receive()).error() == ice::errc::closed);
    }
}

BOOST_AUTO_TEST_CASE(by_default_a_peer_that_has_half_closed_gets_its_answers) {
    for (const std::size_t depth : depths) {
        quiet_server one(sim.net());
        one.add(listener(SERVER, waits{seen}, depth, true));
        auto peer = connect();
        send(*peer, "hold");
        half_close(*peer);
        BOOST_TEST(sim.run(peer->receive()).value() == "late");
    }
}

BOOST_AUTO_TEST_CASE(the_next_message_of_an_open_connection_is_served_as_ever) {
    for (const std::size_t depth : depths) {
        quiet_server one(sim.net());
        auto& l = one.add(listener(SERVER, waits{seen}, depth));
        auto peer = connect();
        for (int i = 0; i < 3; ++i) {
            send(*peer, "now");
            BOOST_TEST(sim.run(peer->receive()).value() == "at once");
        }
        send(*peer, "hold");
        BOOST_TEST(sim.run(peer->receive()).value() == "late");
        BOOST_TEST(l.size() == 1U);
    }
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(half_open_over_tcp)

namespace {

// Ends a connection whose logics wait, on sockets.
void check_cancelled(std::size_t in_flight, std::string_view bytes, int waiting,
                     void (*ends)(test::peer&)) {
    record seen;
    test::world w;
    auto& l = w.srv.add(listener(test::any_port, waits{seen}, in_flight));
    auto idle = w.connect(l.endpoint());
    auto peer = w.connect(l.endpoint());
    peer.send(bytes);
    w.until([&] { return seen.began - seen.ended == waiting; }, "the logics");
    w.settle();
    BOOST_TEST(l.size() == 2U);
    ends(peer);
    w.until([&] { return l.size() == 1; }, "the end of the session");
    BOOST_TEST(seen.ended == seen.began);
    BOOST_TEST(l.counters().logic_threw == 0U);
}

}  // namespace

BOOST_AUTO_TEST_CASE(the_end_of_the_peer_cancels_a_logic) {
    for (auto* ends : {+[](test::peer& p) { p.end(); }, +[](test::peer& p) { p.reset(); },
                       +[](test::peer& p) { p.close(); }}) {
        check_cancelled(1, "wait\r\n", 1, ends);
        check_cancelled(1, "now\r\nwait\r\nwait\r\n", 1, ends);
        check_cancelled(4, "wait\r\n", 1, ends);
        check_cancelled(4, "a\r\nb\r\nc\r\nd\r\ne\r\nf\r\n", 4, ends);
    }
}

BOOST_AUTO_TEST_CASE(a_peer_that_ends_while_it_does_not_read_is_not_waited_for) {
    record seen;
    test::world w;
    auto& l = w.srv.add(listener(test::any_port, waits{seen}, 1));
    auto peer = w.connect(l.endpoint());
    const auto is_stalled = [&] {
        return !l.sessions().empty() && (*l.sessions().begin()).bytes().unsent() != 0;
    };
    for (int i = 0; i < 100 && !is_stalled(); ++i) {
        peer.send("long\r\n");
        w.settle();
    }
    BOOST_TEST(is_stalled());
    peer.end();
    w.until([&] { return l.size() == 0; }, "the end of the session");
}

BOOST_AUTO_TEST_CASE(what_a_logic_does_after_its_timeout_is_not_cancelled_again) {
    for (const bool leaves : {false, true}) {
        record seen;
        test::world w;
        auto action = listener(test::any_port, cleans_up{seen, 1200ms}, 1);
        auto& l = w.srv.add(std::move(action).timeouts({.logic = 1ms}));
        auto peer = w.connect(l.endpoint());
        peer.send("x\r\n");
        w.until([&] { return l.sessions().empty() && seen.began == 1; }, "the timeout");
        if (leaves) peer.close();
        w.until([&] { return l.size() == 0; }, "the end of the session");
        BOOST_TEST(seen.ended == 1, "the second time by shutdown(2), or by the peer");
    }
}

BOOST_AUTO_TEST_CASE(a_conversation_that_has_received_the_end_is_not_cancelled) {
    record seen;
    test::world w;
    auto& l = w.srv.add(listener(test::any_port, receives_and_cleans_up{{seen, 20ms}}, 1));
    auto peer = w.connect(l.endpoint());
    peer.send("x\r\n");
    w.until([&] { return l.counters().messages == 1; }, "a message");
    peer.end();
    w.until([&] { return l.size() == 0; }, "the end of the session");
    BOOST_TEST(seen.ended == 1);
}

BOOST_AUTO_TEST_CASE(the_end_of_a_peer_that_a_push_has_found_out_cancels_a_logic) {
    for (const std::size_t depth : depths) {
        record seen;
        test::world w;
        auto& l = w.srv.add(listener(test::any_port, waits{seen}, depth));
        auto peer = w.connect(l.endpoint());
        peer.send("wait\r\n");
        w.until([&] { return seen.began == 1; }, "the logic");
        w.settle();
        peer.reset();
        for (line_session& s : l.sessions()) {
            static_cast<void>(s.push("x"));
            s.bytes().try_flush();
        }
        w.until([&] { return l.size() == 0; }, "the end of the session");
        BOOST_TEST(seen.ended == 1);
    }
}

BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_while_logics_wait) {
    record seen;
    int errors = 0;
    {
        test::world w;
        w.srv.log().to([&](ice::log_level level, std::string_view) {
            errors += level == ice::log_level::error ? 1 : 0;
        });
        auto& l = w.srv.add(listener(test::any_port, waits{seen}, 4));
        auto peer = w.connect(l.endpoint());
        peer.send("a\r\nb\r\n");
        w.until([&] { return seen.began == 2; }, "the logics");
    }
    BOOST_TEST(seen.ended == 2);
    BOOST_TEST(errors == 0);
}

BOOST_AUTO_TEST_CASE(a_server_whose_logics_end_ends_its_loop) {
    record seen;
    test::world w;
    auto& l = w.srv.add(listener(test::any_port, waits{seen}, 1));
    auto peer = w.connect(l.endpoint());
    peer.send("wait\r\n");
    w.until([&] { return seen.began == 1; }, "the logic");
    w.srv.stop();
    w.until([&] { return w.io.stopped(); }, "the end of the loop");
    BOOST_TEST(seen.ended == 1);
}

BOOST_AUTO_TEST_SUITE_END()
