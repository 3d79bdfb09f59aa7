// answer_queue: a logic that works on several messages of one connection (limits::in_flight).
#include <fmt/format.h>

#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <charconv>
#include <ice/protocols/line.hpp>
#include <ice/protocols/raw.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <optional>
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

struct record {
    int now = 0, most = 0;
    std::vector<std::string> events;
};

// "20 a": answers "a" after 20 ms. "20 !": throws then. "20 ?": an answer with a line end in it.
struct slow {
    record& seen;

    struct running {
        explicit running(record& r) : seen(r) { seen.most = std::max(seen.most, ++seen.now); }
        ~running() { --seen.now; }
        running(const running&) = delete;
        running& operator=(const running&) = delete;
        record& seen;
    };

    ice::task<std::optional<std::string>> operator()(std::string_view text, line_session& peer) {
        const running one(seen);
        int ms = 0;
        std::from_chars(text.begin(), text.end(), ms);
        const std::string_view what = text.substr(text.find(' ') + 1);
        seen.events.push_back(fmt::format("begin {}", what));
        if (ms != 0) co_await peer.sleep(std::chrono::milliseconds(ms));
        if (what == "!") throw std::runtime_error("no luck");
        if (what == "receive") static_cast<void>(co_await peer.receive());
        if (what == "?") co_return "two\r\nlines";
        if (what == "quit") peer.close();
        if (what == "-") co_return std::nullopt;
        co_return std::string(what);
    }
    void closed(line_session&, ice::error_code why) { seen.events.push_back(why.message()); }
};

struct fixture {
    fixture() {
        srv.log().to([this](ice::log_level level, std::string_view line) {
            if (level != ice::log_level::info) errors.emplace_back(line);
        });
    }
    ice::listener<ice::line>& listen(std::size_t in_flight, ice::timeouts times = {},
                                     ice::limits bounds = {}) {
        bounds.in_flight = in_flight;
        return srv.add(ice::tcp_server_action{SERVER}
                           .protocol(ice::line{})
                           .logic(slow{seen})
                           .limits(bounds)
                           .timeouts(times));
    }
    template <class P = ice::line>
    std::unique_ptr<ice::session<P>> open() {
        return sim.run(sim.open<P>(SERVER)).value();
    }
    // Sends lines, each of which ends at a comma, in one write.
    void send(line_session& peer, std::string text) {
        std::string all;
        for (const char c : text) all += c == ',' ? std::string("\r\n") : std::string(1, c);
        peer.bytes().out() += all;
        BOOST_TEST(peer.try_flush());
    }
    std::string next(line_session& peer) {
        const auto got = sim.run(peer.receive());
        return got ? std::string(*got) : got.error().message();
    }
    std::string all(line_session& peer, int n) {
        std::string got;
        for (int i = 0; i < n; ++i) got += next(peer) + ",";
        return got;
    }
    auto passed() const { return sim.now() - began; }

    record seen;
    std::vector<std::string> errors;
    simulation sim;
    ice::server srv{sim.net()};
    ice::time_point began = sim.now();
};

const std::string CLOSED = make_error_code(ice::errc::closed).message();

}  // namespace

BOOST_FIXTURE_TEST_SUITE(answer_queue, fixture)

BOOST_AUTO_TEST_CASE(the_default_is_one_message_at_a_time) {
    listen(1);
    auto peer = open();
    send(*peer, "30 a,10 b,0 c,");
    BOOST_TEST(all(*peer, 3) == "a,b,c,");
    BOOST_TEST(seen.most == 1);
    BOOST_TEST((passed() >= 40ms));
}

BOOST_AUTO_TEST_CASE(slow_answers_run_at_once_and_leave_in_the_order_of_the_messages) {
    listen(8);
    auto peer = open();
    send(*peer, "30 a,10 b,0 c,20 d,");
    BOOST_TEST(all(*peer, 4) == "a,b,c,d,");
    BOOST_TEST(seen.most == 3, "the third ends at once");
    BOOST_TEST((passed() >= 30ms && passed() < 40ms));
    const std::vector<std::string> order{"begin a", "begin b", "begin c", "begin d"};
    BOOST_TEST(seen.events == order, boost::test_tools::per_element());
}

