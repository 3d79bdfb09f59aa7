// redis_subscriber with a real redis-server: what it confirms and refuses, the ways in which it
// ends connections or delays them, and its invalidations.
#include <fmt/format.h>

#include <asio/local/stream_protocol.hpp>
#include <asio/read.hpp>
#include <ice/protocols/resp.hpp>
#include <ice/redis_subscriber.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "redis_server.hpp"
#include "world.hpp"

namespace {

using namespace test;
using ice::errc;
using strings = std::vector<std::string>;

struct fixture : world {
    explicit fixture(const std::vector<std::string>& more = {}) : redis(more) {
        pool = &srv.add(ice::tcp_client_action<ice::resp>{redis.where(), "commands", 1});
        wait_until_ready();
    }

    ice::redis_subscriber& connected(ice::redis_subscriber_options o = {}) {
        o.backoff = {.first = 5ms, .cap = 50ms};
        client = std::make_unique<ice::redis_subscriber>(srv, redis.where(), std::move(o));
        client->on_gap([this](const ice::redis_gap& g) { gaps.push_back(g); });
        client->on_error([this](std::string_view text) { errors.emplace_back(text); });
        until([&] { return client->link().is_connected(); }, "a connection");
        return *client;
    }
    ice::redis_subscriber::handler note() {
        return [this](const ice::redis_message_view& m) {
            seen.push_back(fmt::format("{}|{}|{}", m.channel, m.pattern, m.payload));
        };
    }
    void settled() {
        until([&] { return client->is_settled(); }, "confirmations");
    }
    void gap(std::size_t number) {
        until([&] { return gaps.size() == number; }, "a gap");
    }

    template <class... Words>
    ice::resp_value ask(const Words&... words) {
        const auto r = run(pool->request(ice::resp_command(words...), 5s));
        BOOST_TEST_REQUIRE(r.has_value(), r.error().message());
        return *r;
    }
    void wait_until_ready() {
        until([&] { return run(pool->request(ice::resp_command("PING"), 1s)).has_value(); },
              "redis-server");
    }
    // Publishes, and returns how many subscribers the server has sent it to.
    std::int64_t publish(std::string_view channel, std::string_view payload) {
        return ask("PUBLISH", channel, payload).integer();
    }

