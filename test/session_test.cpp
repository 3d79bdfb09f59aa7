// session: what a logic can do with its connection: send, push, receive, close, sleep.
#include <ice/session.hpp>

#include "conversation.hpp"

using namespace test;

namespace {

using line_session = ice::session<ice::line>;
using answer = ice::task<ice::borrowed<std::string_view>>;

// Runs `work`, a coroutine, once for the session, as a handshake or a loop of one's own would.
template <class P, class Work>
void run(memory_world& w, conversation<P>& c, Work& work) {
    w.spawn(work(c.peer));
    w.settle();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(session)

// -- sending

// The peer must get sends, pushes and the answer in the order in which the logic made them.
BOOST_AUTO_TEST_CASE(sends_pushes_and_answers_keep_their_order) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve([](std::string_view line, line_session& peer) -> answer {
        BOOST_TEST(!peer.push("1"));
        co_await peer.send("2");
        BOOST_TEST(!peer.push("3"));
        BOOST_TEST(!peer.push("4"));
        co_return line;
    });
    c.arrive("5\r\n6\r\n");
    BOOST_TEST(c.heard() == "1\r\n2\r\n3\r\n4\r\n5\r\n1\r\n2\r\n3\r\n4\r\n6\r\n");
}

// A write for each push would make a broadcast slow; without any write the pushes would stay.
BOOST_AUTO_TEST_CASE(pushes_of_one_handler_leave_in_one_write) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    for (int i = 0; i < 10; ++i) BOOST_TEST(!c.peer.push("x"));
    BOOST_TEST(c.wire.writes == 0u);
    w.settle();
    BOOST_TEST(c.heard().size() == 30u);
    BOOST_TEST(c.wire.writes == 1u);
}

// A slow reader must not grow the memory of the server; a limit that is off by one is no limit.
BOOST_AUTO_TEST_CASE(a_push_is_refused_beyond_the_outbox_to_the_byte) {
    constexpr std::size_t limit = 1000;
    for (const std::size_t size : {limit - 1, limit, limit + 1}) {
        memory_world w;
        ice::limits l;
        l.outbox = limit;
        conversation<ice::raw> c(w, ice::raw{}, l);
        c.wire.stalled = true;
        BOOST_TEST(!c.peer.push(std::string(400, 'a')));
        w.settle();
        const auto ec = c.peer.push(std::string(size - 400, 'b'));
        const bool refused = size > limit;
        BOOST_TEST((ec == ice::errc::outbox_full) == refused);
        BOOST_TEST(!ec != refused);
        BOOST_TEST(c.settings.outbox_full == (refused ? 1u : 0u));
        BOOST_TEST(c.wire.unsent() == (refused ? 400 : size));
    }
}

// No part of the message may stay, and later pushes must succeed when the peer reads again.
BOOST_AUTO_TEST_CASE(the_connection_continues_after_a_refused_push) {
    memory_world w;
    ice::limits l;
    l.outbox = 10;
    conversation<ice::line> c(w, ice::line{}, l);
    c.serve(ice::echo{});
    c.wire.stalled = true;
    BOOST_TEST(!c.peer.push("first"));
    BOOST_TEST(c.peer.push("second") == ice::errc::outbox_full);
    BOOST_TEST(!c.peer.push("3"));
    c.wire.resume();
    w.settle();
    BOOST_TEST(c.heard() == "first\r\n3\r\n");
    BOOST_TEST(!c.peer.push("second"));
    w.settle();
    BOOST_TEST(c.heard() == "second\r\n");
    BOOST_TEST(c.settings.outbox_full == 1u);
}

// The proof of a complete exchange counts sent messages: a refused one gets no reply.
BOOST_AUTO_TEST_CASE(a_refused_push_does_not_count_as_sent) {
    memory_world w;
    ice::limits l;
    l.outbox = 3;
    conversation<ice::line> c(w, ice::line{}, l);
    c.wire.stalled = true;
    BOOST_TEST(c.peer.push("too long") == ice::errc::outbox_full);
    BOOST_TEST(c.peer.is_untouched());
    BOOST_TEST(!c.peer.push("1"));
    BOOST_TEST(!c.peer.is_untouched());
}

// A line with a line end in it would be two messages on the other side.
BOOST_AUTO_TEST_CASE(an_unencodable_message_is_not_sent_and_the_connection_continues) {
    memory_world w;
    conversation<ice::line> c(w);
    ice::error_code sent;
    auto work = [&](line_session& peer) -> ice::task<> {
        sent = co_await peer.send("two\r\nlines");
        co_await peer.send("one");
    };
    run(w, c, work);
    BOOST_TEST(sent == ice::errc::unencodable);
    BOOST_TEST(c.peer.push("two\r\nlines") == ice::errc::unencodable);
    BOOST_TEST(!c.peer.push("another"));
    w.settle();
    BOOST_TEST(c.heard() == "one\r\nanother\r\n");
}

