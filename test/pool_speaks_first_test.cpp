// Upstreams that speak first: telnet options, which are no message, and a line of greeting.
#include <boost/test/unit_test.hpp>
#include <ice/pool.hpp>
#include <ice/protocols/telnet.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

constexpr std::string_view will_echo = "\xff\xfb\x01", dont_echo = "\xff\xfe\x01";
constexpr ice::pool_name<ice::telnet> old_one{"old"};

// An upstream whose bytes the test writes: those of a new connection, and behind each reply.
struct fixture : asking {
    struct connection {
        std::unique_ptr<ice::channel> bytes;
        std::string got{};
    };
    fixture() { sim.spawn(accept(*this)); }
    ~fixture() { acceptor->cancel(); }

    static ice::task<> accept(fixture& me) {
        for (;;) {
            if (co_await me.acceptor->ready()) co_return;
            auto c = me.acceptor->accept();
            if (c) me.sim.spawn(serve(me, me.all.emplace_back(connection{*std::move(c)})));
        }
    }
    static ice::task<> serve(fixture& me, connection& c) {
        say(c, me.hello);
        while (!co_await c.bytes->fill()) {
            c.got += c.bytes->data();
            const bool asked = c.bytes->data().ends_with("\r\n");
            c.bytes->consume(c.bytes->data().size());
            if (asked) say(c, me.before + "reply\r\n" + me.behind);
        }
    }
    static void say(connection& c, std::string_view text) {
        c.bytes->out() += text;
        c.bytes->try_flush();
    }

    ice::pool<ice::telnet>& add(std::size_t depth = 1) {
        return open(ice::tcp_client_action{far, old_one, 1}.limits({.pipeline = depth}));
    }
    ice::result<std::string> ask(ice::pool<ice::telnet>& p) {
        auto got = sim.run(p.request("show version"));
        sim.run_for(1ms);
        if (got) return *std::move(got);
        return got.error();
    }

    std::shared_ptr<ice::acceptor> acceptor = sim.host("10.0.0.1")->listen(far);
    std::list<connection> all;
    std::string hello, before, behind;
};

constexpr std::size_t alone = 1, shared = 16;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pool_speaks_first, fixture)

// The danger: options count as a reply to nothing, and no request ever succeeds.
BOOST_AUTO_TEST_CASE(options_on_a_new_connection_are_no_input) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        each.hello = will_echo;
        auto& p = each.add(depth);
        for (int i = 0; i < 3; ++i) BOOST_TEST(*each.ask(p) == "reply");
        BOOST_TEST(each.all.front().got.starts_with(dont_echo));
        BOOST_TEST(p.counters().connects == 1u);
        BOOST_TEST(p.counters().stale == 0u);
    }
}

BOOST_AUTO_TEST_CASE(options_before_and_behind_a_reply_are_no_input) {
    for (const std::size_t depth : {alone, shared}) {
        for (const bool in_front : {true, false}) {
            fixture each;
            (in_front ? each.before : each.behind) = will_echo;
            auto& p = each.add(depth);
            for (int i = 0; i < 3; ++i) BOOST_TEST(*each.ask(p) == "reply");
            BOOST_TEST(each.all.front().got.find(dont_echo) != std::string::npos);
            BOOST_TEST(p.counters().connects == 1u);
            BOOST_TEST(p.counters().discarded == 0u);
        }
    }
}

BOOST_AUTO_TEST_CASE(options_on_an_idle_connection_are_no_input) {
    auto& p = add();
    BOOST_TEST(*ask(p) == "reply");
    for (int i = 0; i < 3; ++i) {
        say(all.front(), will_echo);
        say(all.front(), "\xff\xf1");  // NOP, by which some servers see whether a client is there
        sim.run_for(1s);
        BOOST_TEST(*ask(p) == "reply");
    }
    BOOST_TEST(p.counters().connects == 1u);
}

