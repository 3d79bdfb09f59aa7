// session_base: its batches and limits, at the limit, one below and one above it.
#include <ice/detail/session_base.hpp>

#include "conversation.hpp"

using namespace test;

namespace {

// Of the fewest bytes: 128 of them are one read of a connection at rest.
std::string lines(std::size_t n) {
    std::string all;
    for (std::size_t i = 0; i < n; ++i) all += "\r\n";
    return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(session_bounds)

// -- turns

// More writes than batches would be useless system calls; with fewer, the peer would wait.
BOOST_AUTO_TEST_CASE(a_batch_is_sixty_four_messages_and_one_write) {
    for (const unsigned messages : {1u, 63u, 64u, 65u, 128u, 129u, 192u}) {
        memory_world w;
        conversation<ice::line> c(w);
        c.serve(ice::echo{});
        c.arrive(lines(messages));
        BOOST_TEST(c.heard() == lines(messages));
        BOOST_TEST(c.wire.reads == 1u);
        BOOST_TEST(c.wire.writes == (messages + 63) / 64);
        BOOST_TEST(c.settings.messages == messages);
    }
}

// Otherwise a peer that sends without a pause would be the only one that is served.
BOOST_AUTO_TEST_CASE(after_a_batch_other_sessions_are_served) {
    memory_world w;
    std::string order;
    conversation<ice::line> busy(w);
    conversation<ice::line> other(w);
    busy.serve([&](std::string_view) { order += 'b'; });
    other.serve([&](std::string_view) { order += 'o'; });
    busy.wire.arrive(lines(200));
    other.wire.arrive(lines(1));
    w.settle();
    BOOST_TEST(order.size() == 201u);
    BOOST_TEST(order.find('o') == 64u);
}

// The session must obey the value that is set.
BOOST_AUTO_TEST_CASE(the_size_of_a_batch_can_be_set) {
    memory_world w;
    ice::limits l;
    l.batch = 3;
    conversation<ice::line> c(w, ice::line{}, l);
    c.serve(ice::echo{});
    c.arrive(lines(10));
    BOOST_TEST(c.heard() == lines(10));
    BOOST_TEST(c.wire.writes == 4u);
}

// 1,280 bytes of requests for a large value must not make the server hold 64 copies of it.
BOOST_AUTO_TEST_CASE(a_batch_ends_with_the_answer_that_reaches_batch_bytes) {
    constexpr std::size_t limit = 1000;
    for (const std::size_t size : {limit / 2 - 3, limit / 2 - 2, limit - 2, limit, 5 * limit}) {
        memory_world w;
        ice::limits l;
        l.batch_bytes = limit;
        conversation<ice::line> c(w, ice::line("\r\n", 10 * limit), l);
        c.wire.stalled = true;
        unsigned answered = 0;
        c.serve([&](std::string_view) {
            ++answered;
            return std::string(size, 'x');
        });
        c.arrive(lines(20));
        const std::size_t packed = size + 2, expected = (limit + packed - 1) / packed;
        BOOST_TEST(answered == expected);
        BOOST_TEST(c.wire.unsent() == expected * packed);
        c.wire.resume();
        w.settle();
        BOOST_TEST(answered == 20u);
        BOOST_TEST(c.heard().size() == 20 * packed);
    }
}

// The same where the logic is a coroutine.
BOOST_AUTO_TEST_CASE(a_batch_of_coroutines_ends_at_batch_bytes) {
    memory_world w;
    ice::limits l;
    l.batch_bytes = 1000;
    conversation<ice::line> c(w, ice::line{}, l);
    c.wire.stalled = true;
    std::size_t answered = 0;
    c.serve([&answered](std::string_view) -> ice::task<std::string> {
        ++answered;
        co_return std::string(1000, 'x');
    });
    c.arrive(lines(5));
    BOOST_TEST(answered == 1u);
    c.wire.resume();
    w.settle();
    BOOST_TEST(answered == 5u);
}

// Messages left over from a batch must not be lost, nor wait for more bytes.
BOOST_AUTO_TEST_CASE(a_batch_that_ends_with_the_input_waits_for_more) {
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(ice::echo{});
    c.arrive(lines(64));
    c.arrive(lines(64));
    BOOST_TEST(c.heard() == lines(128));
    BOOST_TEST(c.wire.writes == 2u);
    BOOST_TEST(c.wire.fills == 3u);
}

// -- limits::message

// An unfinished message of exactly the limit must be accepted.
BOOST_AUTO_TEST_CASE(an_unfinished_message_may_be_as_large_as_the_limit_and_not_larger) {
    constexpr std::size_t limit = 1000;
    for (const std::size_t size : {limit - 1, limit, limit + 1}) {
        memory_world w;
        ice::limits l;
        l.message = limit;
        conversation<ice::line> c(w, ice::line("\r\n", 1'000'000), l);
        c.serve(ice::echo{});
        c.arrive(std::string(size, 'x'));
        BOOST_TEST(c.ended.has_value() == (size > limit));
        if (c.ended) BOOST_TEST(*c.ended == ice::errc::message_too_large);
        if (c.ended) continue;
        c.arrive("\r\n");
        BOOST_TEST(c.heard() == std::string(size, 'x') + "\r\n");
    }
}

// Messages before it must not count towards the size of a message.
BOOST_AUTO_TEST_CASE(the_message_limit_counts_only_the_bytes_of_that_message) {
    memory_world w;
    ice::limits l;
    l.message = 100;
    conversation<ice::line> c(w, ice::line{}, l);
    c.serve(ice::echo{});
    for (int i = 0; i < 20; ++i) c.arrive(lines(40) + std::string(100, 'x') + "\r\n");
    BOOST_TEST(!c.ended.has_value());
    BOOST_TEST(c.settings.messages == 20u * 41);
}

// Whole messages before it must get their answers.
BOOST_AUTO_TEST_CASE(messages_before_one_that_is_too_large_are_answered) {
    memory_world w;
    ice::limits l;
    l.message = 100;
    conversation<ice::line> c(w, ice::line{}, l);
    c.serve(ice::echo{});
    c.arrive("a\r\nb\r\n" + std::string(101, 'x'));
    BOOST_TEST(c.heard() == "a\r\nb\r\n");
    BOOST_TEST_REQUIRE(c.ended.has_value());
    BOOST_TEST(*c.ended == ice::errc::message_too_large);
}

// -- limits::inbox

// A peer that sends faster than it is answered must not fill the memory.
BOOST_AUTO_TEST_CASE(no_more_is_read_than_the_inbox_holds) {
    constexpr std::size_t limit = 4096;
    memory_world w;
    ice::limits l;
    l.inbox = limit;
    conversation<ice::raw> c(w, ice::raw{}, l);
    std::size_t largest = 0, all = 0;
    c.serve([&](std::string_view bytes) {
        largest = std::max(largest, bytes.size());
        all += bytes.size();
    });
    c.arrive(std::string(1'000'000, 'x'));
    BOOST_TEST(all == 1'000'000u);
    BOOST_TEST(largest == limit);
    BOOST_TEST(c.wire.capacity() <= 2 * limit);
}

// An inbox may be smaller than the first read of a connection.
BOOST_AUTO_TEST_CASE(an_inbox_of_a_few_bytes_is_a_bound_too) {
    memory_world w;
    ice::limits l;
    l.inbox = 10;
    conversation<ice::raw> c(w, ice::raw{}, l);
    std::size_t largest = 0;
    c.serve([&](std::string_view bytes) { largest = std::max(largest, bytes.size()); });
    c.arrive(std::string(1000, 'x'));
    BOOST_TEST(largest == 10u);
}

// A session reads nothing while its logic waits: this back-pressure bounds the memory.
BOOST_AUTO_TEST_CASE(nothing_is_read_while_a_logic_waits) {
    memory_world w;
    ice::event go(w.net->executor());
    conversation<ice::line> c(w);
    c.serve([&](std::string_view line) -> ice::task<ice::borrowed<std::string_view>> {
        co_await go.wait();
        co_return line;
    });
    c.arrive("a\r\n");
    for (int i = 0; i < 100; ++i) c.arrive("b\r\n");
    BOOST_TEST(c.wire.reads == 1u);
    go.set();
    w.settle();
    BOOST_TEST(c.heard().size() == 101u * 3);
}

BOOST_AUTO_TEST_SUITE_END()
