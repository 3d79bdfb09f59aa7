// channel: the parts that all channels share: the size of reads, and deadlines. In virtual time.
#include <ice/channel.hpp>

#include "conversation.hpp"

using namespace test;

namespace {

constexpr std::size_t first = 512;

// One channel, and a coroutine that reads from it whatever comes and consumes it.
struct reader {
    memory_world w;
    memory_channel wire{*w.net};
    std::vector<std::size_t> reads;
    std::size_t kept = 0;  // bytes that are left unconsumed
    std::optional<ice::error_code> ended;

    reader() { w.spawn(read_all(*this)); }
    ~reader() {
        wire.cancel(ice::errc::stopped);
        w.settle();
    }

    void arrive(std::size_t n) {
        wire.arrive(std::string(n, 'x'));
        w.settle();
    }
    void deadline(ice::duration span, ice::errc why) {
        const auto now = w.net->now();
        wire.deadline(now + span, why);
    }

    static ice::task<> read_all(reader& r) {
        for (;;) {
            const ice::error_code ec = co_await r.wire.fill();
            if (ec) {
                r.ended = ec;
                co_return;
            }
            const std::size_t n = r.wire.data().size();
            r.reads.push_back(n);
            r.wire.consume(n - std::min(n, r.kept));
        }
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(channel)

// -- buffers

// 10,000 idle connections with large buffers are a gigabyte.
BOOST_AUTO_TEST_CASE(a_connection_of_short_messages_keeps_a_small_buffer) {
    reader r;
    for (int i = 0; i < 100; ++i) r.arrive(100);
    BOOST_TEST(r.reads.size() == 100u);
    BOOST_TEST(r.wire.capacity() == first);
}

// Reads of 512 bytes cost many system calls for a fast peer.
BOOST_AUTO_TEST_CASE(reads_grow_while_they_are_full) {
    reader r;
    r.arrive(1'000'000);
    BOOST_TEST_REQUIRE(r.reads.size() > 8u);
    for (std::size_t i = 0; i < 7; ++i) BOOST_TEST(r.reads[i] == first << i);
    BOOST_TEST(*std::max_element(r.reads.begin(), r.reads.end()) == 64 * 1024u);
    BOOST_TEST(r.wire.capacity() <= 128 * 1024u);
}

// A read that is not full shows that no more bytes had arrived.
BOOST_AUTO_TEST_CASE(a_read_that_is_not_full_makes_the_next_no_larger) {
    reader r;
    for (int i = 0; i < 100; ++i) r.arrive(first - 1);
    BOOST_TEST(r.wire.capacity() == first);
}

// The limit of the listener counts more than speed.
BOOST_AUTO_TEST_CASE(reads_grow_no_further_than_the_inbox) {
    for (const std::size_t inbox : {1u, 100u, 512u, 513u, 5000u}) {
        reader r;
        r.arrive(1);
        r.wire.read_at_most(inbox);
        r.arrive(100'000);
        BOOST_TEST(*std::max_element(r.reads.begin() + 1, r.reads.end()) <=
                   std::max<std::size_t>(inbox, first));
        BOOST_TEST(r.reads.back() <= inbox);
    }
}

// -- deadlines

// If the replaced deadline fired, a healthy connection would be lost.
BOOST_AUTO_TEST_CASE(a_deadline_replaces_the_one_before) {
    for (const auto later : {20s, 5s}) {
        reader r;
        r.deadline(10s, ice::errc::idle_timeout);
        r.deadline(later, ice::errc::message_timeout);
        r.w.advance(later - 1ms);
        BOOST_TEST(!r.ended.has_value());
        r.w.advance(1ms);
        BOOST_TEST_REQUIRE(r.ended.has_value());
        BOOST_TEST(*r.ended == ice::errc::message_timeout);
    }
}

// `never` must be later than anything.
BOOST_AUTO_TEST_CASE(a_deadline_of_never_does_not_fire) {
    reader r;
    r.deadline(10s, ice::errc::idle_timeout);
    r.wire.deadline(ice::never, ice::errc{});
    r.w.advance(24h * 365);
    BOOST_TEST(!r.ended.has_value());
}

// A burst of many answers must not count as one that takes too long.
BOOST_AUTO_TEST_CASE(a_deadline_between_messages_restarts_after_each_message) {
    reader r;
    r.wire.deadline_between_messages(r.w.net->now(), 10s, ice::errc::logic_timeout);
    for (int i = 0; i < 10; ++i) {
        r.w.advance(9s);
        r.arrive(1);
    }
    BOOST_TEST(!r.ended.has_value());
    for (int i = 0; i < 20; ++i) r.w.advance(1s);  // twice the span, at most
    BOOST_TEST_REQUIRE(r.ended.has_value());
    BOOST_TEST(*r.ended == ice::errc::logic_timeout);
}

// Without a message it is a deadline like any other, to the millisecond.
BOOST_AUTO_TEST_CASE(a_deadline_between_messages_fires_if_nothing_was_consumed) {
    reader r;
    r.wire.deadline_between_messages(r.w.net->now(), 10s, ice::errc::logic_timeout);
    r.w.advance(10s - 1ms);
    BOOST_TEST(!r.ended.has_value());
    r.w.advance(1ms);
    BOOST_TEST(r.ended.has_value());
}

// A plain deadline that follows must not restart.
BOOST_AUTO_TEST_CASE(a_plain_deadline_replaces_one_between_messages) {
    reader r;
    r.wire.deadline_between_messages(r.w.net->now(), 10s, ice::errc::logic_timeout);
    r.deadline(10s, ice::errc::idle_timeout);
    r.w.advance(9s);
    r.arrive(1);
    r.w.advance(1s);
    BOOST_TEST_REQUIRE(r.ended.has_value());
    BOOST_TEST(*r.ended == ice::errc::idle_timeout);
}

// -- flushing and ending

// A push to a thousand connections must not write within the call, nor twice.
BOOST_AUTO_TEST_CASE(flush_soon_writes_once_after_the_running_handler) {
    reader r;
    r.wire.out() += "a";
    r.wire.flush_soon();
    r.wire.out() += "b";
    r.wire.flush_soon();
    BOOST_TEST(r.wire.writes == 0u);
    r.w.settle();
    BOOST_TEST(r.wire.written == "ab");
    BOOST_TEST(r.wire.writes == 1u);
    r.wire.out() += "c";
    r.wire.flush_soon();
    r.w.settle();
    BOOST_TEST(r.wire.written == "abc");
}

// A destroyed channel must not be flushed: its memory may be in use again.
BOOST_AUTO_TEST_CASE(a_destroyed_channel_is_not_flushed) {
    memory_world w;
    auto first = std::make_unique<memory_channel>(*w.net);
    memory_channel second(*w.net);
    for (memory_channel* c : {first.get(), &second}) {
        c->out() += "x";
        c->flush_soon();
    }
    first.reset();
    w.settle();
    BOOST_TEST(second.written == "x");
}

// Later errors follow from the first one.
BOOST_AUTO_TEST_CASE(the_first_cause_of_a_cancellation_counts) {
    reader r;
    r.wire.cancel(ice::errc::idle_timeout);
    r.wire.cancel(ice::errc::stopped);
    r.w.settle();
    BOOST_TEST(r.wire.cancelled() == ice::errc::idle_timeout);
    BOOST_TEST_REQUIRE(r.ended.has_value());
    BOOST_TEST(*r.ended == ice::errc::idle_timeout);
}

// -- sending

namespace {

// It does not say that it has stalled, as try_flush() asks of it.
struct silent_stall final : memory_channel {
    using memory_channel::memory_channel;
    bool try_flush() override { return false; }
};

}  // namespace

BOOST_AUTO_TEST_CASE(flush_waits_on_a_channel_that_never_calls_begin_stall) {
    memory_world w;
    silent_stall wire(*w.net);
    std::optional<ice::error_code> ended;
    const auto flushes = [&]() -> ice::task<> {
        const ice::error_code ec = co_await wire.flush(1s, ice::never, ice::errc::stopped);
        ended = ec;
    };
    w.spawn(flushes());
    w.settle();
    BOOST_TEST(!ended.has_value());
    wire.cancel(ice::errc::stopped);
    w.settle();
    BOOST_TEST_REQUIRE(ended.has_value());
    BOOST_TEST(*ended == ice::errc::stopped);
}

BOOST_AUTO_TEST_SUITE_END()
