// forward(): the same answers as those of a coroutine that asks the pool, in the same order.
#include <ice/forward.hpp>

#include <fmt/format.h>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>
#include <boost/test/unit_test.hpp>
#include <charconv>
#include <ice/listener.hpp>
#include <ice/protocols/line.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::simulation;
using line_session = ice::session<ice::line>;

const ice::address FRONT{"127.0.0.1", 9999}, BACK{"127.0.0.1", 7};
constexpr ice::pool_name<ice::line> BACKEND{"backend"};

// The upstream: replies to "20 a" with "20 a!" after 20 ms, and to "quit" with the end.
ice::task<std::string> replies(std::string_view text, line_session& peer) {
    int ms = 0;
    std::from_chars(text.data(), text.data() + text.size(), ms);
    std::string reply(text);
    if (ms != 0) co_await peer.sleep(std::chrono::milliseconds(ms));
    if (reply == "quit") peer.close();
    co_return reply + "!";
}

std::string failed(const ice::failure& why, std::string_view request) {
    return fmt::format("{}: {}", request, why.code().message());
}

struct gateway {
    explicit gateway(std::size_t in_flight = 16, std::size_t pipeline = 16)
        : in_flight_(in_flight), pipeline_(pipeline) {}

    void start_upstream() {
        up.emplace(sim.net());
        up->add(ice::tcp_server_action{BACK}
                    .protocol(ice::line{})
                    .limits({.in_flight = 100})
                    .logic(replies));
    }
    ice::pool<ice::line>& add_pool(std::size_t size = 1, ice::pool_timeouts t = {}) {
        return srv.add(ice::tcp_client_action{BACK, BACKEND, size}
                           .limits({.pipeline = pipeline_})
                           .timeouts(t));
    }
    template <class L>
    ice::listener<ice::line>& listen(L logic, ice::timeouts t = {}) {
        return srv.add(ice::tcp_server_action{FRONT}
                           .protocol(ice::line{})
                           .limits({.in_flight = in_flight_})
                           .timeouts(t)
                           .logic(std::move(logic)));
    }
    std::unique_ptr<line_session> open() { return sim.run(sim.open<ice::line>(FRONT)).value(); }
    // Sends lines, each of which ends at a comma, in one write.
    void send(line_session& peer, std::string_view text) {
        for (const char c : text) {
            if (c == ',') peer.bytes().out() += "\r\n";
            else peer.bytes().out() += c;
        }
        BOOST_TEST(peer.try_flush());
        sim.run_for(1ms);
    }
    std::string receive(line_session& peer, int lines) {
        std::string got;
        for (; lines != 0; --lines) {
            const auto one = sim.run(peer.receive());
            got += (one ? std::string(*one) : one.error().message()) + ",";
        }
        return got;
    }

    const std::size_t in_flight_, pipeline_;
    simulation sim;
    std::optional<quiet_server> up;
    quiet_server srv{sim.net()};
};

// A reply of another type than the message, which the logic of replies makes.
struct weighed {
    std::string text;
};
struct line_of_weighed : ice::line {
    using ice::line::packet;
    ice::error_code packet(const weighed& w, std::string& out) {
        return ice::line::packet(std::string_view(w.text), out);
    }
};

struct line_that_throws : ice::line {
    ice::error_code packet(std::string_view text, std::string& out) {
        if (text == "throw!") throw std::runtime_error("no luck");
        return ice::line::packet(text, out);
    }
};