// The caller of push() must learn that the connection is lost.
BOOST_AUTO_TEST_CASE(a_push_to_a_lost_connection_returns_the_cause) {
    memory_world w;
    conversation<ice::line> c(w);
    c.wire.cancel(ice::errc::idle_timeout);
    BOOST_TEST(c.peer.push("x") == ice::errc::idle_timeout);
    BOOST_TEST(c.heard() == "");
}

// Other coroutines may push to a session as long as its logic waits: 361 MB were seen.
BOOST_AUTO_TEST_CASE(pushes_to_a_lost_connection_are_not_kept) {
    memory_world w;
    conversation<ice::raw> c(w);
    c.wire.cancel(ice::errc::write_timeout);
    for (int i = 0; i < 100; ++i) BOOST_TEST(c.peer.push("bytes") == ice::errc::write_timeout);
    BOOST_TEST(c.wire.unsent() == 0u);
    BOOST_TEST(c.peer.is_untouched());
}

// If send() returned early, a logic could fill the memory in a loop.
BOOST_AUTO_TEST_CASE(send_waits_until_the_kernel_has_the_message) {
    memory_world w;
    conversation<ice::line> c(w);
    c.wire.stalled = true;
    int sent = 0;
    auto work = [&](line_session& peer) -> ice::task<> {
        while (!co_await peer.send("x")) {
            if (++sent == 5) break;
        }
    };
    run(w, c, work);
    BOOST_TEST(sent == 0);
    BOOST_TEST(c.wire.unsent() == 3u);
    c.wire.resume();
    w.settle();
    BOOST_TEST(sent == 5);
}

// -- receiving

// The logic gets the reply of the peer to its question; the next message is dispatched as usual.
BOOST_AUTO_TEST_CASE(a_logic_can_send_a_question_to_its_peer) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve([](std::string_view line, line_session& peer) -> ice::task<std::string> {
        if (line != "login") co_return std::string(line);
        co_await peer.send("name?");
        const auto name = co_await peer.receive();
        if (!name) co_return "";
        co_return "hello " + std::string(*name);
    });
    c.arrive("login\r\n");
    BOOST_TEST(c.heard() == "name?\r\n");
    c.arrive("ann\r\nnext\r\n");
    BOOST_TEST(c.heard() == "hello ann\r\nnext\r\n");
}

// A queued question must be sent before receive() waits for its reply.
BOOST_AUTO_TEST_CASE(receive_first_sends_queued_messages) {
    memory_world w;
    conversation<ice::line> c(w);
    std::string got;
    auto work = [&](line_session& peer) -> ice::task<> {
        peer.bytes().out() += "name?\r\n";
        const auto name = co_await peer.receive();
        if (name) got = *name;
    };
    run(w, c, work);
    BOOST_TEST(c.heard() == "name?\r\n");
    c.arrive("ann\r\n");
    BOOST_TEST(got == "ann");
}

// The peer's end, a malformed message and a timeout are errors of receive(), never exceptions.
BOOST_AUTO_TEST_CASE(receive_returns_why_there_is_no_message) {
    const auto why = [](auto happen) {
        memory_world w;
        conversation<ice::line> c(w, ice::line("\r\n", 5));
        ice::error_code ec;
        auto work = [&](line_session& peer) -> ice::task<> {
            const auto got = co_await peer.receive();
            ec = got.error();
        };
        run(w, c, work);
        happen(w, c);
        return ec;
    };
    using talk = conversation<ice::line>;
    BOOST_TEST(why([](memory_world&, talk& c) { c.arrive_end(); }) == ice::errc::closed);
    BOOST_TEST(why([](memory_world&, talk& c) { c.arrive("123456789"); }) ==
               ice::errc::message_too_large);
    BOOST_TEST(why([](memory_world& w, talk&) { w.advance(75s); }) == ice::errc::idle_timeout);
    BOOST_TEST(why([](memory_world& w, talk& c) {
                   c.peer.close();
                   w.settle();
               }) == ice::errc::stopped);
}

// timeouts::logic does not count the time that the peer takes to reply.
BOOST_AUTO_TEST_CASE(after_receive_the_logic_timeout_starts_again) {
    memory_world w;
    ice::event go(w.net->executor());
    conversation<ice::line> c(w);
    c.serve([&](std::string_view, line_session& peer) -> answer {
        const auto reply = co_await peer.receive();
        if (!reply) co_return "";
        co_await go.wait();
        co_return "done";
    });
    c.arrive("a\r\n");
    w.advance(70s);
    c.arrive("b\r\n");
    w.advance(30s - 1ms);
    BOOST_TEST(!c.wire.cancelled());
    w.advance(1ms);
    BOOST_TEST(c.wire.cancelled() == ice::errc::logic_timeout);
    go.set();
    w.settle();
}

// -- ending, time and the rest

