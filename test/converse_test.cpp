// Logics that keep the state of one connection: per_session(), and converse().
#include <fmt/format.h>

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

struct counting {
    std::vector<std::string>* seen;
    int messages = 0;

    void opened(line_session&) { messages = 100; }
    std::string operator()(std::string_view) { return fmt::format("{}", ++messages); }
    void closed(line_session& peer) {
        seen->push_back(fmt::format("{} had {}", peer.uid(), messages));
    }
};

// Asks for a name and a number, and ends after them.
struct form {
    std::vector<std::string>* seen;

    ice::task<> converse(line_session& peer) const {
        const ice::error_code unsent = co_await peer.send(std::string_view("name?"));
        if (unsent) co_return;
        auto got = co_await peer.receive();
        if (!got) co_return;
        if (*got == "throw") throw std::runtime_error("no name");
        if (*got == "wait") co_await peer.sleep(1h);
        const std::string name(*got);
        const ice::error_code lost = co_await peer.send(std::string_view("number?"));
        if (lost) co_return;
        got = co_await peer.receive();
        if (!got) co_return;
        seen->push_back(fmt::format("{} {}", name, *got));
        static_cast<void>(peer.push(std::string_view("thanks")));
    }
    void closed(line_session&, ice::error_code why) const { seen->push_back(why.message()); }
};

struct fixture {
    template <class L>
    ice::listener<ice::line>& add(L l, ice::timeouts times = {}) {
        return srv.add(ice::tcp_server_action{SERVER}
                           .protocol(ice::line{})
                           .logic(std::move(l))
                           .timeouts(times));
    }
    std::unique_ptr<line_session> open() { return sim.run(sim.open<ice::line>(SERVER)).value(); }
    std::string next(line_session& peer) {
        const auto got = sim.run(peer.receive());
        return got ? std::string(*got) : got.error().message();
    }
    std::string ask(line_session& peer, std::string text) {
        const ice::error_code unsent = sim.run(peer.send(std::move(text)));
        return unsent ? unsent.message() : next(peer);
    }

    std::vector<std::string> seen;
    simulation sim;
    quiet_server srv{sim.net()};
};

std::string text(ice::errc e) { return make_error_code(e).message(); }

}  // namespace

BOOST_FIXTURE_TEST_SUITE(converse, fixture)

BOOST_AUTO_TEST_CASE(each_connection_has_a_copy_of_a_logic_per_session) {
    add(ice::per_session(counting{&seen}));
    auto one = open();
    auto two = open();
    BOOST_TEST(ask(*one, "x") == "101");
    BOOST_TEST(ask(*one, "x") == "102");
    BOOST_TEST(ask(*two, "x") == "101");
    one.reset();
    sim.run_for(1s);
    BOOST_TEST(seen == std::vector<std::string>{"#1 had 102"}, boost::test_tools::per_element());
    auto three = open();
    BOOST_TEST(ask(*three, "x") == "101");
}

BOOST_AUTO_TEST_CASE(a_logic_that_is_shared_counts_for_all) {
    add(counting{&seen});
    auto one = open();
    BOOST_TEST(ask(*one, "x") == "101");
    auto two = open();
    BOOST_TEST(ask(*one, "x") == "101");
    BOOST_TEST(ask(*two, "x") == "102");
}

BOOST_AUTO_TEST_CASE(a_conversation_runs_once_for_each_connection) {
    auto& l = add(form{&seen});
    auto one = open();
    auto two = open();
    BOOST_TEST(next(*one) == "name?");
    BOOST_TEST(next(*two) == "name?");
    BOOST_TEST(ask(*one, "Ada") == "number?");
    BOOST_TEST(ask(*two, "Bob") == "number?");
    BOOST_TEST(ask(*one, "1") == "thanks", "what it pushed before it returned is sent");
    BOOST_TEST(next(*one) == text(ice::errc::closed));
    BOOST_TEST(ask(*two, "2") == "thanks");
    one.reset();
    two.reset();
    sim.run_for(1s);
    const std::string ended = text(ice::errc::stopped);
    BOOST_TEST(seen == (std::vector<std::string>{"Ada 1", ended, "Bob 2", ended}),
               boost::test_tools::per_element());
    BOOST_TEST(l.size() == 0u);
    BOOST_TEST(l.counters().ended_by_us == 2u);
}

// All messages arrive at once: each receive() takes one of them.
BOOST_AUTO_TEST_CASE(a_conversation_takes_messages_that_have_arrived) {
    add(form{&seen});
    auto peer = open();
    static_cast<void>(peer->push(std::string_view("Ada")));
    static_cast<void>(peer->push(std::string_view("1")));
    for (const char* each : {"name?", "number?", "thanks"}) BOOST_TEST(next(*peer) == each);
}

BOOST_AUTO_TEST_CASE(closed_learns_why_a_conversation_ended) {
    auto& l = add(form{&seen}, {.idle = 10s, .logic = 20s});
    {
        auto leaves = open();
        BOOST_TEST(next(*leaves) == "name?");
    }
    auto silent = open();
    auto slow = open();
    auto throws = open();
    for (auto* each : {&silent, &slow, &throws}) BOOST_TEST(next(**each) == "name?");
    BOOST_TEST(ask(*throws, "throw") == text(ice::errc::closed));
    BOOST_TEST(!sim.run(slow->send(std::string_view("wait"))));
    BOOST_TEST(next(*silent) == text(ice::errc::closed));
    sim.run_for(2h);
    BOOST_TEST(seen == (std::vector<std::string>{text(ice::errc::closed), text(ice::errc::stopped),
                                                 text(ice::errc::idle_timeout),
                                                 text(ice::errc::logic_timeout)}),
               boost::test_tools::per_element());
    BOOST_TEST(l.counters().closed == 1u);
    BOOST_TEST(l.counters().logic_threw == 1u);
    BOOST_TEST(l.counters().timeouts == 2u);
}

BOOST_AUTO_TEST_CASE(a_drain_ends_a_conversation_that_waits_for_its_peer) {
    auto& l = add(form{&seen});
    auto peer = open();
    BOOST_TEST(next(*peer) == "name?");
    srv.drain(10s);
    BOOST_TEST(next(*peer) == text(ice::errc::closed));
    peer.reset();
    sim.run_for(1s);
    BOOST_TEST(seen == std::vector<std::string>{text(ice::errc::draining)},
               boost::test_tools::per_element());
    BOOST_TEST(l.size() == 0u);
}

BOOST_AUTO_TEST_CASE(a_conversation_may_be_per_session_too) {
    static_assert(ice::logic_for<form, ice::line>);
    add(ice::per_session(form{&seen}));
    auto peer = open();
    BOOST_TEST(next(*peer) == "name?");
}

BOOST_AUTO_TEST_SUITE_END()