// What has failed is told in a turn of the loop, which may never come: the listener, and the
// transport that is its own, are gone then. The address sanitizer looks at this.
void end_in_the_middle(int turns, int more_turns) {
    using asio::ip::tcp;
    const ice::address any("127.0.0.1", 0);
    auto io = std::make_unique<asio::io_context>(1);
    const auto run = [&io](int n) {
        for (; n > 0; --n) {
            io->restart();
            io->run_one_for(50us);
        }
    };
    std::optional<quiet_server> up(std::in_place, *io), srv(std::in_place, *io);
    auto& back = up->add(
        ice::tcp_server_action{any}.protocol(ice::line{}).limits({.in_flight = 8}).logic(replies));
    auto& pool =
        srv->add(ice::tcp_client_action{back.endpoint(), BACKEND, 1}.limits({.pipeline = 8}));
    auto& l = srv->add(ice::tcp_server_action{any}
                           .protocol(ice::line{})
                           .limits({.in_flight = 8})
                           .transport(ice::make_socket_transport(io->get_executor()))
                           .logic(ice::forward(pool, failed)));
    run(25);
    asio::io_context outside;
    const tcp::endpoint there(asio::ip::address_v4::loopback(), l.endpoint().port());
    tcp::socket one(outside), two(outside);
    one.connect(there);
    two.connect(there);
    asio::write(one, asio::buffer(std::string("a\r\nb\r\n5 c\r\nquit\r\nd\r\n")));
    asio::write(two, asio::buffer(std::string("1\r\n2\r\n3\r\n")));
    run(turns);
    if (more_turns % 2 == 0) up.reset();
    else pool.stop();
    run(more_turns);
    srv.reset();
    up.reset();
    io.reset();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(forward)

BOOST_AUTO_TEST_CASE(answers_leave_in_the_order_of_the_messages) {
    for (const std::size_t in_flight : {1u, 3u, 100u}) {
        for (const std::size_t pipeline : {1u, 2u, 100u}) {
            gateway g(in_flight, pipeline);
            g.start_upstream();
            auto& pool = g.add_pool(4);
            g.listen(ice::forward(pool, failed));
            auto one = g.open(), two = g.open();
            g.send(*one, "30 a,b,10 c,20 d,e,");
            g.send(*two, "f,30 g,h,");
            BOOST_TEST(g.receive(*one, 5) == "30 a!,b!,10 c!,20 d!,e!,");
            BOOST_TEST(g.receive(*two, 3) == "f!,30 g!,h!,");
            BOOST_TEST(pool.counters().requests == 8u);
            BOOST_TEST(pool.counters().replies == 8u);
            g.send(*one, "i,j,");  // on the same workers
            BOOST_TEST(g.receive(*one, 2) == "i!,j!,");
        }
    }
}

BOOST_AUTO_TEST_CASE(an_upstream_that_is_not_there_is_a_failure_of_each_message) {
    gateway g;
    auto& pool = g.add_pool(1, {.acquire = 1s});
    g.listen(ice::forward(pool, failed));
    auto peer = g.open();
    g.send(*peer, "a,b,");
    const std::string refused = "cannot connect: Connection refused";
    BOOST_TEST(g.receive(*peer, 2) == fmt::format("a: {0},b: {0},", refused));
    BOOST_TEST(pool.counters().requests == 2u);
    BOOST_TEST(pool.counters().refused == 2u);
    g.start_upstream();
    g.sim.run_for(10s);
    g.send(*peer, "c,");
    BOOST_TEST(g.receive(*peer, 1) == "c!,");
}

BOOST_AUTO_TEST_CASE(a_reply_that_is_late_fails_its_message_and_those_behind) {
    gateway g;
    g.start_upstream();
    auto& pool = g.add_pool(1, {.request = 2s});
    g.listen(ice::forward(pool, failed));
    auto peer = g.open();
    g.send(*peer, "100 a,");
    BOOST_TEST(g.receive(*peer, 1) == "100 a!,");
    g.send(*peer, "1000 b,");
    g.sim.run_for(500ms);
    g.send(*peer, "2300 c,");
    g.sim.run_for(500ms);
    g.send(*peer, "d,");
    const std::string late = make_error_code(ice::errc::request_timeout).message();
    const std::string stalled = make_error_code(ice::errc::pipeline_stalled).message();
    BOOST_TEST(g.receive(*peer, 3) == fmt::format("1000 b!,2300 c: {},d: {},", late, stalled));
    BOOST_TEST(pool.counters().timeouts == 1u);
    g.send(*peer, "e,");
    BOOST_TEST(g.receive(*peer, 1) == "e!,");
}

BOOST_AUTO_TEST_CASE(a_connection_that_ends_fails_what_was_on_it) {
    gateway g;
    g.start_upstream();
    auto& pool = g.add_pool();
    g.listen(ice::forward(pool, failed));
    auto peer = g.open();
    g.send(*peer, "a,");
    BOOST_TEST(g.receive(*peer, 1) == "a!,");
    g.send(*peer, "50 b,500 c,d,");
    g.sim.run_for(100ms);
    g.up.reset();
    const std::string got = g.receive(*peer, 3);
    BOOST_TEST(got.starts_with("50 b!,500 c: "), got);
    BOOST_TEST(got.find("d: ") != std::string::npos, got);
    const auto& n = pool.counters();
    BOOST_TEST(n.requests == n.replies + n.failures + n.refused + n.timeouts);
    g.start_upstream();
    g.sim.run_for(10s);
    g.send(*peer, "e,");
    BOOST_TEST(g.receive(*peer, 1) == "e!,");
}

// The danger: the reply to a request of the peer that has left goes to the next.
BOOST_AUTO_TEST_CASE(a_peer_that_leaves_abandons_its_requests) {
    gateway g;
    g.start_upstream();
    auto& pool = g.add_pool();
    auto& l = g.listen(ice::forward(pool, failed));
    auto leaves = g.open(), stays = g.open();
    g.send(*leaves, "50 a,50 b,");
    g.send(*stays, "50 c,");
    leaves->bytes().cancel(ice::errc::stopped);
    leaves.reset();
    BOOST_TEST(g.receive(*stays, 1) == "50 c!,");
    g.sim.run_for(1s);
    BOOST_TEST(l.size() == 1u);
    const auto& n = pool.counters();
    BOOST_TEST(n.requests == 3u);
    BOOST_TEST(n.requests == n.replies + n.failures + n.refused + n.timeouts);
    BOOST_TEST(pool.idle() == 1u, "the connection has had all its replies");
}

BOOST_AUTO_TEST_CASE(a_message_may_be_answered_instead_of_passed_on) {
    for (const std::size_t in_flight : {1u, 16u}) {
        gateway g(in_flight);
        g.start_upstream();
        auto& pool = g.add_pool();
        int asked = 0;
        g.listen(ice::forward(pool, failed, [&](std::string_view m) -> std::optional<std::string> {
            ++asked;
            if (m.starts_with("no")) return "not this";
            return std::nullopt;
        }));
        auto peer = g.open();
        g.send(*peer, "20 a,no,b,no,");
        BOOST_TEST(g.receive(*peer, 4) == "20 a!,not this,b!,not this,");
        BOOST_TEST(asked == 4);
        BOOST_TEST(pool.counters().requests == 2u);
    }
}

BOOST_AUTO_TEST_CASE(what_failed_throws_closes_that_connection) {
    gateway g;
    auto& pool = g.add_pool(1, {.acquire = 100ms});
    auto& l = g.listen(ice::forward(
        pool, [](const ice::failure&) -> std::string { throw std::runtime_error("no luck"); }));
    auto peer = g.open(), other = g.open();
    g.send(*peer, "a,");
    BOOST_TEST(g.receive(*peer, 1) == make_error_code(ice::errc::closed).message() + ",");
    BOOST_TEST(l.counters().logic_threw == 1u);
    peer.reset();
    g.sim.run_for(1ms);
    BOOST_TEST(l.size() == 1u);
}

// The danger: what the protocol of a client throws counts as a failure of the upstream.
BOOST_AUTO_TEST_CASE(a_reply_that_the_client_cannot_be_sent_is_a_reply) {
    gateway g;
    g.start_upstream();
    auto& pool = g.add_pool();
    auto& l = g.srv.add(ice::tcp_server_action{FRONT}
                            .protocol(line_that_throws{})
                            .limits({.in_flight = 16})
                            .logic(ice::forward(pool, failed)));
    auto peer = g.open();
    g.send(*peer, "a,20 b,throw,c,");
    BOOST_TEST(g.receive(*peer, 2) == "a!,20 b!,");
    peer = g.open();
    g.send(*peer, "throw,");
    BOOST_TEST(g.receive(*peer, 1) == make_error_code(ice::errc::closed).message() + ",");
    g.sim.run_for(1s);
    BOOST_TEST(l.counters().logic_threw == 2u);
    BOOST_TEST(pool.counters().requests == pool.counters().replies);
    BOOST_TEST(pool.counters().failures == 0u);
}

// The danger: the protocol of the pool cannot express a message, and a client asks in a loop.
BOOST_AUTO_TEST_CASE(a_message_that_the_pool_cannot_send_fails) {
    gateway g;
    g.start_upstream();
    auto& pool = g.srv.add(
        ice::tcp_client_action{BACK, BACKEND, 1, ice::line("\r\n", 5)}.limits({.pipeline = 16}));
    g.listen(ice::forward(pool, failed));
    auto peer = g.open();
    g.send(*peer, "a,too long,b,");
    const std::string got = g.receive(*peer, 3);
    BOOST_TEST(got.starts_with("a!,too long: "), got);
    BOOST_TEST(got.ends_with(",b!,"), got);
    const auto& n = pool.counters();
    BOOST_TEST(n.requests == 3u);
    BOOST_TEST(n.replies == 2u);
}

BOOST_AUTO_TEST_CASE(a_logic_of_replies_that_waits_or_throws_is_heeded) {
    gateway g;
    g.start_upstream();
    const auto weighs = [&g](std::string_view reply) -> ice::task<ice::result<std::string>> {
        std::string text(reply);
        if (text == "throw!") throw std::runtime_error("no luck");
        co_await g.sim.net()->sleep(10ms);
        if (text == "bad!") co_return ice::errc::bad_message;
        co_return text + "!";
    };
    auto& pool =
        g.srv.add(ice::tcp_client_action{BACK, BACKEND, 1}.limits({.pipeline = 16}).logic(weighs));
    g.listen(ice::forward(pool, failed));
    auto peer = g.open(), other = g.open();
    g.send(*peer, "a,b,");
    BOOST_TEST(g.receive(*peer, 2) == "a!!,b!!,");
    g.send(*other, "throw,");
    BOOST_TEST(g.receive(*other, 1) == make_error_code(ice::errc::closed).message() + ",");
    g.send(*peer, "bad,");
    const std::string bad = make_error_code(ice::errc::bad_message).message();
    BOOST_TEST(g.receive(*peer, 1) == fmt::format("bad: {},", bad));
    g.send(*peer, "c,");
    BOOST_TEST(g.receive(*peer, 1) == "c!!,");
}

BOOST_AUTO_TEST_CASE(a_server_ends_with_requests_in_flight) {
    for (const bool is_stopped : {true, false}) {
        gateway g;
        g.start_upstream();
        auto& pool = g.add_pool();
        g.listen(ice::forward(pool, failed));
        auto peer = g.open();
        g.send(*peer, "100 a,200 b,");
        if (is_stopped) g.srv.stop();
        else g.srv.drain();
        if (!is_stopped) BOOST_TEST(g.receive(*peer, 2) == "100 a!,200 b!,");
        g.sim.run_for(1s);
        BOOST_TEST(pool.state().open() == 0u);
    }
}

BOOST_AUTO_TEST_CASE(the_timeout_of_the_logic_ends_the_connection) {
    gateway g;
    g.start_upstream();
    auto& pool = g.add_pool(1, {.request = 10s});
    auto& l = g.listen(ice::forward(pool, failed), {.logic = 1s});
    auto peer = g.open();
    g.send(*peer, "5000 a,");
    const auto begin = g.sim.now();
    BOOST_TEST(g.receive(*peer, 1) == make_error_code(ice::errc::closed).message() + ",");
    BOOST_TEST((g.sim.now() - begin <= 2s));
    BOOST_TEST(l.counters().timeouts == 1u);
    g.sim.run_for(10s);
    BOOST_TEST(pool.idle() == 1u);
}

// The danger: what is to be done by a coroutine is refused, as the session is closed, and the
// client waits for the end of timeouts::logic.
BOOST_AUTO_TEST_CASE(a_message_from_before_close_is_answered) {
    gateway g;
    g.start_upstream();
    auto& pool = g.srv.add(
        ice::tcp_client_action{BACK, BACKEND, 1}.limits({.preconnect = 0, .pipeline = 16}));
    ice::listener<ice::line>* l = nullptr;
    const auto closes = [&l](std::string_view) -> std::optional<std::string> {
        for (auto& s : l->sessions()) s.close();
        return std::nullopt;
    };
    l = &g.listen(ice::forward(pool, failed, closes));
    auto peer = g.open();
    const auto begin = g.sim.now();
    g.send(*peer, "bye,");
    BOOST_TEST(g.receive(*peer, 1) == "bye!,");
    BOOST_TEST((g.sim.now() - begin < 1s));
    g.sim.run_for(1s);
    BOOST_TEST(l->size() == 0u);
}

BOOST_AUTO_TEST_CASE(a_transport_of_the_listener_may_end_before_the_last_turn) {
    for (int turns = 0; turns < 60; turns += 3) {
        for (const int more : {0, 1, 4, 7}) end_in_the_middle(turns, more);
    }
}

BOOST_AUTO_TEST_CASE(a_pool_without_time_sends_nothing) {
    gateway g;
    g.start_upstream();
    auto& pool = g.add_pool(1, {.request = 0s});
    g.listen(ice::forward(pool, failed));
    auto peer = g.open();
    g.send(*peer, "a,");
    const std::string late = make_error_code(ice::errc::acquire_timeout).message();
    BOOST_TEST(g.receive(*peer, 1) == fmt::format("a: {},", late));
    BOOST_TEST(pool.counters().refused == 1u);
}

BOOST_AUTO_TEST_CASE(the_pool_may_give_what_only_its_logic_makes) {
    constexpr ice::pool_name<ice::line, weighed> name{"weighed"};
    gateway g;
    g.start_upstream();
    auto& pool =
        g.srv.add(ice::tcp_client_action{BACK, name, 1}
                      .limits({.pipeline = 16})
                      .logic([](std::string_view m) { return weighed{std::string(m) + "?"}; }));
    g.srv.add(ice::tcp_server_action{FRONT}
                  .protocol(line_of_weighed{})
                  .limits({.in_flight = 16})
                  .logic(ice::forward(
                      pool, [](const ice::failure& why) { return weighed{why.text()}; })));
    auto peer = g.open();
    g.send(*peer, "20 a,b,");
    BOOST_TEST(g.receive(*peer, 2) == "20 a!?,b!?,");
}

BOOST_AUTO_TEST_SUITE_END()
