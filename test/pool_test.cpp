// A pool with upstreams that misbehave as the test says, in virtual time. Most important: a reply
// reaches only the caller that sent its request. pool_over_tcp_test.cpp has what needs the kernel.
#include <fmt/format.h>

#include <algorithm>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/pool.hpp>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

// The other end of a connection: what it got so far, and how the connection ended.
class peer {
public:
    peer(ice::testing::simulation& sim, std::unique_ptr<ice::channel> bytes)
        : sim_(sim), bytes_(std::move(bytes)) {
        sim_.spawn(read(*this));
        sim_.run_for(0s);
    }

    // Returns when the pool has the bytes, as with a kernel on loopback.
    void send(std::string_view bytes) {
        bytes_->out() += bytes;
        BOOST_TEST(bytes_->try_flush());
        sim_.run_for(1ms);
    }
    // Returns when the pool has the end of the stream.
    void close() {
        bytes_->cancel(ice::errc::stopped);
        sim_.run_for(0s);  // read() ends
        bytes_.reset();
        sim_.run_for(1ms);
    }

    std::string read_line() {  // waits for CR LF and takes all up to it, without it
        sim_.run_until([&] { return over || got.find("\r\n") != got.npos; }, 10s);
        const std::size_t at = got.find("\r\n");
        BOOST_TEST_REQUIRE(at != got.npos);
        std::string taken = got.substr(0, at);
        got.erase(0, at + 2);
        return taken;
    }
    std::string read_to_end() {  // waits for the end and takes all
        BOOST_TEST_REQUIRE(sim_.run_until([&] { return over.has_value(); }, 10s));
        return std::exchange(got, "");
    }
    bool ended() const { return over == ice::errc::closed; }

    std::string got;
    std::optional<ice::error_code> over;

private:
    static ice::task<> read(peer& me) {
        ice::channel& c = *me.bytes_;
        for (;;) {
            const ice::io_status ended = co_await c.fill();
            if (ended) {
                me.over = ended;
                co_return;
            }
            me.got += c.data();
            c.consume(c.data().size());
        }
    }

    ice::testing::simulation& sim_;
    std::unique_ptr<ice::channel> bytes_;
};

// An upstream that does nothing by itself: the test accepts, reads and answers.
class upstream {
public:
    explicit upstream(ice::testing::simulation& sim) : sim_(sim) { open(); }

    void open() { acceptor_ = sim_.host(asking::far.host())->listen(asking::far); }
    void close() { acceptor_->cancel(); }

    // The next connection.
    peer& accept() {
        BOOST_TEST_REQUIRE(sim_.run_until([&] { return has_connection(); }, 10s));
        return peers.back();
    }
    // Whether one has come that is not accepted yet.
    bool has_connection() {
        auto bytes = acceptor_->accept();
        if (bytes) peers.emplace_back(sim_, *std::move(bytes));
        return bytes.has_value();
    }

    std::list<peer> peers;

private:
    ice::testing::simulation& sim_;
    std::unique_ptr<ice::acceptor> acceptor_;
};

// The upstream is one that the test moves.
struct fixture : asking {
    fixture() {
        srv.log().to([this](ice::log_level, std::string_view line) { log.emplace_back(line); });
    }

    // A request that is in flight; its reply stands in the returned slot.
    slot& ask(std::string text, ice::duration timeout = 5s) {
        slot& made = begin(std::move(text), timeout);
        sim.run_for(1ms);
        return made;
    }
    const ice::pool_result<std::string>& wait(slot& s) {
        until([&] { return s.has_value(); }, "a reply");
        return *s;
    }
    // Runs until `done()`. A test that waits for ten virtual seconds has failed.
    template <class Condition>
    void until(Condition done, const char* what = "something") {
        if (sim.run_until(done, 10s)) return;
        for (const auto& line : log) BOOST_TEST_MESSAGE(line);
        BOOST_FAIL("waited in vain for " << what);
    }
    // The end of the stream arrives before the pool learns that it has connected.
    void close_next_at_once() {
        peer& next = up.accept();
        const auto usual = std::exchange(sim.faults(), {.latency = 0s, .jitter = 0s});
        next.close();
        sim.faults() = usual;
    }
    bool logged(std::string_view text) const {
        return std::any_of(log.begin(), log.end(),
                           [&](const auto& line) { return line.find(text) != line.npos; });
    }

