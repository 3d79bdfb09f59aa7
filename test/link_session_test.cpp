// The session of a link takes every kind of logic and protocol that the session of a listener
// takes: one copy of a logic for each connection, and a protocol whose parsing waits.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using strings = std::vector<std::string>;

const ice::address there{"10.0.0.1", 7};

// A line whose parsing takes a while.
struct slow_line {
    using message_type = std::string;
    ice::duration takes = 1s;

    ice::task<ice::parsed<std::string>> handle(std::string_view input,
                                               ice::session<slow_line>& peer) {
        const auto end = input.find('\n');
        if (end == input.npos) co_return ice::need_more;
        std::string text(input.substr(0, end));
        co_await peer.sleep(takes);
        if (text == "bad") co_return ice::errc::bad_message;
        co_return ice::parsed<std::string>(std::move(text), end + 1);
    }
    static void packet(std::string_view m, std::string& out) { out.append(m) += '\n'; }
};

// Counts the messages of its connection.
struct counting {
    strings& seen;
    void opened(ice::session<ice::line>&) { seen.push_back(fmt::format("opened after {}", n)); }
    void operator()(std::string_view m) { seen.push_back(fmt::format("{} {}", ++n, m)); }
    void closed(ice::session<ice::line>&) { seen.push_back(fmt::format("closed after {}", n)); }
    int n = 0;
};

// Receives all messages of a connection itself.
struct talker {
    strings& seen;
    ice::task<> converse(ice::session<ice::line>& peer) const {
        BOOST_TEST(!peer.push(std::string_view("hello")));
        for (;;) {
            const auto m = co_await peer.receive();
            if (!m) break;
            seen.emplace_back(*m);
        }
        seen.emplace_back("over");
    }
};

struct fixture {
    // Sends each line to all links.
    void send(const char* lines) {
        for (auto& peer : broker->sessions()) BOOST_TEST(!peer.push(std::string(lines)));
    }

    strings seen;
    ice::testing::simulation sim;
    std::unique_ptr<quiet_server> far = std::make_unique<quiet_server>(sim.host("10.0.0.1"));
    std::unique_ptr<quiet_server> srv = std::make_unique<quiet_server>(sim.net());
    ice::listener<ice::raw>* broker = &far->add(
        ice::tcp_server_action{there}.timeouts({.idle = 24h}).logic(ice::ignore_messages{}));
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(link_session, fixture)

BOOST_AUTO_TEST_CASE(each_connection_has_a_copy_of_a_per_session_logic) {
    auto& l = srv->add(ice::tcp_link_action{there, ice::link_name<ice::line>{"feed"}}.logic(
        ice::per_session(counting{seen})));
    BOOST_TEST(sim.run_until([&] { return l.is_connected(); }, 1s));
    sim.run_for(2s);
    send("one\r\ntwo\r\n");
    sim.run_for(1s);
    l.reconnect();
    sim.run_for(10s);
    BOOST_TEST(l.is_connected());
    send("three\r\n");
    sim.run_for(1s);
    const strings all{"opened after 0", "1 one",          "2 two",
                      "closed after 2", "opened after 0", "1 three"};
    BOOST_TEST(seen == all, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_conversation_waits_for_hours_on_a_link) {
    auto& l = srv->add(
        ice::tcp_link_action{there, ice::link_name<ice::line>{"feed"}}.logic(talker{seen}));
    BOOST_TEST(sim.run_until([&] { return l.is_connected(); }, 1s));
    sim.run_for(3h);
    BOOST_TEST(l.counters().connects == 1U);
    send("one\r\n");
    sim.run_for(1s);
    far->stop();
    sim.run_for(1s);
    BOOST_TEST(!l.is_connected());
    BOOST_TEST(seen == (strings{"one", "over"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_protocol_with_handle_receives_on_a_link) {
    const auto logic = [this](std::string_view m, ice::session<slow_line>& peer) -> ice::task<> {
        seen.emplace_back(m);
        BOOST_TEST(!peer.push(std::string_view("thanks")));
        co_return;
    };
    auto& l = srv->add(ice::tcp_link_action{there, ice::link_name<slow_line>{"feed"}}
                           .limits({.in_flight = 4})  // no effect: parsing waits for its turn
                           .logic(logic));
    BOOST_TEST(sim.run_until([&] { return l.is_connected(); }, 1s));
    send("one\ntwo\n");
    sim.run_for(1500ms);
    BOOST_TEST(seen == strings{"one"}, boost::test_tools::per_element());
    sim.run_for(1s);
    BOOST_TEST((seen == strings{"one", "two"}));
    BOOST_TEST(l.counters().messages == 2U);
    send("bad\n");
    sim.run_for(5s);
    BOOST_TEST(l.counters().broken == 1U);
    srv->drain(5s);
    sim.run_for(5s);
    BOOST_TEST(l.is_over());
}

BOOST_AUTO_TEST_CASE(stop_ends_a_protocol_that_waits) {
    // A handle() that waits for an hour would hold the end of its server for an hour.
    const ice::address near{"127.0.0.1", 9};
    auto& l = srv->add(
        ice::tcp_link_action{there, ice::link_name<slow_line>{"feed"}}.protocol(slow_line{1h}));
    auto& in = srv->add(ice::tcp_server_action{near}.protocol(slow_line{1h}));
    BOOST_TEST(sim.run_until([&] { return l.is_connected(); }, 1s));
    send("one\n");
    auto peer = sim.run(sim.open<ice::raw>(near)).value();
    BOOST_TEST(!sim.run(peer->send(std::string_view("one\n"))));
    sim.run_for(500ms);  // both wait in handle()
    srv->stop();
    sim.run_for(100ms);
    BOOST_TEST(l.is_over());
    BOOST_TEST(in.size() == 0U);
}

BOOST_AUTO_TEST_CASE(a_protocol_that_waits_has_the_time_of_a_logic) {
    const ice::address near{"127.0.0.1", 9};
    auto& l = srv->add(ice::tcp_link_action{there, ice::link_name<slow_line>{"feed"}}
                           .protocol(slow_line{1h})
                           .timeouts({.logic = 2s}));
    auto& in =
        srv->add(ice::tcp_server_action{near}.protocol(slow_line{1h}).timeouts({.logic = 2s}));
    BOOST_TEST(sim.run_until([&] { return l.is_connected(); }, 1s));
    send("one\n");
    auto peer = sim.run(sim.open<ice::raw>(near)).value();
    BOOST_TEST(!sim.run(peer->send(std::string_view("one\n"))));
    sim.run_for(1900ms);
    BOOST_TEST(l.is_connected());
    BOOST_TEST(in.size() == 1U);
    sim.run_for(5s);
    BOOST_TEST(l.counters().broken == 1U);
    BOOST_TEST(in.counters().timeouts == 1U);
    BOOST_TEST(in.size() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
