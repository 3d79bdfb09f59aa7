// Pushes of RESP3 on connections of a pool: none is taken for a reply, and none costs a connection.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/script.hpp>
#include <ice/testing/sim.hpp>
#include <string>
#include <vector>

#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::resp_command;

const ice::address REDIS{"127.0.0.1", 6379};

const ice::resp_value invalidation = ice::resp_push(
    {ice::resp_bulk_string("invalidate"), ice::resp_array({ice::resp_bulk_string("a key")})});

// Answers with the last word of a request, and pushes as its first word says.
struct upstream {
    ice::resp_value operator()(ice::resp_view request, ice::session<ice::resp_requests>& peer) {
        std::vector<std::string> words;
        for (const ice::resp_view word : request) words.emplace_back(word.text());
        for (int i = 0; i < pushes_before; ++i) BOOST_TEST(!peer.push(invalidation));
        if (words[0] == "TWICE") BOOST_TEST(!peer.push(ice::resp_bulk_string("stolen")));
        return ice::resp_bulk_string(words.back());
    }
    int pushes_before = 0;
};

struct fixture {
    ice::pool<ice::resp>& add(std::size_t pipeline) {
        const auto name = fmt::format("pipeline of {}", pipeline);
        return srv.add(
            ice::tcp_client_action{REDIS, name, 1, ice::resp{}}.limits({.pipeline = pipeline}));
    }
    // Of the server, to each connection, at once.
    void push_to_all(ice::resp_view what) {
        for (auto& peer : redis.sessions()) BOOST_TEST(!peer.push(what));
        sim.run_for(10ms);
    }
    void echo(ice::pool<ice::resp>& p) {
        const auto mine = std::to_string(++echoes);
        const auto reply = sim.run(p.request(resp_command("ECHO", mine), 1s));
        BOOST_TEST_REQUIRE(reply.has_value(), reply.error().message());
        BOOST_TEST(reply->text() == mine);
    }

    ice::testing::simulation sim;
    quiet_server up{sim.host("127.0.0.1")}, srv{sim.net()};
    ice::listener<ice::resp_requests>& redis =
        up.add(ice::tcp_server_action{REDIS}.protocol(ice::resp_requests{}).logic(upstream{2}));
    int echoes = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(resp_push)

BOOST_AUTO_TEST_CASE(pushes_are_skipped_at_every_split) {
    const std::string push(invalidation.bytes());
    const std::string all = push + ":1\r\n" + push + push + "%1\r\n+a\r\n+b\r\n>0\r\n";
    const auto seen = ice::testing::play(ice::resp(), all);
    BOOST_TEST_REQUIRE(seen.messages.size() == 2U);
    BOOST_TEST(seen.messages[0].integer() == 1);
    BOOST_TEST(seen.messages[1].size() == 2U);
    BOOST_TEST(seen.left == 0U);
    BOOST_TEST(ice::testing::split_difference(ice::resp(), all) == "");

    ice::resp takes;
    takes.take_pushes();
    BOOST_TEST(ice::testing::play(takes, all).messages.size() == 6U);
    BOOST_TEST(ice::testing::split_difference(takes, all) == "");
    BOOST_TEST((ice::testing::play(takes, all).messages[0] == invalidation));
}

BOOST_AUTO_TEST_CASE(a_server_refuses_a_push) {
    ice::resp server;
    server.as_server();
    BOOST_TEST((ice::testing::play(server, invalidation.bytes()).error == ice::errc::bad_message));
}

BOOST_FIXTURE_TEST_CASE(each_caller_gets_its_own_reply_among_pushes, fixture) {
    // A push in the place of a reply would shift all replies behind it by one.
    for (const std::size_t pipeline : {1U, 16U}) {
        auto& p = add(pipeline);
        for (int i = 0; i < 10; ++i) {
            echo(p);
            push_to_all(invalidation);
            push_to_all(invalidation);
        }
        BOOST_TEST(p.counters().connects == 1U);
        BOOST_TEST(p.counters().discarded == 0U);
        BOOST_TEST(p.counters().stale == 0U);
    }
}

BOOST_FIXTURE_TEST_CASE(callers_that_share_a_connection_get_their_own_replies_among_pushes,
                        fixture) {
    auto& p = add(16);
    const auto ask = [](ice::pool<ice::resp>& of, int id, int& wrong) -> ice::task<> {
        for (int i = 0; i < 20; ++i) {
            const auto mine = std::to_string(id * 100 + i);
            const auto reply = co_await of.request(resp_command("ECHO", mine), 1s);
            if (!reply || reply->text() != mine) ++wrong;
        }
    };
    int wrong = 0;
    for (int id = 0; id < 8; ++id) sim.spawn(ask(p, id, wrong));
    sim.run_for(1s);
    BOOST_TEST(wrong == 0);
    BOOST_TEST(p.counters().replies == 160U);
    BOOST_TEST(p.counters().connects == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_push_is_no_proof_of_a_reply, fixture) {
    // The proof that a connection is clean counts replies: a push must not count as one.
    auto& p = add(1);
    echo(p);
    const auto late = sim.run(p.request(resp_command("TWICE", "first"), 1s));
    BOOST_TEST(late.has_value());
    echo(p);
    BOOST_TEST(p.counters().connects == 2U);
    push_to_all(ice::resp_view(">2\r\n"));  // the rest does not come
    echo(p);
    BOOST_TEST(p.counters().connects == 3U);
}

BOOST_FIXTURE_TEST_CASE(a_lease_that_takes_pushes_ends_its_connection, fixture) {
    // Otherwise a push could come in the place of the next caller's reply.
    auto& p = add(1);
    const auto subscribe = [](ice::pool<ice::resp>& of) -> ice::task<int> {
        auto lease = co_await of.acquire(1s);
        lease->keep();
        (*lease)->protocol().take_pushes();
        co_await (*lease)->send(resp_command("ECHO", "x"));
        int pushes = 0;
        for (int i = 0; i < 3; ++i) {
            const auto next = co_await (*lease)->receive();
            if (next && next->type() == ice::resp_type::push) ++pushes;
        }
        co_return pushes;
    };
    BOOST_TEST(sim.run(subscribe(p)) == 2);
    echo(p);
    BOOST_TEST(p.counters().connects == 2U);
    // One message sent and one received, which is a push: the reply is still to come.
    const auto leave = [](ice::pool<ice::resp>& of) -> ice::task<bool> {
        auto lease = co_await of.acquire(1s);
        lease->keep();
        (*lease)->protocol().take_pushes();
        co_await (*lease)->send(resp_command("ECHO", "not read"));
        const auto next = co_await (*lease)->receive();
        co_return next && next->type() == ice::resp_type::push;
    };
    BOOST_TEST(sim.run(leave(p)));
    echo(p);
    BOOST_TEST(p.counters().connects == 3U);
}

BOOST_AUTO_TEST_SUITE_END()