    upstream up{sim};
    std::vector<std::string> log;
};

bool not_executed(const ice::pool_result<std::string>& r) {
    return r.error() == ice::condition::not_executed;
}

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pool, fixture)

BOOST_AUTO_TEST_CASE(a_request_gets_its_reply_and_the_connection_is_used_again) {
    auto& p = add(1);
    auto& conn = up.accept();
    for (int i = 0; i < 3; ++i) {
        auto& r = ask(fmt::format("q{}", i));
        BOOST_TEST(conn.read_line() == fmt::format("q{}", i));
        conn.send(fmt::format("a{}\r\n", i));
        BOOST_TEST(*wait(r) == fmt::format("a{}", i));
    }
    BOOST_TEST(!up.has_connection());
    BOOST_TEST(p.counters().returned == 3U);
    BOOST_TEST(p.idle() == 1U);
    BOOST_TEST(p.busy() == 0U);
}

BOOST_AUTO_TEST_CASE(a_pool_connects_before_the_first_request) {
    // Otherwise the first requests would wait for a connect.
    auto& p = add(3);
    until([&] { return p.idle() == 3; }, "three connections");
    BOOST_TEST(p.counters().connects == 3U);
}

BOOST_AUTO_TEST_CASE(a_late_reply_is_lost_with_its_connection) {
    // The danger: after a timeout the connection returns to the pool, and the next caller gets the
    // late reply.
    auto& p = add(1);
    auto& first = up.accept();
    auto& r = ask("one", 30ms);
    BOOST_TEST(first.read_line() == "one");
    BOOST_TEST(wait(r).error() == ice::errc::request_timeout);
    BOOST_TEST(!not_executed(*r));
    BOOST_TEST(p.counters().timeouts == 1U);
    auto& next = ask("two");
    auto& second = up.accept();
    first.send("reply to one\r\n");
    BOOST_TEST(second.read_line() == "two");
    second.send("reply to two\r\n");
    BOOST_TEST(*wait(next) == "reply to two");
}

BOOST_AUTO_TEST_CASE(a_second_reply_in_the_same_bytes_closes_the_connection) {
    auto& p = add(1);
    auto& first = up.accept();
    auto& r = ask("one");
    first.read_line();
    first.send("right\r\nstale\r\n");
    BOOST_TEST(*wait(r) == "right");
    BOOST_TEST(p.counters().discarded == 1U);
    auto& next = ask("two");
    auto& second = up.accept();
    second.read_line();
    second.send("fresh\r\n");
    BOOST_TEST(*wait(next) == "fresh");
}

BOOST_AUTO_TEST_CASE(bytes_that_arrive_while_idle_close_the_connection_before_the_next_request) {
    // The danger: the stale bytes are taken for the reply to the next request.
    auto& p = add(1);
    auto& first = up.accept();
    auto& r = ask("one");
    first.read_line();
    first.send("right\r\n");
    BOOST_TEST(*wait(r) == "right");
    BOOST_TEST(p.counters().returned == 1U);
    first.send("stale\r\n");
    auto& next = ask("two");
    auto& second = up.accept();
    BOOST_TEST(second.read_line() == "two");
    second.send("fresh\r\n");
    BOOST_TEST(*wait(next) == "fresh");
    BOOST_TEST(p.counters().stale == 1U);
    BOOST_TEST(first.read_to_end() == "");
}

BOOST_AUTO_TEST_CASE(a_connection_closed_while_idle_is_replaced_without_an_error) {
    add(1);
    up.accept().close();
    sim.run_for(1ms);
    auto& r = ask("one");
    auto& second = up.accept();
    BOOST_TEST(second.read_line() == "one");
    second.send("reply\r\n");
    BOOST_TEST(*wait(r) == "reply");
}