// The danger: a line that nobody asked for becomes the reply to the next request.
BOOST_AUTO_TEST_CASE(a_message_that_nobody_asked_for_closes_the_connection) {
    for (const std::string_view stale : {"late\r\n", "la", "\xff\xfb\x01late\r\n", "\xff\xfb\x01l",
                                         "\xff\xfb", "\xff\xfa\x18", "\xff\xfb\x01\r\n"}) {
        fixture each;
        auto& p = each.add();
        BOOST_TEST(*each.ask(p) == "reply");
        say(each.all.front(), stale);
        each.sim.run_for(1s);
        BOOST_TEST(*each.ask(p) == "reply");
        BOOST_TEST(p.counters().connects == 2u);
        BOOST_TEST(p.counters().stale == 1u);
        each.behind = stale;
        BOOST_TEST(*each.ask(p) == "reply");
        each.sim.run_for(1s);
        BOOST_TEST(p.counters().discarded == 1u);
    }
}

BOOST_AUTO_TEST_CASE(a_peer_that_closes_behind_its_options_is_noticed) {
    auto& p = add();
    BOOST_TEST(*ask(p) == "reply");
    say(all.front(), will_echo);
    ice::testing::simulation::half_close(*all.front().bytes);
    sim.run_for(1s);
    BOOST_TEST(*ask(p) == "reply");
    BOOST_TEST(p.counters().connects == 2u);
    BOOST_TEST(p.counters().stale == 1u);
}

// A peer that sends options without an end does not hold the thread.
BOOST_AUTO_TEST_CASE(more_options_than_one_read_takes_close_the_connection) {
    auto& p = add();
    BOOST_TEST(*ask(p) == "reply");
    std::string many;
    for (int i = 0; i < 10'000; ++i) many += "\xff\xf1";
    say(all.front(), many);
    sim.run_for(1s);
    BOOST_TEST(*ask(p) == "reply");
    BOOST_TEST(p.counters().stale == 1u);
}

namespace {

// Throws for a line that nobody has asked for.
struct touchy : ice::line {
    ice::parsed<std::string_view> parse(std::string_view in) {
        if (in.starts_with("!")) throw std::runtime_error("cannot be parsed");
        return ice::line::parse(in);
    }
};

}  // namespace

// The danger: a byte of the upstream ends the health checks, or reaches a caller as an exception.
BOOST_AUTO_TEST_CASE(bytes_for_which_the_protocol_throws_close_the_connection) {
    for (const bool is_checked : {false, true}) {
        fixture each;
        auto action = ice::tcp_client_action{far, ice::pool_name<touchy>{"touchy"}, 1};
        auto& p = is_checked ? each.open(std::move(action).health_check("ping", 10s))
                             : each.open(std::move(action));
        for (std::uint64_t round = 1; round <= 3; ++round) {
            if (is_checked) each.sim.run_for(9990ms);  // the check is the next to look
            say(each.all.back(), "!\r\n");
            each.sim.run_for(1s);
            const auto got = each.sim.run(p.request("hello"));
            BOOST_TEST(*got == "reply");
            BOOST_TEST(p.counters().stale == round);
            BOOST_TEST(p.counters().checks == (is_checked ? round : 0u));
        }
    }
}

// The greeting of SMTP and FTP is a line: a handshake reads it.
BOOST_AUTO_TEST_CASE(a_greeting_without_a_handshake_closes_the_connection) {
    hello = "220 ready\r\n";
    auto& p = add();
    const auto got = ask(p);
    BOOST_TEST((got.error() == ice::condition::not_executed));
}

namespace {

struct greeted : ice::line {
    ice::task<ice::error_code> handshake(ice::session<greeted>& peer) {
        const auto hello = co_await peer.receive();
        if (!hello) co_return hello.error();
        if (!hello->starts_with("220 ")) co_return ice::errc::handshake_failed;
        co_return ice::error_code();
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_handshake_reads_the_greeting) {
    hello = "220 ready\r\n";
    auto& p = srv.add(ice::tcp_client_action{far, ice::pool_name<greeted>{"mail"}, 1});
    for (int i = 0; i < 2; ++i) {
        const auto got = sim.run(p.request("NOOP"));
        BOOST_TEST(*got == "reply");
    }
    BOOST_TEST(p.counters().connects == 1u);
    hello = "554 no\r\n";
    ice::testing::simulation::reset(*all.front().bytes);
    sim.run_for(1ms);
    const auto got = sim.run(p.request("NOOP"));
    BOOST_TEST(got.error() == ice::errc::handshake_failed);
}

BOOST_AUTO_TEST_SUITE_END()
