// session_base: its timeouts, in virtual time.
#include <ice/detail/session_base.hpp>

#include "conversation.hpp"

using namespace test;

namespace {

const ice::timeouts defaults;

// Danger: each idle connection pays for a field that only its listener or its pool needs. What
// these know of a connection belongs into listener_base::numbered_session and pool_connection.
static_assert(sizeof(ice::session_base) <= 80);

// A logic that answers when the test lets it.
struct slow {
    ice::event& go;
    ice::task<ice::borrowed<std::string_view>> operator()(std::string_view line) {
        co_await go.wait();
        co_return line;
    }
};

std::string lines(int n) {
    std::string all;
    for (int i = 0; i < n; ++i) all += std::to_string(i % 10) + "\r\n";
    return all;
}

// Whether the conversation is alive just before `span` is over, and why it has ended then.
template <class P>
void ends_after(memory_world& w, conversation<P>& c, ice::duration span, ice::errc why) {
    w.advance(span - 1ms);
    BOOST_TEST(!c.ended.has_value());
    BOOST_TEST(!c.wire.cancelled());
    w.advance(1ms);
    BOOST_TEST_REQUIRE(c.ended.has_value());
    BOOST_TEST(*c.ended == why);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(session_base)

// -- timeouts

// Otherwise unused connections would stay open for ever.
BOOST_AUTO_TEST_CASE(a_silent_session_ends_at_the_idle_timeout) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    ends_after(w, c, defaults.idle, ice::errc::idle_timeout);
}

// An idle timeout that does not restart would end a busy connection.
BOOST_AUTO_TEST_CASE(the_idle_timeout_restarts_after_each_message) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    w.advance(defaults.idle - 1ms);
    c.arrive("a\r\n");
    BOOST_TEST(c.heard() == "a\r\n");
    ends_after(w, c, defaults.idle, ice::errc::idle_timeout);
}

// Slowloris: a byte now and then must not keep a connection for ever.
BOOST_AUTO_TEST_CASE(the_message_timeout_counts_from_the_first_byte) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    w.advance(10s);
    for (int second = 0; second < 29; ++second) {
        c.arrive("x");
        w.advance(1s);
    }
    BOOST_TEST(!c.ended.has_value());
    ends_after(w, c, defaults.message - 29s, ice::errc::message_timeout);
    BOOST_TEST(c.heard() == "");
}

// Reads of a pipelining peer may never end with a message: one timeout for all messages would end
// it.
BOOST_AUTO_TEST_CASE(the_next_message_has_its_own_timeout) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    c.arrive("a\r\nb");
    w.advance(defaults.message - 1ms);
    c.arrive("\r\nc");
    BOOST_TEST(c.heard() == "a\r\nb\r\n");
    ends_after(w, c, defaults.message, ice::errc::message_timeout);
}

// An unfinished message must not have the longer idle timeout.
BOOST_AUTO_TEST_CASE(after_a_finished_message_the_idle_timeout_applies_again) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    c.arrive("a");
    w.advance(1s);
    c.arrive("\r\n");
    ends_after(w, c, defaults.idle, ice::errc::idle_timeout);
}

// Otherwise a peer that reads nothing would hold its answers and its logic for ever.
BOOST_AUTO_TEST_CASE(a_peer_that_does_not_read_is_closed_at_the_write_timeout) {
    memory_world w;
    conversation<ice::line> c(w);
    c.wire.stalled = true;
    c.serve(ice::echo{});
    w.advance(10s);
    c.arrive("a\r\n");
    ends_after(w, c, defaults.write, ice::errc::write_timeout);
}

// No coroutine waits for a push: without a timeout an idle peer that does not read would hold it
// for ever.
BOOST_AUTO_TEST_CASE(a_push_that_stalls_ends_the_session_at_the_write_timeout) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    c.wire.stalled = true;
    w.advance(10s);
    BOOST_TEST(!c.peer.push("news"));
    w.settle();
    ends_after(w, c, defaults.write, ice::errc::write_timeout);
}

// A peer that takes a few bytes again and again is slow, and not lost.
BOOST_AUTO_TEST_CASE(the_write_timeout_restarts_with_each_byte_that_the_peer_takes) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    for (int i = 0; i < 3; ++i) {
        c.wire.stalled = true;
        BOOST_TEST(!c.peer.push("news"));
        w.settle();
        w.advance(defaults.write - 1ms);
        BOOST_TEST(!c.wire.cancelled());
        c.wire.resume();
        c.arrive("a\r\n");
        BOOST_TEST(c.heard() == "news\r\na\r\n");
    }
    w.advance(defaults.write);  // of the last one nothing is left to be taken
    BOOST_TEST(!c.wire.cancelled());
}

// A handshake or opened() that sends is no logic: its timeout would end the session later.
BOOST_AUTO_TEST_CASE(sending_outside_a_logic_does_not_start_the_logic_timeout) {
    memory_world w;
    ice::timeouts t;
    t.logic = 1s;
    conversation<ice::line> c(w, ice::line{}, {}, t);
    c.wire.stalled = true;
    const auto greet = [](ice::session<ice::line>& peer) -> ice::task<> {
        const ice::error_code ec = co_await peer.send(std::string_view("hello"));
        BOOST_TEST(!ec);
    };
    w.spawn(greet(c.peer));
    w.settle();
    c.wire.resume();  // it had to wait
    w.settle();
    w.advance(t.logic);
    BOOST_TEST(!c.wire.cancelled());
}