// The danger: messages that come while others are in flight wait for them.
BOOST_AUTO_TEST_CASE(a_message_that_arrives_later_begins_at_once) {
    listen(8);
    auto peer = open();
    send(*peer, "50 a,");
    sim.run_for(20ms);
    send(*peer, "30 b,");
    BOOST_TEST(all(*peer, 2) == "a,b,");
    BOOST_TEST((passed() >= 50ms && passed() < 60ms));
}

BOOST_AUTO_TEST_CASE(no_more_than_the_limit_are_in_flight) {
    listen(2);
    auto peer = open();
    send(*peer, "10 a,10 b,10 c,10 d,10 e,");
    BOOST_TEST(all(*peer, 5) == "a,b,c,d,e,");
    BOOST_TEST(seen.most == 2);
    BOOST_TEST((passed() >= 30ms && passed() < 40ms));
}

// The danger: a coroutine for each message of a connection that lives long.
BOOST_AUTO_TEST_CASE(a_connection_makes_as_many_coroutines_as_were_in_flight) {
    auto& l = listen(8);
    auto peer = open();
    for (int i = 0; i < 20; ++i) {
        send(*peer, "1 a,0 b,1 c,0 d,");
        BOOST_TEST(all(*peer, 4) == "a,b,c,d,");
    }
    BOOST_TEST(seen.most == 3);
    const auto lines = l.report();
    BOOST_TEST_REQUIRE(lines.size() == 2u);
    BOOST_TEST(lines[1].ends_with(", 4 coroutines spawned"), lines[1]);
}

// The danger: an idle connection keeps the memory of its largest burst.
BOOST_AUTO_TEST_CASE(the_coroutines_end_in_a_pause) {
    auto& l = listen(8, {.idle = 10min, .logic = ice::no_timeout});
    auto peer = open();
    for (int i = 0; i < 3; ++i) {
        send(*peer, "1 a,1 b,1 c,");
        BOOST_TEST(all(*peer, 3) == "a,b,c,");
        BOOST_TEST(l.report()[1].ends_with(", 3 coroutines spawned"), l.report()[1]);
        sim.run_for(70s);
        BOOST_TEST(!l.report()[1].ends_with("coroutines spawned"), l.report()[1]);
    }
    peer = open();
    send(*peer, "60000 a,");
    sim.run_for(50s);
    BOOST_TEST(l.report()[1].ends_with(", 1 coroutines spawned"), l.report()[1]);
    sim.run_for(15s);
    BOOST_TEST(next(*peer) == "a");
}

// What has no answer holds back nothing.
BOOST_AUTO_TEST_CASE(a_message_without_an_answer) {
    listen(8);
    auto peer = open();
    send(*peer, "10 -,0 a,5 -,0 b,");
    BOOST_TEST(all(*peer, 2) == "a,b,");
}

BOOST_AUTO_TEST_CASE(what_arrived_before_the_end_of_the_peers_stream_is_answered) {
    auto& l = listen(4);
    auto peer = open();
    send(*peer, "10 a,30 b,5 c,");
    simulation::half_close(peer->bytes());
    BOOST_TEST(all(*peer, 4) == "a,b,c," + CLOSED + ",");
    BOOST_TEST(l.counters().closed == 1u);
}

// The danger: the session ends with what the kernel has not taken.
BOOST_AUTO_TEST_CASE(large_answers_reach_a_peer_that_has_ended_its_stream) {
    listen(100);
    auto peer = open();
    const std::string word(8000, 'x');
    for (int i = 0; i < 100; ++i) peer->bytes().out() += "500 " + word + "\r\n";
    for (int i = 0; i < 40 && !peer->try_flush(); ++i) sim.run_for(10ms);
    simulation::half_close(peer->bytes());
    sim.run_for(1s);
    for (int i = 0; i < 100; ++i) BOOST_TEST_REQUIRE(next(*peer) == word);
    BOOST_TEST(next(*peer) == CLOSED);
}

