// Many callers on one connection: each gets its own reply, whichever caller leaves or connection
// breaks.
#include <ice/detail/pipeline.hpp>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>

#include "asking.hpp"
#include "memory_transport.hpp"
#include "quick.hpp"

namespace {

using namespace std::chrono_literals;

// A pool, and its upstream, which answers as the test says: on connections of the test's own.
struct fixture : asking {
    ice::pool<ice::line>& add(std::size_t depth, std::size_t size = 1, ice::pool_timeouts t = {},
                              unsigned retries = 10) {
        return asking::add(size, t, {.pipeline = depth, .retries = retries});
    }

    // The other end of a connection.
    struct end_of {
        std::unique_ptr<ice::channel> channel;
        std::string received{};
    };
    end_of& accept(bool reads = true) {
        std::unique_ptr<ice::channel> got;
        const auto comes = [&] {
            if (auto one = listening->accept()) got = *std::move(one);
            return got != nullptr;
        };
        BOOST_REQUIRE(sim.run_until(comes, 10s));
        end_of& e = ends.emplace_back(std::move(got));
        if (reads) sim.spawn(receive(e));
        return e;
    }
    static ice::task<> receive(end_of& e) {
        for (;;) {
            const ice::error_code over = co_await e.channel->fill();
            if (over) co_return;
            e.received += e.channel->data();
            e.channel->consume(e.channel->data().size());
        }
    }
    // What has come since the last call.
    std::string arrived(end_of& e) {
        sim.run_for(1ms);
        return std::exchange(e.received, {});
    }
    void send(end_of& e, std::string_view text) {
        e.channel->out() += text;
        e.channel->try_flush();
        sim.run_for(1ms);
    }

    ice::task<> ask_twice(ice::pool<ice::line>& p, std::string& second) {
        auto one = co_await p.request(std::string("one"), 10s);
        auto two = co_await p.request(std::string("two"), 10s);
        second = two ? *std::move(two) : two.error().message();
    }

    std::shared_ptr<ice::transport> host = sim.host("10.0.0.1");
    std::unique_ptr<ice::acceptor> listening = host->listen(far);
    std::list<end_of> ends;
};

ice::error_code error_of(const asking::slot& r) {
    BOOST_REQUIRE_MESSAGE(r.has_value(), "the request has not ended");
    return r->error();
}
std::string text_of(const asking::slot& r) {
    const ice::error_code ec = error_of(r);
    return ec ? ec.message() : **r;
}

// A clock that moves between two readings of one handler: by `jump`, at the reading `jumps_at`.
// Its connections answer each line with itself, when the test says so.
struct jumping_clock final : test::memory_transport {
    struct echoing final : test::memory_channel {
        explicit echoing(jumping_clock& n) : memory_channel(n), net(n) { net.open.push_back(this); }
        ~echoing() override { std::erase(net.open, this); }
        void answer() { arrive(std::exchange(written, {})); }
        jumping_clock& net;
    };

    explicit jumping_clock(asio::io_context& io) : memory_transport(io) {
        dial = [this]() -> std::unique_ptr<ice::channel> {
            return std::make_unique<echoing>(*this);
        };
    }
    ice::time_point now() const override {
        if (++readings == jumps_at) jumped = jump;
        return memory_transport::now() + jumped;
    }

    ice::duration jump = 1h;
    std::uint64_t jumps_at = 0;
    mutable std::uint64_t readings = 0;
    mutable ice::duration jumped{};
    std::vector<echoing*> open;
};

// Two callers at one instant, on a pool of one connection, which may come of age at any reading of
// the clock meanwhile.
struct two_callers {
    two_callers() {
        pool = &srv.add(ice::tcp_client_action{asking::far, asking::name, 1}
                            .timeouts({.request = 3h, .max_lifetime = 1h})
                            .limits({.pipeline = 4}));
        settle();
    }
    ~two_callers() {
        srv.stop();
        settle();
    }
    static ice::task<> ask(ice::pool<ice::line>& p, std::string what, asking::slot& to) {
        auto got = co_await p.request(std::move(what));
        to.emplace(std::move(got));
    }
    void settle() {
        do {
            if (loop.stopped()) loop.restart();
        } while (loop.poll() != 0);
    }
    void ask_both() {
        const auto context = std::make_shared<ice::server_context>(net);
        ice::spawn(context, ask(*pool, "one", first), "test");
        ice::spawn(context, ask(*pool, "two", second), "test");
        settle();
        for (int i = 0; i < 3 && !(first && second); ++i) {
            for (auto* channel : net->open) channel->answer();
            settle();
        }
    }