// Otherwise a logic that waits for ever would hold its connection for ever.
BOOST_AUTO_TEST_CASE(a_logic_that_waits_ends_at_the_logic_timeout) {
    memory_world w;
    ice::event go(w.net->executor());
    conversation<ice::line> c(w);
    c.serve(slow{go});
    w.advance(60s);
    c.arrive("a\r\n");
    w.advance(defaults.logic - 1ms);
    BOOST_TEST(!c.wire.cancelled());
    w.advance(1ms);
    BOOST_TEST(c.wire.cancelled() == ice::errc::logic_timeout);
    go.set();
    w.settle();
    BOOST_TEST_REQUIRE(c.ended.has_value());
    BOOST_TEST(*c.ended == ice::errc::logic_timeout);
    BOOST_TEST(c.heard() == "");
}

// The idle timeout must not run while the logic makes an answer.
BOOST_AUTO_TEST_CASE(a_logic_may_wait_longer_than_the_idle_timeout) {
    memory_world w;
    ice::event go(w.net->executor());
    ice::timeouts t;
    t.idle = 1s;
    conversation<ice::line> c(w, ice::line{}, {}, t);
    c.serve(slow{go});
    c.arrive("a\r\n");
    w.advance(20s);
    BOOST_TEST(!c.wire.cancelled());
    go.set();
    w.settle();
    BOOST_TEST(c.heard() == "a\r\n");
    ends_after(w, c, 1s, ice::errc::idle_timeout);
}

// Ten answers of a burst, each in time, must not count as one that is late.
BOOST_AUTO_TEST_CASE(each_message_has_the_whole_logic_timeout) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve([&](std::string_view line) -> ice::task<ice::borrowed<std::string_view>> {
        co_await w.net->sleep(20s);
        co_return line;
    });
    c.arrive(lines(10));
    for (int i = 0; i < 10; ++i) w.advance(20s);
    BOOST_TEST(!c.wire.cancelled());
    BOOST_TEST(c.heard() == lines(10));
}

// The session does not read the clock for each message of a burst, and yet none may wait for ever.
BOOST_AUTO_TEST_CASE(a_later_message_of_a_burst_has_at_most_twice_the_logic_timeout) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve([&](std::string_view line) -> ice::task<ice::borrowed<std::string_view>> {
        ice::duration span = 1s;
        if (line == "1") span = 10 * defaults.logic;
        co_await w.net->sleep(span);
        co_return line;
    });
    c.arrive(lines(2));
    w.advance(1s);
    w.advance(defaults.logic);
    BOOST_TEST(!c.wire.cancelled());
    w.advance(defaults.logic);
    BOOST_TEST(c.wire.cancelled() == ice::errc::logic_timeout);
}

namespace {

// Wants a word first, and for each byte of it longer.
struct guarded : ice::line {
    ice::task<bool> handshake(ice::session<guarded>& peer) {
        const auto word = co_await peer.receive();
        if (!word) co_return word.error() == ice::errc::unencodable;
        co_return *word == "open sesame";
    }
};

struct shaken {
    std::optional<ice::error_code> said;

    static ice::task<> shake(shaken& self, ice::session<guarded>& peer, ice::duration limit) {
        const auto ec = co_await peer.shake_hands(limit);
        self.said = ec;
    }
};

}  // namespace

// A peer that connects and sends nothing, or a byte now and then, must not hold a connection.
BOOST_AUTO_TEST_CASE(a_handshake_of_a_peer_ends_at_its_timeout) {
    memory_world w;
    conversation<guarded> c(w);
    shaken result;
    w.spawn(shaken::shake(result, c.peer, defaults.handshake));
    for (int second = 0; second < 9; ++second) {
        c.arrive("x");
        w.advance(1s);
    }
    w.advance(1s - 1ms);
    BOOST_TEST(!result.said.has_value());
    w.advance(1ms);
    BOOST_TEST(result.said.has_value());
    BOOST_TEST(c.wire.cancelled() == ice::errc::handshake_timeout);
}

// The timeout of the handshake must not end the session later.
BOOST_AUTO_TEST_CASE(the_handshake_timeout_ends_with_the_handshake) {
    memory_world w;
    conversation<guarded> c(w);
    shaken result;
    w.spawn(shaken::shake(result, c.peer, defaults.handshake));
    c.arrive("open sesame\r\n");
    BOOST_TEST_REQUIRE(result.said.has_value());
    BOOST_TEST(!*result.said);
    BOOST_TEST(c.peer.is_untouched());
    c.serve(ice::echo{});
    ends_after(w, c, defaults.idle, ice::errc::idle_timeout);
}

// opened() runs after the handshake, and may take longer than its timeout.
BOOST_AUTO_TEST_CASE(the_handshake_timeout_does_not_end_opened) {
    memory_world w;
    conversation<guarded> c(w);
    shaken result;
    w.spawn(shaken::shake(result, c.peer, defaults.handshake));
    c.arrive("open sesame\r\n");
    BOOST_TEST_REQUIRE(result.said.has_value());
    w.advance(defaults.handshake);
    BOOST_TEST(!c.wire.cancelled());
}

BOOST_AUTO_TEST_SUITE_END()