// The danger: nobody reads the answer, and the logic goes on.
BOOST_AUTO_TEST_CASE(a_reset_cancels_what_is_in_flight) {
    auto& l = listen(4);
    auto peer = open();
    send(*peer, "9000 a,9000 b,");
    sim.run_for(1s);
    BOOST_TEST(seen.now == 2);
    simulation::reset(peer->bytes());
    sim.run_for(1s);
    BOOST_TEST(seen.now == 0);
    BOOST_TEST(l.size() == 0u);
    BOOST_TEST(l.counters().broken == 1u);
    BOOST_TEST(l.counters().logic_threw == 0u, "being cancelled is no failure");
}

BOOST_AUTO_TEST_CASE(a_drain_waits_for_what_is_in_flight) {
    auto& l = listen(4);
    auto peer = open();
    send(*peer, "50 a,20 b,");
    sim.run_for(10ms);
    l.drain();
    BOOST_TEST(all(*peer, 3) == "a,b," + CLOSED + ",");
    BOOST_TEST(l.counters().ended_by_us == 1u);
}

BOOST_AUTO_TEST_CASE(a_stop_cancels_what_is_in_flight) {
    auto& l = listen(4);
    auto peer = open();
    send(*peer, "9000 a,9000 b,");
    sim.run_for(1s);
    l.stop();
    sim.run_for(1ms);
    BOOST_TEST(seen.now == 0);
    BOOST_TEST(l.size() == 0u);
    BOOST_TEST(l.counters().logic_threw == 0u);
}

BOOST_AUTO_TEST_CASE(the_timeout_of_the_oldest_ends_the_connection) {
    auto& l = listen(4, {.idle = 1s, .logic = 5s});
    auto peer = open();
    send(*peer, "9000 a,0 b,");
    sim.run_for(2s);
    send(*peer, "0 c,9000 d,");
    BOOST_TEST(next(*peer) == CLOSED);
    BOOST_TEST((passed() >= 5s && passed() < 5100ms));
    sim.run_for(1s);
    BOOST_TEST(seen.now == 0);
    BOOST_TEST(seen.events.back() == make_error_code(ice::errc::logic_timeout).message());
    BOOST_TEST(l.counters().timeouts == 1u);
    BOOST_TEST(l.counters().logic_threw == 0u);
}

// The danger: nothing is read, so nothing tells the session.
BOOST_AUTO_TEST_CASE(the_timeout_ends_a_connection_whose_queue_is_full) {
    listen(2, {.logic = 5s});
    auto peer = open();
    send(*peer, "9000 a,9000 b,0 c,");
    BOOST_TEST(next(*peer) == CLOSED);
    BOOST_TEST((passed() >= 5s && passed() < 5100ms));
    BOOST_TEST(seen.now == 0);
}

// Each message has its own time: together they may take longer.
BOOST_AUTO_TEST_CASE(the_timeout_is_that_of_one_message) {
    listen(2, {.logic = 5s});
    auto peer = open();
    send(*peer, "4000 a,4000 b,4000 c,4000 d,");
    BOOST_TEST(all(*peer, 4) == "a,b,c,d,");
}

// The danger: a peer that waits for a slow answer is idle.
BOOST_AUTO_TEST_CASE(the_idle_timeout_begins_with_the_last_answer) {
    auto& l = listen(4, {.idle = 2s, .logic = 30s});
    auto peer = open();
    send(*peer, "9000 a,");
    BOOST_TEST(next(*peer) == "a");
    BOOST_TEST(next(*peer) == CLOSED);
    BOOST_TEST((passed() >= 11s && passed() < 11100ms));
    BOOST_TEST(l.counters().timeouts == 1u);
}

BOOST_AUTO_TEST_CASE(a_message_in_part_has_its_own_timeout_beside_those_in_flight) {
    listen(4, {.message = 3s});
    auto peer = open();
    send(*peer, "9000 a,0 ");
    BOOST_TEST(next(*peer) == CLOSED);
    BOOST_TEST((passed() >= 3s && passed() < 4s));
    BOOST_TEST(seen.events.back() == make_error_code(ice::errc::message_timeout).message());
}