    asio::io_context loop;
    std::shared_ptr<jumping_clock> net = std::make_shared<jumping_clock>(loop);
    quiet_server srv{net};
    ice::pool<ice::line>* pool;
    asking::slot first, second;
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_connection_may_reach_its_lifetime_at_any_reading_of_the_clock) {
    // The danger: a caller gets a place on a connection, looks for it again, and by then the
    // connection has reached its lifetime and is not found.
    std::uint64_t readings = 0, replaced = 0;
    {
        two_callers calm;
        const std::uint64_t before = calm.net->readings;
        calm.ask_both();
        readings = calm.net->readings - before;
        BOOST_TEST(calm.pool->counters().connects == 1U);
    }
    for (std::uint64_t at = 1; at <= readings; ++at) {
        two_callers t;
        t.net->jumps_at = t.net->readings + at;
        t.ask_both();
        BOOST_TEST_CONTEXT("the reading " << at) {
            BOOST_TEST(text_of(t.first) == "one");
            BOOST_TEST(text_of(t.second) == "two");
        }
        if (t.pool->counters().connects == 2) ++replaced;
    }
    BOOST_TEST(replaced > 0U);
}

BOOST_FIXTURE_TEST_SUITE(pipeline, fixture)

BOOST_AUTO_TEST_CASE(requests_are_sent_at_once_and_replies_assigned_in_order) {
    auto& p = add(8);
    auto& c = accept();
    auto &a = begin("one"), &b = begin("two"), &d = begin("three");
    BOOST_TEST(arrived(c) == "one\r\ntwo\r\nthree\r\n");
    send(c, "1\r\n2\r\n");
    BOOST_TEST(text_of(a) == "1");
    BOOST_TEST(text_of(b) == "2");
    BOOST_TEST(!d.has_value());
    send(c, "3\r\n");
    BOOST_TEST(text_of(d) == "3");
    BOOST_TEST(p.idle() == 1U);
    BOOST_TEST(p.counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(a_cancelled_caller_keeps_its_position) {
    // The danger: the next caller in the pipeline gets its late reply.
    add(8);
    auto& c = accept();
    auto &a = begin("one", 10ms), &b = begin("two");
    sim.run_for(20ms);
    BOOST_TEST(error_of(a) == ice::errc::request_timeout);
    auto& d = begin("three");
    send(c, "1\r\n2\r\n3\r\n");
    BOOST_TEST(text_of(b) == "2");
    BOOST_TEST(text_of(d) == "3");
}

BOOST_AUTO_TEST_CASE(the_depth_bounds_sharing_and_no_waiter_is_overtaken) {
    auto& p = add(2);
    auto& c = accept();
    begin("one"), begin("two"), begin("three"), begin("four");
    BOOST_TEST(arrived(c) == "one\r\ntwo\r\n");
    BOOST_TEST(p.waiting() == 2U);
    send(c, "1\r\n");
    begin("five");
    BOOST_TEST(arrived(c) == "three\r\n");
    send(c, "2\r\n3\r\n");
    BOOST_TEST(arrived(c) == "four\r\nfive\r\n");
}

BOOST_AUTO_TEST_CASE(after_a_waiter_leaves_the_next_one_is_served) {
    add(1 + 1);
    auto& c = accept();
    begin("one"), begin("two"), begin("three", 5ms), begin("four");
    sim.run_for(10ms);
    send(c, "1\r\n");
    BOOST_TEST(arrived(c) == "one\r\ntwo\r\nfour\r\n");
}

BOOST_AUTO_TEST_CASE(a_free_connection_is_used_before_one_is_shared) {
    add(8, 2);
    auto &c = accept(), &d = accept();
    begin("one"), begin("two"), begin("three");
    const std::string both = arrived(c) + arrived(d);
    BOOST_TEST(both.size() == std::string("one\r\ntwo\r\nthree\r\n").size());
    BOOST_TEST((both.starts_with("one\r\nthree") || both.starts_with("two\r\n")));
}

BOOST_AUTO_TEST_CASE(a_broken_connection_tells_which_requests_may_have_been_executed) {
    sim.faults().window = 10;
    add(8, 1, {}, 0);
    auto& c = accept(false);
    auto &sent = begin("0123456789012345"), &unsent = begin("two");
    ice::testing::simulation::reset(*c.channel);
    sim.run_for(1ms);
    BOOST_TEST(error_of(sent));
    BOOST_TEST((error_of(sent) != ice::condition::not_executed));
    BOOST_TEST(error_of(unsent) == ice::errc::not_sent);
    BOOST_TEST((error_of(unsent) == ice::condition::not_executed));
}

BOOST_AUTO_TEST_CASE(requests_behind_one_without_a_reply_get_pipeline_stalled) {
    // The danger: a request that was sent a moment ago fails with "no reply in time".
    add(8);
    accept();
    auto& first = begin("one", 30s);
    sim.run_for(29s);
    auto& second = begin("two", 5s);
    sim.run_for(2s);
    BOOST_TEST(error_of(first) == ice::errc::request_timeout);
    BOOST_TEST(error_of(second) == ice::errc::pipeline_stalled);
}

BOOST_AUTO_TEST_CASE(unsent_requests_are_sent_on_the_next_connection) {
    sim.faults().window = 10;
    auto& p = add(8);
    auto& c = accept(false);
    auto &sent = begin("0123456789012345"), &unsent = begin("two");
    ice::testing::simulation::reset(*c.channel);
    auto& next = accept();
    BOOST_TEST(arrived(next) == "two\r\n");
    send(next, "2\r\n");
    BOOST_TEST(error_of(sent));
    BOOST_TEST(text_of(unsent) == "2");
    BOOST_TEST(p.counters().retries == 1U);
}

BOOST_AUTO_TEST_CASE(a_reply_without_a_request_closes_the_connection) {
    auto& p = add(8);
    auto& c = accept();
    auto& a = begin("one");
    send(c, "1\r\n1\r\n");
    BOOST_TEST(text_of(a) == "1");
    BOOST_TEST(p.counters().discarded == 1U);
}

BOOST_AUTO_TEST_CASE(an_unencodable_message_does_not_affect_others) {
    auto& p = add(8);
    auto& c = accept();
    auto &a = begin("one"), &bad = begin("t\r\nwo"), &b = begin("three");
    BOOST_TEST(error_of(bad) == ice::errc::unencodable);
    send(c, "1\r\n3\r\n");
    BOOST_TEST(text_of(a) == "1");
    BOOST_TEST(text_of(b) == "3");
    BOOST_TEST(error_of(begin("t\r\nwo")) == ice::errc::unencodable);
    BOOST_TEST(p.idle() == 1U);
}

BOOST_AUTO_TEST_CASE(a_message_that_is_too_long_does_not_affect_others) {
    // The danger: the pool takes it for a lost connection, retries it until the budget of retries
    // is spent, and opens the breaker of the upstream.
    auto& p = add(8);
    auto& e = accept();
    auto& before = begin("one");
    for (int i = 0; i < 10; ++i)
        BOOST_TEST(error_of(begin(std::string(9000, 'x'))) == ice::errc::message_too_large);
    auto& after = begin("two");
    BOOST_TEST(arrived(e) == "one\r\ntwo\r\n");
    send(e, "1\r\n2\r\n");
    BOOST_TEST(text_of(before) == "1");
    BOOST_TEST(text_of(after) == "2");
    BOOST_TEST(p.counters().retries == 0u);
}

BOOST_AUTO_TEST_CASE(a_connection_at_its_lifetime_is_replaced_and_gets_no_more_requests) {
    // The danger: under a steady load the connection is never idle, so it never ends, and its load
    // never moves to another address.
    add(8, 1, {.max_lifetime = 1s});
    auto& old = accept();
    auto& first = begin("one");
    sim.run_for(1001ms);
    auto& second = begin("two");
    BOOST_TEST(arrived(old) == "one\r\n");
    send(old, "1\r\n");
    BOOST_TEST(text_of(first) == "1");
    auto& fresh = accept();
    BOOST_TEST(arrived(fresh) == "two\r\n");
    send(fresh, "2\r\n");
    BOOST_TEST(text_of(second) == "2");
}

BOOST_AUTO_TEST_CASE(a_silent_connection_is_closed_after_its_callers_have_left) {
    // Otherwise the pipeline would be full of requests without callers for ever.
    auto& p = add(2, 1, {.request = 1s});
    accept();
    auto &a = begin("one", 10ms), &b = begin("two", 10ms);
    sim.run_for(2s);
    BOOST_TEST(error_of(a) == ice::errc::request_timeout);
    BOOST_TEST(error_of(b) == ice::errc::request_timeout);
    auto& next = accept();
    auto& d = begin("three");
    BOOST_TEST(arrived(next) == "three\r\n");
    send(next, "3\r\n");
    BOOST_TEST(text_of(d) == "3");
    BOOST_TEST(p.counters().discarded == 1U);
}

BOOST_AUTO_TEST_CASE(a_lease_does_not_share_its_connection) {
    auto& p = add(8);
    auto& c = accept();
    begin("one");
    bool leased = false;
    auto borrow = [&]() -> ice::task<> {
        auto taken = co_await p.acquire();
        leased = taken.has_value();
        taken->keep();
        co_await (*taken)->send(std::string_view("mine"));
        const auto got = co_await (*taken)->receive();
        BOOST_TEST(*got == "yours");
    };
    sim.spawn(borrow());
    sim.run_for(101ms);
    auto& b = begin("two");  // does not overtake it: it has waited for 100 ms
    BOOST_TEST(!leased);
    BOOST_TEST(arrived(c) == "one\r\n");
    send(c, "1\r\n");
    BOOST_TEST(arrived(c) == "mine\r\n");
    send(c, "yours\r\n");
    BOOST_TEST(arrived(c) == "two\r\n");
    send(c, "2\r\n");
    BOOST_TEST(text_of(b) == "2");
}

BOOST_AUTO_TEST_CASE(stop_ends_all_requests_of_a_shared_connection) {
    add(2);
    accept();
    auto &a = begin("one"), &b = begin("two"), &d = begin("three");
    srv.stop();
    sim.run_for(1ms);
    for (auto* r : {&a, &b, &d}) BOOST_TEST(error_of(*r) == ice::errc::stopped);
}

// Each of the 2^16 ways in which some of 16 callers leave before the replies come. In debug builds
// every 61st of them.
BOOST_AUTO_TEST_CASE(whichever_of_sixteen_callers_leave_the_others_get_their_replies) {
    constexpr unsigned callers = 16;
    constexpr unsigned step = is_quick ? 61 : 1;
    auto& p = add(callers);
    auto& c = accept();
    std::string expected, answers;
    for (unsigned i = 0; i < callers; ++i) expected += fmt::format("q{}\r\n", i);
    for (unsigned i = 0; i < callers; ++i) answers += fmt::format("a{}\r\n", i);
    unsigned right = 0, left = 0, wrong = 0;
    const auto call = [&](unsigned i) -> ice::task<> {
        const auto got = co_await p.request(fmt::format("q{}", i));
        if (!got) ++left;
        else if (*got == fmt::format("a{}", i)) ++right;
        else ++wrong;
    };
    for (unsigned subset = 0; subset < 1U << callers; subset += step) {
        std::array<asio::cancellation_signal, callers> leave;
        right = left = wrong = 0;
        for (unsigned i = 0; i < callers; ++i)
            asio::co_spawn(srv.executor(), call(i),
                           asio::bind_cancellation_slot(leave[i].slot(), [](auto) {}));
        if (arrived(c) != expected) BOOST_FAIL("subset " << subset << " does not arrive whole");
        for (unsigned i = 0; i < callers; ++i) {
            if ((subset >> i & 1U) != 0) leave[i].emit(asio::cancellation_type::terminal);
        }
        send(c, answers);
        const auto leavers = static_cast<unsigned>(std::popcount(subset));
        if (wrong != 0 || right != callers - leavers || p.idle() != 1)
            BOOST_FAIL("subset " << subset << ": " << right << " right, " << wrong << " wrong");
    }
    BOOST_TEST(p.counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(a_caller_that_asks_again_does_not_get_the_rest_of_what_nobody_asked_for) {
    auto& p = add(8);
    auto& c = accept();
    std::string second;
    sim.spawn(ask_twice(p, second));
    BOOST_TEST(arrived(c) == "one\r\n");
    send(c, "1\r\nEX");
    send(c, "TRA\r\n");
    BOOST_TEST(second != "EXTRA");
    BOOST_TEST(p.counters().discarded == 1u);
    sim.run_for(20s);
}

BOOST_AUTO_TEST_CASE(a_caller_that_asks_again_does_not_get_what_the_kernel_still_has) {
    auto& p = add(8);
    auto& c = accept();
    std::string second;
    sim.spawn(ask_twice(p, second));
    BOOST_TEST(arrived(c) == "one\r\n");
    send(c, std::string(510, 'x') + "\r\nEXTRA\r\n");  // the first read takes 512 bytes
    BOOST_TEST(second != "EXTRA");
    BOOST_TEST(p.counters().stale == 1u);
    sim.run_for(20s);
}

BOOST_AUTO_TEST_CASE(a_packet_that_throws_wakes_the_next_caller) {
    struct throwing : ice::line {
        ice::error_code packet(std::string_view text, std::string& out) {
            if (text == "boom") throw std::runtime_error("boom");
            return ice::line::packet(text, out);
        }
    };
    constexpr ice::pool_name<throwing> other{"other"};
    auto& p = srv.add(ice::tcp_client_action{far, other, 1}.limits({.pipeline = 2}));
    auto& c = accept();
    const auto ask = [&](std::string what) -> ice::task<> {
        try {
            auto reply = co_await p.request(what, 10s);
        } catch (const std::runtime_error&) {}
    };
    for (const char* what : {"one", "two", "boom", "four"}) {
        sim.spawn(ask(what));
        sim.run_for(1us);
    }
    BOOST_TEST(arrived(c) == "one\r\ntwo\r\n");
    send(c, "1\r\n");
    BOOST_TEST(arrived(c) == "four\r\n");
    sim.run_for(20s);
}

BOOST_AUTO_TEST_CASE(a_caller_cancelled_before_it_learns_that_its_request_was_not_sent_is_counted) {
    sim.faults().window = 10;
    auto& p = add(8);
    accept(false);
    begin(p, "0123456789012345");  // fills the window
    asio::cancellation_signal stop;
    std::optional<ice::error_code> got;
    const auto asks = [&]() -> ice::task<> {
        auto reply = co_await p.request(std::string("two"), 10s);
        got = reply.error();
    };
    asio::co_spawn(srv.executor(), asks(),
                   asio::bind_cancellation_slot(stop.slot(), [](const std::exception_ptr& e) {
                       BOOST_TEST((e == nullptr));
                   }));
    sim.run_for(1ms);
    srv.stop();
    stop.emit(asio::cancellation_type::terminal);
    sim.run_for(1ms);
    BOOST_TEST((got == asio::error::operation_aborted));
    const ice::pool_counters& n = p.counters();
    BOOST_TEST(n.requests == n.replies + n.timeouts + n.refused + n.failures);
}

BOOST_AUTO_TEST_SUITE_END()
