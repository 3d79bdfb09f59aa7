// serve: the loop of a session, with every read and write counted.
#include <ice/detail/serve.hpp>

#include "conversation.hpp"

using namespace test;

namespace {

ice::task<ice::borrowed<std::string_view>> same_later(std::string_view line) { co_return line; }

// Waits 10 ms for a line that begins with an s.
struct sometimes_slow {
    memory_transport& net;
    ice::task<std::string> operator()(std::string_view line) {
        if (line.starts_with('s')) co_await net.sleep(10ms);
        co_return std::string(line);
    }
};

// Answers a line with two if it begins with a 2; says what it sends instead.
template <class P>
struct two_lines {
    std::string operator()(std::string_view line) {
        return std::string(line) + (line.starts_with('2') ? "\r\n" : "") + "!";
    }
    std::string unencodable(ice::error_code why, ice::session<P>& peer) {
        if (worse) return "\r\n";
        return fmt::format("{}: {}", peer.uid(), why.message());
    }
    bool worse = false;
};
template <class P>
struct two_lines_later : two_lines<P> {
    ice::task<std::optional<std::string>> operator()(std::string_view line) {
        co_return two_lines<P>::operator()(line);
    }
};

// What a peer of protocol P hears of an answer that cannot be packed, in the midst of a burst.
template <class P, class L>
void check_unencodable(L logic) {
    const std::string none = "#1: the protocol cannot express this message\r\n";
    memory_world w;
    conversation<P> c(w);
    c.serve(logic);
    c.arrive("a\r\n2\r\nb\r\n2\r\n");
    BOOST_TEST(c.heard() == "a!\r\n" + none + "b!\r\n" + none);
    BOOST_TEST(!c.ended);
    BOOST_TEST(c.settings.unencodable == 2u);
    BOOST_TEST((c.peer.push(std::string("\r\n")) == ice::errc::unencodable), "as before");
    BOOST_TEST(c.settings.unencodable == 2u, "answers only");

    conversation<P> worse(w);
    logic.worse = true;
    worse.serve(logic);
    worse.arrive("a\r\n2\r\nb\r\n");
    BOOST_TEST(worse.heard() == "a!\r\n");
    BOOST_TEST_REQUIRE(worse.ended.has_value());
    BOOST_TEST(*worse.ended == ice::errc::unencodable);
}

// A message is one digit; anything else is an error.
struct digits {
    ice::parsed<char> parse(std::string_view input) {
        if (input.empty()) return ice::need_more;
        if (input[0] < '0' || input[0] > '9') return ice::errc::bad_message;
        return {input[0], 1};
    }
    void packet(char c, std::string& out) { out.push_back(c); }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(serve)

// A write per answer is a system call and a packet per answer.
BOOST_AUTO_TEST_CASE(a_burst_is_one_read_and_one_write) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    c.arrive("a\r\nb\r\nc\r\n");
    BOOST_TEST(c.heard() == "a\r\nb\r\nc\r\n");
    BOOST_TEST(c.wire.reads == 1u);
    BOOST_TEST(c.wire.writes == 1u);
}

// A coroutine that does not wait must not cost a write of its own.
BOOST_AUTO_TEST_CASE(a_burst_of_a_coroutine_that_does_not_wait_is_one_write) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(same_later);
    c.arrive("a\r\nb\r\nc\r\n");
    BOOST_TEST(c.heard() == "a\r\nb\r\nc\r\n");
    BOOST_TEST(c.wire.writes == 1u);
}

// The peer would take an answer that overtakes another for that other one.
BOOST_AUTO_TEST_CASE(answers_keep_the_order_of_their_messages) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(sometimes_slow{*w.net});
    c.arrive("f1\r\ns2\r\nf3\r\ns4\r\nf5\r\n");
    for (int i = 0; i < 3; ++i) w.advance(10ms);
    BOOST_TEST(c.heard() == "f1\r\ns2\r\nf3\r\ns4\r\nf5\r\n");
}

// Answers that are ready must not wait for an upstream that a later message needs.
BOOST_AUTO_TEST_CASE(answers_are_sent_while_a_later_logic_waits) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(sometimes_slow{*w.net});
    c.arrive("f1\r\nf2\r\ns3\r\nf4\r\n");
    BOOST_TEST(c.heard() == "f1\r\nf2\r\n");
    BOOST_TEST(c.wire.writes == 1u);
    w.advance(10ms);
    BOOST_TEST(c.heard() == "s3\r\nf4\r\n");
    BOOST_TEST(c.wire.writes == 2u);
}

// A logic that ran twice at once for one connection would mix up its answers.
BOOST_AUTO_TEST_CASE(a_message_waits_for_the_answer_before_it) {
    memory_world w;
    conversation<ice::line> c(w);
    int running = 0, most = 0;
    c.serve([&](std::string_view) -> ice::task<> {
        most = std::max(most, ++running);
        co_await w.net->sleep(1ms);
        --running;
    });
    c.arrive("a\r\nb\r\n");
    c.arrive("c\r\n");
    for (int i = 0; i < 3; ++i) w.advance(1ms);
    BOOST_TEST(most == 1);
    BOOST_TEST(c.settings.messages == 3u);
}