    redis_server redis;
    ice::pool<ice::resp>* pool = nullptr;
    std::unique_ptr<ice::redis_subscriber> client;
    strings seen, errors;
    std::vector<ice::redis_gap> gaps;
};

struct with_acl : fixture {
    with_acl()
        : fixture(
              {"--user", "app", "on", ">app secret", "~*", "+@all", "resetchannels", "&open*"}) {}
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(real_redis_subscriber, fixture,
                         *boost::unit_test::precondition(redis_server::is_installed))

BOOST_AUTO_TEST_CASE(each_kind_of_subscription_gets_its_messages) {
    auto& r = connected();
    const auto one = r.subscribe("news", note());
    r.psubscribe("news.*", note());
    r.ssubscribe("shard", note());
    settled();
    BOOST_TEST(r.is_subscribed(one));
    BOOST_TEST(publish("news", "1:0") == 1);
    BOOST_TEST(publish("news.sport", "") == 1);
    BOOST_TEST(ask("SPUBLISH", "shard", "a\r\nb").integer() == 1);
    until([&] { return seen.size() == 3; }, "messages");
    BOOST_TEST(seen == (strings{"news||1:0", "news.sport|news.*|", "shard||a\r\nb"}));
    r.unsubscribe(one);
    settled();
    BOOST_TEST(publish("news", "nobody gets this") == 0);
    client.reset();
    until([&] { return publish("news.sport", "nobody gets this") == 0; }, "its end");
    BOOST_TEST(ask("SPUBLISH", "shard", "nobody gets this").integer() == 0);
}

BOOST_AUTO_TEST_CASE(many_subscriptions_are_confirmed) {
    auto& r = connected({.outbox = 1});
    for (int i = 0; i < 10'000; ++i) r.subscribe(fmt::format("channel {}", i), note());
    settled();
    for (int i = 0; i < 10'000; i += 499)
        BOOST_TEST(publish(fmt::format("channel {}", i), "x") == 1);
    until([&] { return seen.size() == 21; }, "messages");
}

BOOST_AUTO_TEST_CASE(it_subscribes_again_when_the_server_is_killed_and_restarted) {
    auto& r = connected();
    r.subscribe("a", note());
    r.psubscribe("p*", note());
    settled();
    for (std::size_t i = 1; i <= 3; ++i) {
        redis.kill();
        until([&] { return !r.is_settled(); }, "the end of the connection");
        redis.start();
        gap(i);
        wait_until_ready();
        BOOST_TEST(publish("a", std::to_string(i)) == 1);
        until([&] { return seen.size() == i; }, "a message");
        BOOST_TEST((gaps.back().subscribed >= gaps.back().last_received));
    }
    BOOST_TEST(seen == (strings{"a||1", "a||2", "a||3"}));
}

BOOST_AUTO_TEST_CASE(it_subscribes_again_when_its_connection_is_killed) {
    auto& r = connected();
    r.subscribe("a", note());
    settled();
    for (std::size_t i = 1; i <= 3; ++i) {
        BOOST_TEST(ask("CLIENT", "KILL", "TYPE", "pubsub").integer() == 1);
        gap(i);
        BOOST_TEST(gaps.back().why == errc::closed);
        BOOST_TEST(publish("a", std::to_string(i)) == 1);
    }
    until([&] { return seen.size() == 3; }, "messages");
}

BOOST_AUTO_TEST_CASE(a_pause_delays_confirmations_and_ends_nothing) {
    auto& r = connected();
    const auto one = r.subscribe("a", note());
    settled();
    BOOST_TEST((ask("CLIENT", "PAUSE", 1000, "ALL") == ice::resp_simple_string("OK")));
    const auto two = r.subscribe("b", note());
    for (int i = 0; i < 10; ++i) settle();
    BOOST_TEST(r.is_subscribed(one));
    BOOST_TEST(!r.is_subscribed(two));
    settled();
    BOOST_TEST(publish("b", "1") == 1);
    until([&] { return seen.size() == 1; }, "a message");
    BOOST_TEST(gaps.empty());
}

BOOST_AUTO_TEST_CASE(a_server_that_hangs_is_found_by_a_heartbeat) {
    auto& r = connected({.heartbeat = 100ms});
    r.subscribe("a", note());
    settled();
    redis.stop();
    until([&] { return r.link().counters().heartbeats_lost != 0; }, "the end");
    redis.resume();
    gap(1);
    BOOST_TEST(gaps[0].why == errc::idle_timeout);
    settled();
    const auto beats = r.link().counters().heartbeats;
    until([&] { return r.link().counters().heartbeats > beats + 2; }, "heartbeats");
    settled();
    BOOST_TEST(gaps.size() == 1U, "PONG keeps the connection");
    BOOST_TEST(r.counters().unexpected == 0U);
}

// The danger: a reply that says "busy" ends a subscription for ever.
BOOST_AUTO_TEST_CASE(a_server_that_is_busy_with_a_script_is_asked_again) {
    ask("CONFIG", "SET", "busy-reply-threshold", "1");
    auto& r = connected({.retry_interval = 20ms});
    const auto ended = [](ice::pool<ice::resp>& p, bool& is) -> ice::task<> {
        (void)co_await p.request(ice::resp_command("EVAL", "while true do end", 0), 10s);
        is = true;
    };
    bool has_ended = false;
    srv.spawn(ended(*pool, has_ended), "script");
    auto& other = srv.add(ice::tcp_client_action<ice::resp>{redis.where(), "other", 1});
    const auto is_busy = [&] {
        const auto pong = run(other.request(ice::resp_command("PING"), 1s));
        return pong && pong->text().starts_with("BUSY");
    };
    until(is_busy, "a busy server");
    const auto one = r.subscribe("a", note());
    until([&] { return r.counters().refused >= 2; }, "refusals");
    BOOST_TEST_REQUIRE(errors.size() == 1U);
    BOOST_TEST(errors[0].starts_with("SUBSCRIBE 'a': BUSY "), errors[0]);
    (void)run(other.request(ice::resp_command("SCRIPT", "KILL"), 5s));
    until([&] { return has_ended && r.is_subscribed(one); }, "the subscription");
    BOOST_TEST(r.link().counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(a_slow_subscriber_is_disconnected_and_has_a_gap) {
    // The server closes the connection of a subscriber whose output buffer is full.
    ask("CONFIG", "SET", "client-output-buffer-limit", "pubsub 64kb 64kb 0");
    auto& r = connected();
    r.subscribe("flood", [this](const auto& m) { seen.emplace_back(m.payload.substr(0, 8)); });
    settled();
    // Another thread of the test would be needed to publish while the loop stands still; here a
    // socket of its own is. What it sends is bounded by what the server reads.
    asio::io_context own;
    asio::local::stream_protocol::socket publisher(own);
    publisher.connect(redis.where().path());
    std::string flood;
    const int sent = 200;
    for (int i = 0; i < sent; ++i)
        flood += ice::resp_command("PUBLISH", "flood",
                                   fmt::format("{:08}{}", i, std::string(100'000, 'x')))
                     .bytes();
    asio::write(publisher, asio::buffer(flood));
    std::string replies(4 * static_cast<std::size_t>(sent), '\0');
    asio::read(publisher, asio::buffer(replies));  // ":1\r\n", and ":0\r\n" when it is gone
    BOOST_TEST(replies.starts_with(":1\r\n"));
    BOOST_TEST(replies.ends_with(":0\r\n"));
    gap(1);
    BOOST_TEST(seen.size() < static_cast<std::size_t>(sent));
    for (std::size_t i = 0; i < seen.size(); ++i) BOOST_TEST(seen[i] == fmt::format("{:08}", i));
    const std::size_t before = seen.size();
    BOOST_TEST(publish("flood", "after") == 1);
    until([&] { return seen.size() == before + 1; }, "a message");
    BOOST_TEST(seen.back() == "after");
    settled();
    BOOST_TEST(gaps.size() == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_channel_without_permission_is_told_and_asked_for_again, with_acl) {
    auto& r =
        connected({.login = {.user = "app", .password = "app secret"}, .retry_interval = 20ms});
    const auto a = r.subscribe("open 1", note()), b = r.subscribe("secret", note());
    const auto c = r.subscribe("open 2", note()), d = r.psubscribe("open*", note());
    until([&] { return r.is_subscribed(d); }, "confirmations");
    BOOST_TEST(r.is_subscribed(a));
    BOOST_TEST(!r.is_subscribed(b));
    BOOST_TEST(r.is_subscribed(c));
    until([&] { return r.counters().refused >= 3; }, "refusals");
    BOOST_TEST_REQUIRE(errors.size() == 1U);
    BOOST_TEST(errors[0].starts_with("SUBSCRIBE 'secret': NOPERM "), errors[0]);
    ask("ACL", "SETUSER", "app", "&secret");
    until([&] { return r.is_subscribed(b); }, "the subscription");
    BOOST_TEST(gaps.empty());
    // A permission that is taken away ends the connection.
    ask("ACL", "SETUSER", "app", "resetchannels", "&open*");
    gap(1);
    BOOST_TEST(!r.is_subscribed(b));
    BOOST_TEST(errors.size() == 2U);
}

BOOST_FIXTURE_TEST_CASE(a_wrong_password_is_told_by_the_link, with_acl) {
    ice::redis_subscriber r(srv, redis.where(),
                            {.login = {.user = "app", .password = "no secret"}});
    until([&] { return !!r.link().why(); }, "a refusal");
    BOOST_TEST(r.link().why().message() ==
               "WRONGPASS invalid username-password pair or user is disabled.");
    BOOST_TEST(!logged("no secret"));
}

// -- client-side caching

BOOST_AUTO_TEST_CASE(keys_that_others_change_are_invalidated) {
    auto& r = connected();
    const auto keep = [this](std::optional<std::string_view> key) {
        seen.emplace_back(key.value_or("all"));
    };
    r.invalidations(keep, {"user:", "item:"});
    until([&] { return r.is_tracking(); }, "tracking");
    ask("SET", "user:1", "x");
    ask("SET", "other:1", "x");
    ask("MSET", "item:1", "x", "item:2", "x");
    ask("SELECT", 3);
    ask("SET", "user:2", "x", "PX", 100);
    until([&] { return seen.size() >= 6; }, "invalidations");  // the last: it expires
    BOOST_TEST(seen == (strings{"all", "user:1", "item:1", "item:2", "user:2", "user:2"}));
    ask("FLUSHALL");
    until([&] { return seen.size() == 7; }, "all");
    BOOST_TEST(seen.back() == "all");
    r.invalidations(keep);
    until([&] { return r.is_tracking(); }, "tracking");
    ask("SET", "other:1", "x");
    until([&] { return seen.size() == 9; }, "invalidations");
    BOOST_TEST(seen.back() == "other:1");
    r.invalidations(nullptr);
    settled();
    const auto info = ask("CLIENT", "LIST", "TYPE", "normal");
    BOOST_TEST(info.text().find(" flags=t") == std::string_view::npos);
    BOOST_TEST(r.counters().unexpected == 0U);
}

BOOST_AUTO_TEST_CASE(prefixes_that_overlap_are_refused) {
    auto& r = connected();
    r.invalidations([](auto) {}, {"user:", "user:1"});
    until([&] { return !errors.empty(); }, "a refusal");
    BOOST_TEST(errors[0].starts_with("CLIENT TRACKING: ERR Prefix 'user:"), errors[0]);
    r.invalidations([](auto) {}, {"user:"});
    until([&] { return r.is_tracking(); }, "tracking");
}

BOOST_AUTO_TEST_CASE(a_cache_is_right_while_the_server_comes_and_goes) {
    // One key, which another client changes; the cache reads it over the pool.
    auto& r = connected();
    std::optional<std::string> cached;
    int drops = 0;
    r.invalidations([&](std::optional<std::string_view>) {
        cached.reset();
        ++drops;
    });
    r.subscribe("a", note());
    std::string stored;
    const auto get = [&] {
        if (cached) return *cached;
        const int before = drops;
        const std::string text(ask("GET", "k").text());
        if (r.is_tracking() && drops == before) cached = text;
        return text;
    };
    int hits = 0;
    for (int i = 0; i < 6; ++i) {
        until([&] { return r.is_tracking(); }, "tracking");
        stored = std::to_string(i);
        const int before = drops;
        ask("SET", "k", stored);
        until([&] { return drops != before; }, "an invalidation");
        for (int n = 0; n < 5; ++n) {
            if (cached) ++hits;
            BOOST_TEST(get() == stored);
        }
        if (i % 2 == 0) {
            redis.kill();
            until([&] { return !r.is_tracking(); }, "the end of the connection");
            BOOST_TEST(!cached.has_value());
            redis.start();
            wait_until_ready();
            BOOST_TEST(get() == "", "it stores nothing on disk");
        } else {
            ask("CLIENT", "KILL", "TYPE", "pubsub");
            until([&] { return !r.is_tracking(); }, "the end of the connection");
            BOOST_TEST(!cached.has_value());
        }
    }
    BOOST_TEST(hits == 24);
}

BOOST_AUTO_TEST_SUITE_END()