BOOST_AUTO_TEST_CASE(a_reply_that_is_truncated_is_an_error) {
    auto& p = add(1);
    auto& conn = up.accept();
    auto& r = ask("one");
    conn.read_line();
    conn.send("half a rep");
    conn.close();
    BOOST_TEST(wait(r).error() == ice::errc::truncated);
    BOOST_TEST(!not_executed(*r));
    BOOST_TEST(p.counters().failures == 1U);
}

BOOST_AUTO_TEST_CASE(a_request_closed_without_a_reply_may_have_been_executed) {
    add(1);
    auto& conn = up.accept();
    auto& r = ask("one");
    conn.read_line();
    conn.close();
    BOOST_TEST(wait(r).error() == ice::errc::closed);
    BOOST_TEST(!not_executed(*r));
}

BOOST_AUTO_TEST_CASE(a_reply_beyond_the_limit_is_an_error) {
    add(1, {}, {.message = 100});
    auto& conn = up.accept();
    auto& r = ask("one");
    conn.read_line();
    conn.send(std::string(200, 'x'));
    BOOST_TEST(wait(r).error() == ice::errc::message_too_large);
}

BOOST_AUTO_TEST_CASE(an_unencodable_request_leaves_the_connection_as_it_was) {
    auto& p = add(1);
    up.accept();
    until([&] { return p.idle() == 1; });
    auto& r = ask("two\r\nlines");
    BOOST_TEST(wait(r).error() == ice::errc::unencodable);
    BOOST_TEST(not_executed(*r));
    BOOST_TEST(p.idle() == 1U);
    BOOST_TEST(p.counters().discarded == 0U);
}

BOOST_AUTO_TEST_CASE(waiters_are_served_in_order) {
    // Last in, first out would starve the first waiter.
    auto& p = add(1);
    auto& conn = up.accept();
    until([&] { return p.idle() == 1; });
    std::vector<slot*> slots;
    for (int i = 0; i < 5; ++i) slots.push_back(&ask(fmt::format("q{}", i)));
    BOOST_TEST(p.waiting() == 4U);
    for (int i = 0; i < 5; ++i) {
        BOOST_TEST(conn.read_line() == fmt::format("q{}", i));
        conn.send(fmt::format("a{}\r\n", i));
        BOOST_TEST(*wait(*slots[static_cast<std::size_t>(i)]) == fmt::format("a{}", i));
    }
    BOOST_TEST(p.counters().waited == 4U);
}

BOOST_AUTO_TEST_CASE(a_waiter_that_left_is_passed_over) {
    auto& p = add(1);
    auto& conn = up.accept();
    auto& first = ask("q0");
    auto& second = ask("q1", 20ms);
    auto& third = ask("q2");
    BOOST_TEST(wait(second).error() == ice::errc::acquire_timeout);
    BOOST_TEST(not_executed(*second));
    BOOST_TEST(p.waiting() == 1U);
    conn.read_line();
    conn.send("a0\r\n");
    BOOST_TEST(*wait(first) == "a0");
    BOOST_TEST(conn.read_line() == "q2");
    conn.send("a2\r\n");
    BOOST_TEST(*wait(third) == "a2");
}

BOOST_AUTO_TEST_CASE(more_waiters_than_the_limit_are_refused_at_once) {
    auto& p = add(1, {}, {.max_waiters = 2});
    up.accept();
    until([&] { return p.idle() == 1; });
    ask("busy");
    ask("waits");
    auto& last = ask("waits too");
    BOOST_TEST(!last.has_value());
    auto& refused = ask("one too many");
    BOOST_TEST(wait(refused).error() == ice::errc::pool_full);
    BOOST_TEST(not_executed(*refused));
}

BOOST_AUTO_TEST_CASE(waiting_ends_at_the_acquire_timeout) {
    add(1, {.acquire = 20ms});
    up.accept();
    ask("busy");
    auto& r = ask("waits");
    BOOST_TEST(wait(r).error() == ice::errc::acquire_timeout);
}

