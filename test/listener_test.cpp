// listener: sessions, broadcast, limits, counters and drain, over real connections.
#include <ice/listener.hpp>
#include <list>

#include "world.hpp"

namespace {

using namespace test;

struct fixture : world {
    template <class L>
    ice::listener<ice::line>& add(L logic, ice::limits bounds = {}, ice::timeouts times = {}) {
        return srv.add(ice::tcp_server_action{any_port}
                           .protocol(ice::line{})
                           .logic(std::move(logic))
                           .limits(bounds)
                           .timeouts(times));
    }
};

std::string same(std::string_view text) { return std::string(text); }

// Throws on demand, and counts the sessions that began and ended.
struct moody {
    int* opened_count;
    int* closed_count;

    void opened(ice::session<ice::line>& peer) {
        ++*opened_count;
        BOOST_TEST(!peer.push("welcome"));
    }
    ice::task<> closed(ice::session<ice::line>&) {
        ++*closed_count;
        co_return;
    }
    std::string operator()(std::string_view text) {
        if (text == "throw") throw std::runtime_error("bad\nmood");
        if (text == "throw 42") throw 42;
        return std::string(text);
    }
};

// Says why, when it ends.
struct tells_why {
    std::string operator()(std::string_view text) { return std::string(text); }
    void closed(ice::session<ice::line>& peer, ice::error_code why) {
        BOOST_TEST(!peer.push(why.message()));
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(listener, fixture)

// The deadline has cancelled the channel: the poller must take its socket back. The simulation of
// test/closed_test.cpp has no poller.
BOOST_AUTO_TEST_CASE(a_last_message_after_a_timeout_is_sent_over_a_socket) {
    auto& l = add(tells_why{}, {}, {.idle = 20ms, .linger = 10s});
    auto p = connect(l.endpoint());
    p.send("x\r\n");
    BOOST_TEST(p.read_line() == "x");
    BOOST_TEST(p.read_line() == make_error_code(ice::errc::idle_timeout).message());
    BOOST_TEST(p.read_to_end() == "");
    BOOST_TEST(p.ended);
    BOOST_TEST(l.size() == 1u, "it waits for the end of its peer");
    p.send("dropped");
    p.close();
    until([&] { return l.size() == 0; });
}

BOOST_AUTO_TEST_CASE(port_0_becomes_a_real_port) {
    auto& l = add(same);
    BOOST_TEST(l.endpoint().port() != 0);
    BOOST_TEST(logged(fmt::format("listening on {}", l.endpoint())));
}

// The danger: a protocol whose two ends differ acts as a client towards a client, or as a server
// towards an upstream.
BOOST_AUTO_TEST_CASE(a_listener_calls_as_server_and_a_pool_does_not) {
    struct two_sided : ice::line {
        void as_server() { end = "server"; }
        ice::error_code packet(std::string_view text, std::string& out) {
            return ice::line::packet(fmt::format("{} says {}", end, text), out);
        }
        const char* end = "client";
    };
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(two_sided()).logic(same));
    constexpr ice::pool_name<two_sided> name{"up"};
    auto& p = srv.add(ice::tcp_client_action{l.endpoint(), name, 1});
    const auto ask = [](ice::pool<two_sided>& of) -> ice::task<std::string> {
        const auto reply = co_await of.request(std::string("hello"));
        co_return reply.value();
    };
    BOOST_TEST(run(ask(p)) == "server says client says hello");
    auto other = connect(l.endpoint());
    other.send("hello\r\n");
    BOOST_TEST(other.read_line() == "server says hello");
}

BOOST_AUTO_TEST_CASE(sessions_are_found_by_uid_and_listed_in_order) {
    auto& l = add(same);
    auto a = connect(l.endpoint());
    auto b = connect(l.endpoint());
    until([&] { return l.size() == 2; });
    settle();
    std::vector<ice::uid> ids;
    for (auto& s : l.sessions()) ids.push_back(s.uid());
    BOOST_TEST_REQUIRE(ids.size() == 2U);
    BOOST_TEST((ids[0] < ids[1]));
    BOOST_TEST(l.find(ids[1])->peer().port() == b.socket().local_endpoint().port());
    a.end();
    a.read_to_end();
    until([&] { return l.size() == 1; });
    BOOST_TEST(l.find(ids[0]) == nullptr);
    auto c = connect(l.endpoint());
    until([&] { return l.size() == 2; });
    settle();
    for (auto& s : l.sessions()) BOOST_TEST((s.uid() != ids[0]), "a uid is never used twice");
}

BOOST_AUTO_TEST_CASE(a_broadcast_reaches_all_and_waits_for_none) {
    // One peer that does not read must not keep the others waiting, nor take unbounded memory.
    auto& l = add(same, {.outbox = 1000});
    auto a = connect(l.endpoint());
    auto b = connect(l.endpoint());
    until([&] { return l.size() == 2; });
    settle();
    BOOST_TEST(l.broadcast("news") == 2U);
    BOOST_TEST(a.read_line() == "news");
    BOOST_TEST(b.read_line() == "news");
    BOOST_TEST(l.broadcast(std::string(999, 'x')) == 0U);  // 1001 bytes with CR LF
    BOOST_TEST(l.counters().outbox_full == 2U);
}

BOOST_AUTO_TEST_CASE(a_logic_that_throws_closes_only_its_own_connection) {
    int opened = 0, closed = 0;
    auto& l = add(moody{&opened, &closed});
    auto good = connect(l.endpoint());
    auto bad = connect(l.endpoint());
    bad.send("one\r\nthrow\r\ntwo\r\n");
    BOOST_TEST(bad.read_to_end() == "welcome\r\none\r\n");  // what was answered before still comes
    BOOST_TEST(bad.ended);
    BOOST_TEST(l.counters().logic_threw == 1U);
    const auto port = bad.socket().local_endpoint().port();
    BOOST_TEST(
        logged(fmt::format("session #2 of 127.0.0.1:{}: its logic threw: bad\\x0amood", port)));
    good.send("hello\r\n");
    BOOST_TEST(good.read_line() == "welcome");
    BOOST_TEST(good.read_line() == "hello");
    good.send("throw 42\r\n");
    good.read_to_end();
    BOOST_TEST(logged("not a std::exception"));
    until([&] { return l.size() == 0; });
    BOOST_TEST(opened == 2);
    BOOST_TEST(closed == 2);
}

BOOST_AUTO_TEST_CASE(at_the_limit_further_peers_wait_in_the_backlog) {
    auto& l = add(same, {.connections = 2});
    std::list<peer> peers;
    for (int i = 0; i < 3; ++i) peers.push_back(connect(l.endpoint()));
    for (auto& p : peers) p.send("hi\r\n");
    auto third = peers.begin();
    std::advance(third, 2);
    BOOST_TEST(peers.front().read_line() == "hi");
    BOOST_TEST(std::next(peers.begin())->read_line() == "hi");
    settle();
    BOOST_TEST(l.size() == 2U);
    BOOST_TEST(l.counters().paused == 1U);
    BOOST_TEST(!third->poll());
    BOOST_TEST(third->got == "");
    peers.front().close();
    BOOST_TEST(third->read_line() == "hi");
    BOOST_TEST(l.counters().accepted == 3U);
}

BOOST_AUTO_TEST_CASE(every_end_is_counted_by_its_kind) {
    auto& l = add(same, {.message = 16}, {.message = 20ms, .idle = 40ms});
    auto closed = connect(l.endpoint());
    closed.end();
    closed.read_to_end();
    auto cut = connect(l.endpoint());
    cut.send("half");
    cut.end();
    cut.read_to_end();
    auto large = connect(l.endpoint());
    large.send(std::string(17, 'x'));
    large.read_to_end();
    auto slow = connect(l.endpoint());
    slow.send("ha");
    slow.read_to_end();
    auto idle = connect(l.endpoint());
    idle.read_to_end();
    until([&] { return l.size() == 0; });
    const auto c = l.counters();
    BOOST_TEST(c.accepted == 5U);
    BOOST_TEST(c.closed == 1U);
    BOOST_TEST(c.truncated == 1U);
    BOOST_TEST(c.bad_messages == 1U);
    BOOST_TEST(c.timeouts == 2U);
    BOOST_TEST(c.broken == 0U);
    BOOST_TEST(c.messages == 0U);
    BOOST_TEST(logged("message too large: xxxxxxxxxxxxxxxxx"));
    BOOST_TEST(logged("message not finished in time"));
}

BOOST_AUTO_TEST_CASE(the_log_says_that_an_answer_could_not_be_sent) {
    // The danger: the log blames the bytes of the peer for an answer of the logic.
    const auto answers = [](std::string_view line) {
        return line == "long" ? std::string(10'000, 'x') : std::string("two\r\nlines");
    };
    auto& l = add(answers);
    auto p = connect(l.endpoint());
    p.send("two\r\nnext");
    BOOST_TEST(p.read_to_end() == "");
    BOOST_TEST(logged("its logic's answer cannot be sent: the protocol cannot express"));
    auto q = connect(l.endpoint());
    q.send("long\r\nnext");
    BOOST_TEST(q.read_to_end() == "");
    BOOST_TEST(logged("its logic's answer cannot be sent: message too large"));
    BOOST_TEST(!logged("next"));
    BOOST_TEST(l.counters().unencodable == 2U);
    BOOST_TEST(l.counters().bad_messages == 2U);
    BOOST_TEST(l.report().front().find("2 answers unencodable") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(an_end_by_a_reset_is_counted_as_broken) {
    auto& l = add(same);  // without a timeout that might come first
    auto reset = connect(l.endpoint());
    until([&] { return l.counters().accepted == 1; });
    settle();
    reset.reset();
    until([&] { return l.size() == 0; });
    BOOST_TEST(l.counters().broken == 1U);
    BOOST_TEST(l.counters().timeouts == 0U);
}

BOOST_AUTO_TEST_CASE(a_refused_peer_still_gets_the_answers_before_it) {
    // Closing with bytes unread makes the kernel send a reset, which would destroy them.
    auto& l = add(same, {.message = 1000});
    auto p = connect(l.endpoint());
    p.send("good\r\n" + std::string(200'000, 'x'));
    BOOST_TEST(p.read_to_end() == "good\r\n");
    BOOST_TEST(p.ended);
    BOOST_TEST(!p.was_reset);
}

BOOST_AUTO_TEST_CASE(a_drain_answers_what_has_arrived_and_accepts_nothing_new) {
    auto& l = add(same);
    auto asked = connect(l.endpoint());
    auto idle = connect(l.endpoint());
    until([&] { return l.size() == 2; });
    settle();
    asked.send("in flight\r\n");
    srv.drain(5s);
    BOOST_TEST(asked.read_to_end() == "in flight\r\n");
    BOOST_TEST(idle.read_to_end() == "");
    std::error_code refused;
    tcp::socket late(io);
    late.connect(endpoint_of(l.endpoint()), refused);
    BOOST_TEST((refused == asio::error::connection_refused), refused.message());
    asked.close();
    idle.close();
    until([&] { return l.size() == 0; });
    BOOST_TEST(l.counters().ended_by_us == 2U);
}

// The peer may have sent its message in two segments: the answer was lost.
BOOST_AUTO_TEST_CASE(a_message_that_has_begun_when_a_drain_begins_is_answered) {
    auto& l = add(same);
    auto known = connect(l.endpoint());    // what came of it was looked at before the drain
    auto unknown = connect(l.endpoint());  // and of this one not
    until([&] { return l.size() == 2; });
    known.send("whole\r\nhalf a");
    BOOST_TEST(known.read_line() == "whole");
    settle();
    unknown.send("half a");
    srv.drain(5s);
    settle();
    BOOST_TEST(l.size() == 2U);
    for (auto* p : {&known, &unknown}) {
        p->send(" li");
        settle();
        p->send("ne\r\nlate");
        BOOST_TEST(p->read_to_end() == "half a line\r\n");
        p->close();
    }
    until([&] { return l.size() == 0; });
    BOOST_TEST(l.counters().messages == 3U);
}

// The rest of the message may never arrive.
BOOST_AUTO_TEST_CASE(a_message_that_stays_unfinished_ends_with_the_grace_period) {
    auto& l = add(same);
    auto p = connect(l.endpoint());
    p.send("half a");
    until([&] { return l.size() == 1; });
    settle();
    srv.drain(50ms);
    BOOST_TEST(p.read_to_end() == "");
    until([&] { return l.size() == 0; });
}

BOOST_AUTO_TEST_CASE(peers_in_the_backlog_are_served_when_a_drain_begins) {
    auto& l = add(same);
    auto p = connect(l.endpoint());  // the kernel's connection; the loop has not run yet
    p.send("early\r\n");
    srv.drain(5s);
    BOOST_TEST(p.read_to_end() == "early\r\n");
}

BOOST_AUTO_TEST_SUITE_END()