// close() must not lose earlier pushes, and must end a pending receive().
BOOST_AUTO_TEST_CASE(close_sends_what_was_pushed_and_ends_pending_waits) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    BOOST_TEST(!c.peer.push("bye"));
    c.peer.close();
    w.settle();
    BOOST_TEST(c.heard() == "bye\r\n");
    BOOST_TEST_REQUIRE(c.ended.has_value());
    BOOST_TEST(*c.ended == ice::errc::stopped);
}

// Messages that the logic pushes after close() are sent, in plain logics and in coroutines.
BOOST_AUTO_TEST_CASE(pushes_and_answers_after_close_are_sent) {
    const auto heard = [](auto logic) {
        memory_world w;
        conversation<ice::line> c(w);
        c.serve(std::move(logic));
        c.arrive("quit\r\nnever\r\n");
        w.advance(5s);
        BOOST_TEST(c.settings.messages == 1u);
        BOOST_TEST_REQUIRE(c.ended.has_value());
        BOOST_TEST(*c.ended == ice::errc::stopped);
        return c.heard();
    };
    BOOST_TEST(heard([](std::string_view, line_session& peer) {
                   BOOST_TEST(!peer.push("1"));
                   peer.close();
                   BOOST_TEST(!peer.push("2"));
                   return "bye";
               }) == "1\r\n2\r\nbye\r\n");
    BOOST_TEST(heard([](std::string_view, line_session& peer) -> answer {
                   BOOST_TEST(!peer.push("1"));
                   peer.close();
                   co_await peer.send("2");
                   co_await peer.sleep(5s);
                   const auto more = co_await peer.receive();
                   co_return more.error() == ice::errc::stopped ? "bye" : "more?";
               }) == "1\r\n2\r\nbye\r\n");
}

// A slow peer gets the rest too; a peer that does not read does not hold the session for ever.
BOOST_AUTO_TEST_CASE(a_graceful_close_lasts_until_the_write_timeout) {
    for (const bool reads : {true, false}) {
        memory_world w;
        conversation<ice::line> c(w);
        c.wire.stalled = true;
        c.serve([](std::string_view line, line_session& peer) {
            peer.close();
            return line;
        });
        c.arrive("bye\r\n");
        w.advance(ice::timeouts().write - 1ms);
        BOOST_TEST(!c.ended.has_value());
        if (reads) c.wire.resume();
        w.settle();
        w.advance(1ms);
        BOOST_TEST(c.heard() == (reads ? "bye\r\n" : ""));
        BOOST_TEST_REQUIRE(c.ended.has_value());
        BOOST_TEST(*c.ended == (reads ? ice::errc::stopped : ice::errc::write_timeout));
    }
}

// An unencodable answer is a defect that must show, also if it is the last answer.
BOOST_AUTO_TEST_CASE(an_unencodable_last_answer_is_the_cause_of_the_end) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve([](std::string_view, line_session& peer) {
        peer.close();
        peer.close();
        return "good\r\nbye";
    });
    c.arrive("quit\r\n");
    BOOST_TEST_REQUIRE(c.ended.has_value());
    BOOST_TEST(*c.ended == ice::errc::unencodable);
}

// With the clock of the transport, a test of a logic need not wait.
BOOST_AUTO_TEST_CASE(sleep_and_now_use_the_clock_of_the_transport) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve([](std::string_view, line_session& peer) -> ice::task<std::string> {
        const auto before = peer.now();
        co_await peer.sleep(5s);
        co_return std::to_string((peer.now() - before) / 1s);
    });
    c.arrive("a\r\n");
    w.advance(5s - 1ms);
    BOOST_TEST(c.heard() == "");
    w.advance(1ms);
    BOOST_TEST(c.heard() == "5\r\n");
}

// A cast to a missing listener would crash later, in other code.
BOOST_AUTO_TEST_CASE(a_session_without_a_listener_throws_when_asked_for_it) {
    memory_world w;
    conversation<ice::line> c(w);
    BOOST_CHECK_THROW(c.peer.listener(), std::logic_error);
}

// A protocol that consumes bytes which have not arrived would read beyond the buffer.
BOOST_AUTO_TEST_CASE(a_protocol_that_consumes_too_much_or_nothing_is_a_logic_error) {
    struct greedy {
        std::size_t takes;
        ice::parsed<char> parse(std::string_view input) {
            if (input.empty()) return ice::need_more;
            return {'x', takes};
        }
    };
    for (const std::size_t takes : {0u, 4u, 1'000'000u}) {
        memory_world w;
        conversation<greedy> c(w, greedy{takes});
        c.arrive("abc");
        bool ended = false;
        auto fill = [&](ice::session<greedy>& peer) -> ice::task<> {
            ended = !co_await peer.fill();
        };
        run(w, c, fill);
        BOOST_TEST(ended);
        BOOST_CHECK_THROW(c.peer.next(), std::logic_error);
    }
}

BOOST_AUTO_TEST_SUITE_END()