BOOST_AUTO_TEST_CASE(while_the_upstream_refuses_callers_fail_at_once_with_the_cause) {
    // The danger: each caller waits for its timeout, and the gateway is as unavailable as its
    // upstream.
    up.close();
    auto& p = srv.add(ice::tcp_client_action{ice::address("127.0.0.1", 1), name, 3});
    until([&] { return p.counters().connect_failures > 0; });
    for (int i = 0; i < 5; ++i) {
        const auto r = wait(ask("anyone"));
        BOOST_TEST((r.error() == std::errc::connection_refused));
        BOOST_TEST(r.error().message() == "cannot connect: Connection refused");
        BOOST_TEST(not_executed(r));
    }
    BOOST_TEST(p.counters().refused == 5U);
    BOOST_TEST(logged("is down") == false);
    BOOST_TEST(logged("cannot connect: Connection refused"));
}

BOOST_AUTO_TEST_CASE(an_upstream_that_comes_back_is_used_again) {
    up.close();
    auto& p = srv.add(ice::tcp_client_action{far, name, 2});
    until([&] { return p.counters().connect_failures > 0; });
    up.open();
    until([&] { return p.idle() > 0; }, "the pool to connect again");
    BOOST_TEST(logged("is back"));
}

BOOST_AUTO_TEST_CASE(an_upstream_that_closes_each_connection_at_once_does_not_make_the_pool_spin) {
    auto& p = srv.add(ice::tcp_client_action{far, name, 1});
    auto& r = begin("one", 5s);
    close_next_at_once();
    close_next_at_once();
    BOOST_TEST(wait(r).error() == ice::errc::upstream_closes);
    BOOST_TEST(not_executed(*r));
    BOOST_TEST(p.counters().connects < 5U);
}

BOOST_AUTO_TEST_CASE(idle_connections_are_closed_before_the_upstream_closes_them) {
    auto& p = add(2, {.idle = 30ms});
    auto& conn = up.accept();
    conn.read_to_end();
    BOOST_TEST(conn.ended());
    until([&] { return p.idle() == 0; });
    BOOST_TEST(p.counters().expired == 2U);
    auto& r = ask("one");  // connects again on demand
    until([&] { return up.has_connection() && !up.peers.back().over; });
    auto& fresh = up.peers.back();
    BOOST_TEST(fresh.read_line() == "one");
    fresh.send("reply\r\n");
    BOOST_TEST(*wait(r) == "reply");
}

BOOST_AUTO_TEST_CASE(a_pool_keeps_some_connections_open_without_requests) {
    auto& p = add(3, {.idle = 30ms}, {.min_connections = 2});
    until([&] { return p.idle() == 3; });
    until([&] { return p.idle() == 2; }, "the third to expire");
    BOOST_TEST(p.counters().expired == 1U);
    sim.run_for(1ms);
    BOOST_TEST(p.idle() == 2U);
    BOOST_TEST(p.counters().connects == 3U);
}

BOOST_AUTO_TEST_CASE(a_pool_opens_more_only_while_callers_wait) {
    auto& p = add(3, {}, {.preconnect = 1});
    until([&] { return p.idle() == 1; });
    sim.run_for(1ms);
    BOOST_TEST(p.counters().connects == 1U);
    for (int i = 0; i < 4; ++i) ask("busy");
    until([&] { return p.busy() == 3; }, "all connections to be busy");
    BOOST_TEST(p.counters().connects == 3U);
    BOOST_TEST(p.waiting() == 1U);
}

BOOST_AUTO_TEST_CASE(idle_connections_end_at_their_maximum_lifetime) {
    auto& p = add(1, {.max_lifetime = 30ms});
    auto& conn = up.accept();
    conn.read_to_end();
    BOOST_TEST(conn.ended());
    BOOST_TEST(p.counters().aged == 1U);
    BOOST_TEST(p.counters().expired == 0U);
}

BOOST_AUTO_TEST_CASE(a_busy_connection_that_is_too_old_is_replaced_when_it_comes_back) {
    auto& p = add(1, {.max_lifetime = 30ms});
    auto& first = up.accept();
    auto& r = ask("one");
    BOOST_TEST(first.read_line() == "one");
    sim.run_for(40ms);
    BOOST_TEST(!up.has_connection(), "one that a caller has is not replaced");
    first.send("reply\r\n");
    BOOST_TEST(*wait(r) == "reply");
    up.accept();
    BOOST_TEST(first.read_to_end() == "");
    BOOST_TEST(p.counters().aged == 1U);
    BOOST_TEST(p.idle() == 1U);
}