BOOST_AUTO_TEST_CASE(an_exception_ends_the_connection_after_the_answers_before_it) {
    auto& l = listen(8);
    auto peer = open();
    send(*peer, "20 a,10 !,0 b,9000 c,");
    BOOST_TEST(all(*peer, 2) == "a," + CLOSED + ",");
    BOOST_TEST((passed() >= 20ms && passed() < 1s));
    sim.run_for(2s);
    BOOST_TEST(l.size() == 0u);
    BOOST_TEST(seen.now == 0, "the last is cancelled");
    BOOST_TEST(l.counters().logic_threw == 1u);
    BOOST_TEST_REQUIRE(errors.size() == 1u);
    BOOST_TEST(errors[0].ends_with("its logic threw: no luck"), errors[0]);
}

// The danger: two coroutines read one connection.
BOOST_AUTO_TEST_CASE(a_logic_with_messages_in_flight_cannot_receive) {
    auto& l = listen(8);
    auto peer = open();
    send(*peer, "0 receive,");
    BOOST_TEST(next(*peer) == CLOSED);
    BOOST_TEST(l.counters().logic_threw == 1u);
}

// The danger: the peer takes each later answer for the one before it.
BOOST_AUTO_TEST_CASE(an_answer_that_cannot_be_packed_ends_the_connection_after_those_before_it) {
    auto& l = listen(8);
    auto peer = open();
    send(*peer, "20 a,10 ?,0 b,");
    BOOST_TEST(all(*peer, 2) == "a," + CLOSED + ",");
    BOOST_TEST((passed() < 1s), "not at its idle timeout");
    BOOST_TEST(l.counters().unencodable == 1u);
}

BOOST_AUTO_TEST_CASE(close_takes_no_further_message_and_waits_for_those_in_flight) {
    listen(8);
    auto peer = open();
    send(*peer, "20 a,10 quit,30 b,");
    sim.run_for(15ms);
    send(*peer, "0 c,");
    BOOST_TEST(all(*peer, 4) == "a,quit,b," + CLOSED + ",");
}

// The danger: answers fill the memory while the peer does not read.
BOOST_AUTO_TEST_CASE(a_peer_that_does_not_read_stops_the_reading) {
    auto& l = listen(4, {.write = 10s});
    auto peer = open();
    const std::string word(4000, 'x');
    for (int i = 0; i < 1000; ++i) peer->bytes().out() += "1 " + word + "\r\n";
    peer->try_flush();
    for (int i = 0; i < 20 && l.size() != 0; ++i) {
        sim.run_for(1s);
        peer->try_flush();
    }
    BOOST_TEST(l.size() == 0u);
    BOOST_TEST(l.counters().timeouts == 1u);
    BOOST_TEST(l.counters().messages < 400u);
    BOOST_TEST(seen.now == 0);
}

// A system call for each answer would cost more than the answer.
BOOST_AUTO_TEST_CASE(answers_that_become_ready_at_once_leave_in_one_write) {
    listen(8);
    auto peer = open<ice::raw>();
    peer->bytes().out() = "20 a\r\n10 b\r\n20 c\r\n";
    BOOST_TEST(peer->try_flush());
    const auto got = sim.run(peer->receive());
    BOOST_TEST_REQUIRE(got.has_value());
    BOOST_TEST(*got == "a\r\nb\r\nc\r\n");
}

// The danger: the loop destroys what the coroutines in flight still use.
BOOST_AUTO_TEST_CASE(a_loop_that_is_destroyed_while_messages_are_in_flight) {
    record own_seen;
    {
        simulation own;
        ice::server other(own.net());
        other.log().to([](ice::log_level, std::string_view) {});
        other.add(ice::tcp_server_action{SERVER}
                      .protocol(ice::line{})
                      .logic(slow{own_seen})
                      .limits({.in_flight = 4}));
        auto peer = own.run(own.open<ice::line>(SERVER)).value();
        peer->bytes().out() += "0 a\r\n9000 b\r\n0 c\r\n8000 d\r\n";
        BOOST_TEST(peer->try_flush());
        own.run_for(1s);
        BOOST_TEST(own_seen.now == 2);
    }
    BOOST_TEST(own_seen.now == 0);
}

BOOST_AUTO_TEST_SUITE_END()