// A peer that half-closes after its last request still expects the answers.
BOOST_AUTO_TEST_CASE(messages_before_the_end_of_the_stream_are_answered) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(sometimes_slow{*w.net});
    c.wire.arrive("f1\r\ns2\r\nf3\r\n");
    c.wire.arrive_end();
    w.settle();
    BOOST_TEST(!c.ended.has_value());
    w.advance(10ms);
    BOOST_TEST(c.heard() == "f1\r\ns2\r\nf3\r\n");
    BOOST_TEST_REQUIRE(c.ended.has_value());
    BOOST_TEST(*c.ended == ice::errc::closed);
}

// Half a message at the end of the stream must not hold back the answers before it.
BOOST_AUTO_TEST_CASE(a_truncated_message_ends_the_session_after_the_answers) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    c.wire.arrive("a\r\nb");
    c.wire.arrive_end();
    w.settle();
    BOOST_TEST(c.heard() == "a\r\n");
    BOOST_TEST_REQUIRE(c.ended.has_value());
    BOOST_TEST(*c.ended == ice::errc::truncated);
}

// The messages before the malformed one were valid.
BOOST_AUTO_TEST_CASE(a_malformed_message_ends_the_session_after_the_answers) {
    memory_world w;
    conversation<digits> c(w);
    c.serve(ice::echo{});
    c.arrive("12x34");
    BOOST_TEST(c.heard() == "12");
    BOOST_TEST_REQUIRE(c.ended.has_value());
    BOOST_TEST(*c.ended == ice::errc::bad_message);
    BOOST_TEST(c.wire.writes == 1u);
}

// With one answer missing, the peer would take each that follows for the answer before it.
BOOST_AUTO_TEST_CASE(after_an_unencodable_answer_no_message_is_answered) {
    for (const bool waits : {false, true}) {
        memory_world w;
        conversation<ice::line> c(w);
        int called = 0;
        const auto two_lines = [&](std::string_view line) {
            ++called;
            return line == "b" ? "two\r\nlines" : std::string(line);
        };
        auto later = [&](std::string_view line) -> ice::task<std::string> {
            co_return two_lines(line);
        };
        if (waits) c.serve(later);
        else c.serve(two_lines);
        c.arrive("a\r\nb\r\nc\r\n");
        BOOST_TEST(c.heard() == "a\r\n");
        BOOST_TEST(called == 2);
        BOOST_TEST_REQUIRE(c.ended.has_value());
        BOOST_TEST(*c.ended == ice::errc::unencodable);
    }
}

// The peer would wait in vain, or lose its connection without a word.
BOOST_AUTO_TEST_CASE(unencodable_gives_the_message_in_place_of_an_unencodable_answer) {
    check_unencodable<ice::line>(two_lines<ice::line>());
    check_unencodable<ice::line>(two_lines_later<ice::line>());
    check_unencodable<ice::telnet>(two_lines<ice::telnet>());
    check_unencodable<ice::telnet>(two_lines_later<ice::telnet>());
}

// After close() the logic gets no further message.
BOOST_AUTO_TEST_CASE(after_close_no_message_is_dispatched) {
    memory_world w;
    conversation<ice::line> c(w);
    std::string seen;
    c.serve([&](std::string_view line, ice::session<ice::line>& peer) {
        seen += line;
        if (line == "q") peer.close();
        return line;
    });
    c.arrive("a\r\nq\r\nb\r\n");
    c.arrive("c\r\n");
    BOOST_TEST(seen == "aq");
    BOOST_TEST(c.heard() == "a\r\nq\r\n");
    BOOST_TEST_REQUIRE(c.ended.has_value());
    BOOST_TEST(*c.ended == ice::errc::stopped);
}

// A peer that does not read must not be read from: its requests would only pile up.
BOOST_AUTO_TEST_CASE(nothing_is_read_while_an_answer_cannot_be_sent) {
    memory_world w;
    conversation<ice::line> c(w);
    c.wire.stalled = true;
    c.serve(ice::echo{});
    c.arrive("a\r\n");
    for (int i = 0; i < 100; ++i) c.arrive("b\r\n");
    BOOST_TEST(c.wire.reads == 1u);
    c.wire.resume();
    w.settle();
    BOOST_TEST(c.heard().size() == 101u * 3);
    BOOST_TEST(c.wire.writes <= 3u);
}

// An empty write is a system call for nothing.
BOOST_AUTO_TEST_CASE(a_logic_without_an_answer_writes_nothing) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(
        [](std::string_view) -> ice::task<std::optional<std::string>> { co_return std::nullopt; });
    c.arrive("a\r\nb\r\n");
    BOOST_TEST(c.settings.messages == 2u);
    BOOST_TEST(c.wire.writes == 0u);
}

// The listener decides what an exception means: serve() must neither catch it nor continue.
BOOST_AUTO_TEST_CASE(an_exception_of_the_logic_leaves_serve) {
    memory_world w;
    conversation<ice::line> c(w);
    int called = 0;
    c.serve([&](std::string_view line) -> std::string {
        ++called;
        if (line == "b") throw std::runtime_error("not b");
        return std::string(line);
    });
    c.arrive("a\r\nb\r\nc\r\n");
    BOOST_TEST(called == 2);
    BOOST_TEST(!c.ended.has_value());
    BOOST_TEST_REQUIRE(w.log.size() == 1u);
    BOOST_TEST(w.log[0].find("not b") != std::string::npos);
}

BOOST_AUTO_TEST_SUITE_END()