BOOST_AUTO_TEST_CASE(a_report_is_the_state_of_the_pool_in_one_line) {
    auto& p = add(2);
    until([&] { return p.idle() == 2; });
    ask("one");
    const std::string line = p.report();
    BOOST_TEST(line.starts_with(fmt::format("pool 'far' of {}: up, 2 of 2 open (1 idle, 1 busy, 0 "
                                            "connecting), 0 waiting; requests: 1 ",
                                            far)),
               line);
    BOOST_TEST(line.find('\n') == std::string::npos);
    up.close();
    auto& down = srv.add(
        ice::tcp_client_action{ice::address("127.0.0.1", 1), ice::pool_name<ice::line>{"no"}, 1});
    until([&] { return down.counters().connect_failures > 0; });
    BOOST_TEST(down.report().find("down, cannot connect: Connection refused") != std::string::npos,
               down.report());
}

BOOST_AUTO_TEST_CASE(a_lease_returns_its_connection_only_after_complete_exchanges) {
    auto& p = add(1);
    auto& conn = up.accept();
    auto talk = [](ice::pool<ice::line>& from, bool whole) -> ice::task<std::string> {
        auto lease = co_await from.acquire();
        if (!lease) co_return lease.error().message();
        lease->keep();
        auto& peer = **lease;
        co_await peer.send("first");
        auto a = co_await peer.receive();
        std::string got(a ? *a : "error");
        co_await peer.send("second");
        if (!whole) co_return got;
        auto b = co_await peer.receive();
        got += b ? *b : "error";
        co_return got;
    };
    std::optional<std::string> got;
    auto run_talk = [&](bool whole) -> ice::task<> { got = co_await talk(p, whole); };
    sim.spawn(run_talk(true));
    BOOST_TEST(conn.read_line() == "first");
    BOOST_TEST(p.busy() == 1U);
    conn.send("a\r\n");
    BOOST_TEST(conn.read_line() == "second");
    conn.send("b\r\n");
    until([&] { return got.has_value(); });
    BOOST_TEST(*got == "ab");
    BOOST_TEST(p.idle() == 1U);

    got.reset();
    sim.spawn(run_talk(false));  // leaves with a reply outstanding
    conn.read_line();
    conn.send("a\r\n");
    until([&] { return got.has_value(); });
    BOOST_TEST(p.counters().discarded == 1U);
    conn.read_to_end();
}

BOOST_AUTO_TEST_CASE(a_lease_that_closes_gracefully_does_not_return_its_connection) {
    // The upstream closes idle connections as well: the next caller would get one that is closed or
    // closing.
    auto& p = add(1);
    auto& first = up.accept();
    auto talk = [](ice::pool<ice::line>& from) -> ice::task<ice::error_code> {
        auto lease = co_await from.acquire();
        if (!lease) co_return lease.error();
        BOOST_TEST(!(*lease)->push("QUIT"));
        (*lease)->close();
        const auto bye = co_await (*lease)->receive();
        co_return bye.error();
    };
    BOOST_TEST(sim.run(talk(p)) == ice::errc::stopped);
    BOOST_TEST(first.read_to_end() == "QUIT\r\n");
    BOOST_TEST(p.counters().discarded == 1U);
    BOOST_TEST(p.idle() == 0U);
}

BOOST_AUTO_TEST_CASE(a_handshake_that_closes_the_connection_has_failed) {
    // Whatever the handshake returns, the pool must not assign a connection that takes no message.
    struct leaving : ice::line {
        ice::task<bool> handshake(ice::session<leaving>& peer) {
            peer.close();
            co_return true;
        }
    };
    constexpr ice::pool_name<leaving> leavers{"leaving"};
    auto& p = srv.add(ice::tcp_client_action{far, leavers, 1});
    up.accept();
    until([&] { return p.counters().connect_failures == 1; });
    BOOST_TEST(p.idle() == 0U);
}

