// A pool with upstreams that misbehave as the test says. Most important: a reply reaches only the
// caller that sent its request.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <ice/pool.hpp>

#include "upstream.hpp"

namespace {

using namespace test;

constexpr ice::pool_name<ice::line> name{"up"};

struct fixture : world {
    using reply = ice::result<std::string>;

    ice::pool<ice::line>& add(std::size_t size, ice::pool_timeouts t = {},
                              ice::pool_limits l = {}) {
        return srv.add(ice::tcp_client_action{up.where(), name, size}.timeouts(t).limits(l));
    }

    // A request that is in flight; its reply stands in the returned slot.
    std::optional<reply>& ask(std::string text, ice::duration timeout = 5s) {
        auto& slot = replies.emplace_back();
        ice::spawn(context, keep(srv.get(name), std::move(text), timeout, slot), "caller");
        settle();
        return slot;
    }
    reply wait(std::optional<reply>& slot) {
        until([&] { return slot.has_value(); }, "a reply");
        return *slot;
    }
    static ice::task<> keep(ice::pool<ice::line>& p, std::string text, ice::duration timeout,
                            std::optional<reply>& slot) {
        slot = co_await p.request(text, timeout);
    }

    upstream up{*this};
    std::list<std::optional<reply>> replies;
    std::shared_ptr<ice::server_context> context =
        std::make_shared<ice::server_context>(ice::make_socket_transport(io.get_executor()));
};

bool not_executed(const ice::result<std::string>& r) {
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

BOOST_AUTO_TEST_CASE(an_urgent_byte_that_arrives_while_idle_closes_the_connection_too) {
    // The danger: the kernel hides the byte from the check before a request.
    auto& p = add(1);
    auto& first = up.accept();
    auto& r = ask("one");
    first.read_line();
    first.send("right\r\n");
    BOOST_TEST(*wait(r) == "right");
    first.send_urgent("!");
    auto& next = ask("two");
    auto& second = up.accept();
    BOOST_TEST(second.read_line() == "two");
    second.send("fresh\r\n");
    BOOST_TEST(*wait(next) == "fresh");
    BOOST_TEST(p.counters().stale == 1U);
}

BOOST_AUTO_TEST_CASE(a_connection_closed_while_idle_is_replaced_without_an_error) {
    add(1);
    up.accept().close();
    settle();
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
    std::vector<std::optional<reply>*> slots;
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
    const ice::address where = up.where();
    up.close();
    auto& p = srv.add(ice::tcp_client_action{where, name, 2});
    until([&] { return p.counters().connect_failures > 0; });
    tcp::acceptor again(io, endpoint_of(where));
    tcp::socket s(io);
    again.async_accept(s, [](std::error_code) {});
    until([&] { return p.idle() > 0; }, "the pool to connect again");
    BOOST_TEST(logged("is back"));
}

BOOST_AUTO_TEST_CASE(an_upstream_that_closes_each_connection_at_once_does_not_make_the_pool_spin) {
    auto& p = add(1);
    up.accept().close();
    auto& r = ask("one");
    up.accept().close();
    BOOST_TEST(wait(r).error() == ice::errc::upstream_closes);
    BOOST_TEST(not_executed(*r));
    BOOST_TEST(p.counters().connects < 5U);
}

BOOST_AUTO_TEST_CASE(idle_connections_are_closed_before_the_upstream_closes_them) {
    auto& p = add(2, {.idle = 30ms});
    auto& conn = up.accept();
    conn.read_to_end();
    BOOST_TEST(conn.ended);
    until([&] { return p.idle() == 0; });
    BOOST_TEST(p.counters().expired == 2U);
    auto& r = ask("one");  // connects again on demand
    until([&] { return up.has_connection() && up.peers().back().poll() == false; });
    auto& fresh = up.peers().back();
    BOOST_TEST(fresh.read_line() == "one");
    fresh.send("reply\r\n");
    BOOST_TEST(*wait(r) == "reply");
}

BOOST_AUTO_TEST_CASE(a_pool_keeps_some_connections_open_without_requests) {
    auto& p = add(3, {.idle = 30ms}, {.min_connections = 2});
    until([&] { return p.idle() == 3; });
    until([&] { return p.idle() == 2; }, "the third to expire");
    BOOST_TEST(p.counters().expired == 1U);
    settle();
    BOOST_TEST(p.idle() == 2U);
    BOOST_TEST(p.counters().connects == 3U);
}

BOOST_AUTO_TEST_CASE(a_pool_opens_more_only_while_callers_wait) {
    auto& p = add(3, {}, {.preconnect = 1});
    until([&] { return p.idle() == 1; });
    settle();
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
    BOOST_TEST(conn.ended);
    BOOST_TEST(p.counters().aged == 1U);
    BOOST_TEST(p.counters().expired == 0U);
}

BOOST_AUTO_TEST_CASE(a_busy_connection_that_is_too_old_is_replaced_when_it_comes_back) {
    auto& p = add(1, {.max_lifetime = 30ms});
    auto& first = up.accept();
    auto& r = ask("one");
    BOOST_TEST(first.read_line() == "one");
    const auto later = [this]() -> ice::task<bool> {
        co_await context->net->sleep(40ms);
        co_return true;
    };
    run(later());
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
    BOOST_TEST(line.starts_with(fmt::format("pool 'up' of {}: up, 2 of 2 open (1 idle, 1 busy, 0 "
                                            "connecting), 0 waiting; requests: 1 ",
                                            up.where())),
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
    ice::spawn(context, run_talk(true), "talk");
    BOOST_TEST(conn.read_line() == "first");
    BOOST_TEST(p.busy() == 1U);
    conn.send("a\r\n");
    BOOST_TEST(conn.read_line() == "second");
    conn.send("b\r\n");
    until([&] { return got.has_value(); });
    BOOST_TEST(*got == "ab");
    BOOST_TEST(p.idle() == 1U);

    got.reset();
    ice::spawn(context, run_talk(false), "talk");  // leaves with a reply outstanding
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
    BOOST_TEST(run(talk(p)) == ice::errc::stopped);
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
    auto& p = srv.add(ice::tcp_client_action{up.where(), leavers, 1});
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
    ice::spawn(context, talk(p), "talk");
    BOOST_TEST(first.read_line() == "A");
    until([&] { return p.counters().discarded == 1; });
    auto& r = ask("B");
    auto& second = up.accept();
    BOOST_TEST(second.read_line() == "B");
    second.send("re:B\r\n");
    BOOST_TEST(*wait(r) == "re:B");
}

BOOST_AUTO_TEST_CASE(connects_that_fail_without_waiting_do_not_starve_the_loop) {
    // connect() to a missing path ends at once, in the handler that began it.
    auto& p = srv.add(ice::tcp_client_action{ice::address("unix:/no/such"), name, 3});
    for (int i = 0; i < 3; ++i) BOOST_TEST(not_executed(wait(ask("anyone"))));
    BOOST_TEST(p.counters().connects < 20U);
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
    ice::spawn(context, talk(p), "borrower");
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

BOOST_AUTO_TEST_CASE(connecting_ends_at_the_connect_timeout) {
    // A full backlog takes no more connections, and does not refuse them.
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BOOST_TEST_REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    BOOST_TEST_REQUIRE(::listen(fd, 0) == 0);
    socklen_t size = sizeof at;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
    const tcp::endpoint where(asio::ip::address_v4::loopback(), ntohs(at.sin_port));
    std::vector<tcp::socket> fillers;
    for (int i = 0; i < 4; ++i) {
        fillers.emplace_back(io);
        fillers.back().async_connect(where, [](std::error_code) {});
    }
    settle();
    ice::pool_timeouts t;
    t.connect = 30ms;
    auto& p = srv.add(
        ice::tcp_client_action{ice::address("127.0.0.1", where.port()), name, 1}.timeouts(t));
    auto& r = ask("one");
    BOOST_TEST(wait(r).error() == ice::errc::connect_timeout);
    BOOST_TEST(not_executed(*r));
    BOOST_TEST(p.counters().connect_failures >= 1U);
    ::close(fd);
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
    asio::co_spawn(io, call(), asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr) {
                       ended = true;
                   }));
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
    asio::co_spawn(io, call(), asio::bind_cancellation_slot(stop.slot(), [&](std::exception_ptr) {
                       ended = true;
                   }));
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