BOOST_AUTO_TEST_CASE(a_push_on_a_lease_needs_its_reply_too) {
    // The danger: the reply to the pushed message reaches the next caller.
    auto& p = add(1);
    auto& first = up.accept();
    auto talk = [](ice::pool<ice::line>& from) -> ice::task<> {
        auto lease = co_await from.acquire();
        BOOST_TEST(!(*lease)->push("A"));
        (*lease)->try_flush();
    };
    sim.spawn(talk(p));
    BOOST_TEST(first.read_line() == "A");
    until([&] { return p.counters().discarded == 1; });
    auto& r = ask("B");
    auto& second = up.accept();
    BOOST_TEST(second.read_line() == "B");
    second.send("re:B\r\n");
    BOOST_TEST(*wait(r) == "re:B");
}

BOOST_AUTO_TEST_CASE(a_request_that_was_sent_before_the_stop_may_have_been_executed) {
    auto& p = add(1);
    auto& conn = up.accept();
    auto& r = ask("PAY");
    BOOST_TEST(conn.read_line() == "PAY");
    p.stop();
    BOOST_TEST(wait(r).error() == ice::errc::stopped);
    BOOST_TEST(!not_executed(*r));
}

BOOST_AUTO_TEST_CASE(an_exception_of_the_lease_holder_closes_the_connection) {
    auto& p = add(1);
    up.accept();
    auto talk = [](ice::pool<ice::line>& from) -> ice::task<> {
        auto lease = co_await from.acquire();
        throw std::runtime_error("the borrower failed");
    };
    srv.spawn(talk(p), "borrower");
    until([&] { return p.counters().discarded == 1; });
}

BOOST_AUTO_TEST_CASE(stopping_ends_requests_and_waiters) {
    auto& p = add(1);
    up.accept();
    until([&] { return p.idle() == 1; });
    auto& busy = ask("busy");
    auto& waits = ask("waits");
    p.stop();
    BOOST_TEST(wait(busy).error() == ice::errc::stopped);
    BOOST_TEST(wait(waits).error() == ice::errc::stopped);
    BOOST_TEST(wait(ask("after")).error() == ice::errc::stopped);
}

BOOST_AUTO_TEST_CASE(a_cancelled_caller_closes_its_connection) {
    // The caller is cancelled by Asio's means: its late reply must not reach the next caller.
    auto& p = add(1);
    auto& first = up.accept();
    until([&] { return p.idle() == 1; });
    asio::cancellation_signal stop;
    bool ended = false;
    auto call = [&]() -> ice::task<> {
        [[maybe_unused]] const auto ignored = co_await p.request("one");
    };
    asio::co_spawn(
        sim.net()->executor(), call(),
        asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr) { ended = true; }));
    BOOST_TEST(first.read_line() == "one");
    stop.emit(asio::cancellation_type::terminal);
    until([&] { return ended; });
    auto& next = ask("two");
    first.send("reply to one\r\n");
    auto& second = up.accept();
    BOOST_TEST(second.read_line() == "two");
    second.send("reply to two\r\n");
    BOOST_TEST(*wait(next) == "reply to two");
}

BOOST_AUTO_TEST_CASE(a_cancelled_waiter_leaves_the_queue) {
    auto& p = add(1);
    auto& conn = up.accept();
    until([&] { return p.idle() == 1; });
    auto& busy = ask("busy");
    asio::cancellation_signal stop;
    bool ended = false;
    auto call = [&]() -> ice::task<> {
        [[maybe_unused]] const auto ignored = co_await p.request("never");
    };
    asio::co_spawn(
        sim.net()->executor(), call(),
        asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr) { ended = true; }));
    until([&] { return p.waiting() == 1; });
    auto& next = ask("next");
    stop.emit(asio::cancellation_type::terminal);
    until([&] { return ended; });
    BOOST_TEST(p.waiting() == 1U);
    conn.read_line();
    conn.send("a\r\n");
    BOOST_TEST(*wait(busy) == "a");
    BOOST_TEST(conn.read_line() == "next");
    conn.send("b\r\n");
    BOOST_TEST(*wait(next) == "b");
}

BOOST_AUTO_TEST_SUITE_END()
