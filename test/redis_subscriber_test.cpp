// redis_subscriber: subscriptions, gaps and invalidations, in virtual time against a small broker.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/redis_subscriber.hpp>
#include <ice/testing/sim.hpp>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"
#include "redis_broker.hpp"

namespace {

using namespace std::chrono_literals;
using ice::errc;
using strings = std::vector<std::string>;

const ice::address where{"10.0.0.1", 6379};

struct fixture {
    ice::redis_subscriber& add(ice::redis_subscriber_options o = {}) {
        client.emplace(*srv, where, std::move(o));
        client->on_gap([this](const ice::redis_gap& g) { gaps.push_back(g); });
        client->on_error([this](std::string_view text) { errors.emplace_back(text); });
        sim.run_for(1ms);
        return *client;
    }
    ice::redis_subscriber::handler note() {
        return [this](const ice::redis_message_view& m) { seen.emplace_back(m.payload); };
    }
    void cache() {
        client->invalidations([this](std::optional<std::string_view> key) {
            dropped.emplace_back(key.value_or("all"));
        });
    }
    std::size_t count(std::string_view command) const {
        return static_cast<std::size_t>(
            std::count(broker.got.begin(), broker.got.end(), std::string(command)));
    }

    ice::testing::simulation sim;
    test::redis_broker broker{sim, where};
    std::unique_ptr<quiet_server> srv = std::make_unique<quiet_server>(sim.net());
    std::optional<ice::redis_subscriber> client;
    strings seen, errors, dropped;
    std::vector<ice::redis_gap> gaps;
};

// [news]
struct headlines {
    explicit headlines(ice::redis_subscriber& redis) {
        redis.psubscribe("news.*", [this](const ice::redis_message_view& m) {
            latest[std::string(m.channel)] = m.payload;
        });
        // Messages may be missing: what is there is not known to be the latest.
        redis.on_gap([this](const ice::redis_gap&) { latest.clear(); });
    }
    std::map<std::string, std::string> latest;
};
// [news]

// [cache]
struct cached_values {
    cached_values(ice::redis_subscriber& r, ice::pool<ice::resp>& p) : redis(r), pool(p) {
        redis.invalidations([this](std::optional<std::string_view> key) {
            ++drops;
            if (key) values.erase(std::string(*key));
            else values.clear();
        });
    }

    ice::task<std::string> get(std::string key) {
        const auto found = values.find(key);
        if (found != values.end()) co_return found->second;
        const auto before = drops;
        const auto reply = co_await pool.request(ice::resp_command("GET", key), 200ms);
        if (!reply || reply->is_error()) co_return "";
        const std::string value(reply->text());
        // An invalidation that came meanwhile may be that of this key, and later than the reply.
        if (redis.is_tracking() && drops == before) values[key] = value;
        co_return value;
    }

    ice::redis_subscriber& redis;
    ice::pool<ice::resp>& pool;
    std::map<std::string, std::string> values;
    std::uint64_t drops = 0;
};
// [cache]

}  // namespace

BOOST_FIXTURE_TEST_SUITE(redis_subscriber, fixture)

BOOST_AUTO_TEST_CASE(each_kind_of_subscription_gets_its_messages) {
    auto& redis = add();
    const auto show = [this](const ice::redis_message_view& m) {
        seen.push_back(fmt::format("{}|{}|{}", m.channel, m.pattern, m.payload));
    };
    const auto one = redis.subscribe("news", show);
    redis.psubscribe("news.*", show);
    redis.ssubscribe("shard", show);
    BOOST_TEST(!redis.is_subscribed(one));
    BOOST_TEST(!redis.is_settled());
    sim.run_for(1ms);
    BOOST_TEST(redis.is_subscribed(one));
    BOOST_TEST(redis.is_settled());
    broker.publish("news", "1:0");
    broker.publish("news.sport", "two\r\nlines");
    broker.publish("other", "not this");
    broker.spublish("shard", "");
    sim.run_for(1ms);
    BOOST_TEST(seen == (strings{"news||1:0", "news.sport|news.*|two\r\nlines", "shard||"}));
    BOOST_TEST(redis.counters().messages == 3U);
    BOOST_TEST(broker.got.at(0) == "HELLO 3");
}

BOOST_AUTO_TEST_CASE(one_subscription_of_the_server_serves_all_handlers) {
    auto& redis = add();
    const auto one = redis.subscribe("a", note()), two = redis.subscribe("a", note());
    sim.run_for(1ms);
    const auto three = redis.subscribe("a", note());
    BOOST_TEST(redis.is_subscribed(three), "the server has confirmed the channel");
    broker.publish("a", "x");
    sim.run_for(1ms);
    BOOST_TEST(seen == (strings{"x", "x", "x"}));
    BOOST_TEST(redis.counters().messages == 1U);
    redis.unsubscribe(two);
    redis.unsubscribe(one);
    redis.unsubscribe(one);
    redis.unsubscribe(77);
    sim.run_for(1ms);
    BOOST_TEST(count("UNSUBSCRIBE a") == 0U);
    redis.unsubscribe(three);
    sim.run_for(1ms);
    BOOST_TEST(count("SUBSCRIBE a") == 1U);
    BOOST_TEST(count("UNSUBSCRIBE a") == 1U);
    BOOST_TEST(broker.subscriptions().empty());
    BOOST_TEST(!redis.is_subscribed(three));
    BOOST_TEST(redis.is_settled());
}

BOOST_AUTO_TEST_CASE(a_new_connection_subscribes_to_all_in_one_write) {
    auto& redis = add();
    const auto gone = redis.subscribe("gone", note());
    redis.subscribe("a", note());
    redis.psubscribe("p*", note());
    redis.ssubscribe("s", note());
    cache();
    redis.unsubscribe(gone);
    sim.run_for(2s);
    broker.got.clear();
    broker.got_at.clear();
    broker.close_all();
    sim.run_for(2s);
    BOOST_TEST(broker.got == (strings{"HELLO 3", "SUBSCRIBE a", "PSUBSCRIBE p*", "SSUBSCRIBE s",
                                      "CLIENT TRACKING ON BCAST"}));
    for (const auto at : broker.got_at)
        BOOST_TEST((at == broker.got_at.back() || at == broker.got_at[0]));
    broker.publish("a", "still");
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"still"});
}

// The danger: a handler that relies on the first message after its confirmation gets older ones.
BOOST_AUTO_TEST_CASE(a_subscription_begins_with_its_own_confirmation) {
    auto& redis = add();
    const auto one = redis.subscribe("a", [](const ice::redis_message_view&) {});
    sim.run_for(1ms);
    redis.unsubscribe(one);
    const auto two = redis.subscribe("a", note());
    BOOST_TEST(!redis.is_subscribed(two));
    broker.publish("a", "of the old subscription");
    sim.run_for(1ms);
    BOOST_TEST(redis.is_subscribed(two));
    BOOST_TEST(seen.empty());
    BOOST_TEST(redis.counters().ignored == 1U);
    broker.publish("a", "new");
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"new"});
    BOOST_TEST(count("SUBSCRIBE a") == 2U);
}

// -- gaps

BOOST_AUTO_TEST_CASE(a_lost_connection_makes_a_gap) {
    auto& redis = add();
    redis.subscribe("a", note());
    sim.run_for(5s);
    BOOST_TEST(gaps.empty(), "the first connection makes none");
    broker.publish("a", "last");
    sim.run_for(1ms);
    const auto last = sim.now();
    sim.run_for(3s);
    broker.close_all();
    sim.run_for(1ms);
    broker.publish("a", "nobody gets this");
    sim.run_for(1ms);
    BOOST_TEST(gaps.empty(), "it is not subscribed yet");
    sim.run_for(1s);
    BOOST_TEST_REQUIRE(gaps.size() == 1U);
    BOOST_TEST(gaps[0].why == errc::closed);
    BOOST_TEST((gaps[0].last_received <= last && gaps[0].last_received > last - 1ms));
    BOOST_TEST((gaps[0].subscribed > last + 3s && gaps[0].subscribed < sim.now()));
    BOOST_TEST(redis.counters().gaps == 1U);
    sim.run_for(1h);
    BOOST_TEST(gaps.size() == 1U);
    broker.close_all();
    sim.run_for(1min);
    BOOST_TEST_REQUIRE(gaps.size() == 2U);
    BOOST_TEST((gaps[1].last_received > gaps[0].subscribed));
}

// The danger: what the report reads from elsewhere lacks what comes before the last confirmation.
BOOST_AUTO_TEST_CASE(a_gap_is_told_when_all_subscriptions_are_effective) {
    auto& redis = add();
    bool was_settled = false;
    redis.on_gap([&](const ice::redis_gap& g) {
        gaps.push_back(g);
        was_settled = redis.is_settled();
    });
    redis.subscribe("a", note());
    redis.subscribe("b", note());
    sim.run_for(2s);
    const auto before = sim.now();
    broker.answers = false;
    broker.close_all();
    sim.run_for(1s);
    BOOST_TEST(redis.link().is_connected());
    const auto confirm = [this](const char* channel) {
        broker.send(ice::resp_push({ice::resp_bulk_string("subscribe"),
                                    ice::resp_bulk_string(channel), ice::resp_integer(1)}));
        sim.run_for(1s);
    };
    confirm("a");
    BOOST_TEST(gaps.empty());
    broker.close_all();  // which makes no second gap, and no later one
    sim.run_for(2s);
    confirm("a");
    BOOST_TEST(gaps.empty());
    confirm("b");
    BOOST_TEST_REQUIRE(gaps.size() == 1U);
    BOOST_TEST(was_settled);
    BOOST_TEST((gaps[0].last_received < before));
}

BOOST_AUTO_TEST_CASE(several_connections_that_end_early_make_one_gap) {
    auto& redis = add();
    redis.subscribe("a", note());
    sim.run_for(2s);
    const auto before = sim.now();
    broker.send(ice::resp_value("?\r\n"));  // not RESP
    broker.answers = false;
    for (int i = 0; i < 3; ++i) {
        sim.run_for(5s);
        BOOST_TEST(redis.link().is_connected());
        BOOST_TEST(!redis.is_settled());
        broker.close_all();
        sim.run_for(1ms);
    }
    BOOST_TEST(gaps.empty());
    broker.answers = true;
    sim.run_for(5s);
    BOOST_TEST_REQUIRE(gaps.size() == 1U);
    BOOST_TEST(gaps[0].why == errc::bad_message, "of the first");
    BOOST_TEST((gaps[0].last_received <= before));
    BOOST_TEST(redis.counters().gaps == 1U);
}

BOOST_AUTO_TEST_CASE(without_a_subscription_that_was_lost_there_is_no_gap) {
    auto& redis = add();
    cache();
    const auto gone = redis.subscribe("gone", note());
    sim.run_for(2s);
    broker.close_all();
    redis.unsubscribe(gone);
    sim.run_for(1ms);
    redis.subscribe("new", note());
    sim.run_for(5s);
    BOOST_TEST(redis.is_settled());
    broker.close_all();
    sim.run_for(5s);
    BOOST_TEST(gaps.size() == 1U, "of the second connection alone");
}

BOOST_AUTO_TEST_CASE(without_a_report_the_log_has_the_gap) {
    strings log;
    srv->log().to([&](ice::log_level, std::string_view line) { log.emplace_back(line); });
    auto& redis = add();
    redis.on_gap(nullptr);
    redis.subscribe("a", note());
    sim.run_for(2s);
    broker.close_all();
    sim.run_for(2s);
    BOOST_TEST(log.back().starts_with("link 'redis': messages of 2."), log.back());
    BOOST_TEST(
        log.back().ends_with(" s may be missing: " + make_error_code(errc::closed).message()));
}

// -- refusals

BOOST_AUTO_TEST_CASE(a_refused_subscription_is_told_once_and_tried_again) {
    auto& redis = add({.retry_interval = 7s});
    broker.denied = {"secret"};
    const auto a = redis.subscribe("a", note()), secret = redis.subscribe("secret", note()),
               b = redis.subscribe("b", note());
    sim.run_for(1min);
    BOOST_TEST(errors == strings{"SUBSCRIBE 'secret': NOPERM no permissions for this channel"});
    BOOST_TEST(redis.counters().refused == 9U);
    BOOST_TEST(redis.is_subscribed(a));
    BOOST_TEST(!redis.is_subscribed(secret));
    BOOST_TEST(redis.is_subscribed(b));
    BOOST_TEST(redis.link().counters().connects == 1U);
    broker.denied.clear();
    sim.run_for(7s);
    BOOST_TEST(redis.is_subscribed(secret));
    BOOST_TEST(gaps.empty());
    BOOST_TEST(count("SUBSCRIBE a") == 1U);
    BOOST_TEST(count("SUBSCRIBE secret") == 10U);
    broker.denied = {"secret"};
    broker.close_all();
    sim.run_for(2s);
    BOOST_TEST(errors.size() == 2U, "the same text, after it was subscribed");
    redis.unsubscribe(secret);
    sim.run_for(1min);
    BOOST_TEST(count("SUBSCRIBE secret") == 11U);
    BOOST_TEST(count("UNSUBSCRIBE secret") == 0U);
}

// The danger: it lost messages while it was refused, and nobody would tell.
BOOST_AUTO_TEST_CASE(a_gap_lasts_while_a_subscription_is_refused) {
    auto& redis = add();
    redis.subscribe("a", note());
    redis.subscribe("b", note());
    sim.run_for(2s);
    broker.denied = {"b"};
    broker.close_all();
    sim.run_for(2s);
    BOOST_TEST(gaps.size() == 1U, "of a");
    sim.run_for(1min);
    BOOST_TEST(gaps.size() == 1U);
    broker.denied.clear();
    sim.run_for(10s);
    BOOST_TEST_REQUIRE(gaps.size() == 2U);
    BOOST_TEST((gaps[1].last_received == gaps[0].last_received));
    sim.run_for(1min);
    BOOST_TEST(gaps.size() == 2U);
}

// The danger: an old loss is told for a new gap, which then seems to be hours long.
BOOST_AUTO_TEST_CASE(each_subscription_has_its_own_gap) {
    auto& redis = add();
    redis.subscribe("a", note());
    const auto refused = redis.subscribe("b", note());
    sim.run_for(2s);
    broker.denied = {"b"};
    for (int i = 0; i < 2; ++i) {
        broker.close_all();
        sim.run_for(1min);
    }
    BOOST_TEST_REQUIRE(gaps.size() == 2U);
    BOOST_TEST((gaps[1].last_received > gaps[0].subscribed));
    redis.unsubscribe(refused);
    broker.close_all();
    sim.run_for(1min);
    BOOST_TEST_REQUIRE(gaps.size() == 3U);
    BOOST_TEST((gaps[2].last_received > gaps[1].subscribed));
}

// The danger: its reply counts as that of a subscription, and all behind it are shifted by one.
BOOST_AUTO_TEST_CASE(the_reply_of_a_heartbeat_is_no_reply_of_a_subscription) {
    broker.error_of_ping = "LOADING Redis is loading the dataset in memory";
    auto& redis = add({.heartbeat = 10s});
    broker.answers = false;
    const auto a = redis.subscribe("a", note());
    sim.run_for(11s);
    BOOST_TEST(count("PING") == 1U);
    const auto b = redis.subscribe("b", note());
    sim.run_for(1ms);
    broker.send(ice::resp_push(
        {ice::resp_bulk_string("subscribe"), ice::resp_bulk_string("a"), ice::resp_integer(1)}));
    broker.send(ice::resp_error("LOADING"));
    broker.send(ice::resp_error("NOPERM b"));
    sim.run_for(1ms);
    BOOST_TEST(redis.is_subscribed(a));
    BOOST_TEST(!redis.is_subscribed(b));
    BOOST_TEST(errors == strings{"SUBSCRIBE 'b': NOPERM b"});
    BOOST_TEST(redis.counters().refused == 1U);
    BOOST_TEST(redis.counters().unexpected == 0U);
    BOOST_TEST(redis.link().counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(a_reply_to_nothing_ends_the_connection) {
    // Which of the next replies is whose could not be known any more.
    auto& redis = add();
    redis.subscribe("a", note());
    for (const auto& reply : {ice::resp_simple_string("OK"), ice::resp_error("ERR"),
                              ice::resp_push({ice::resp_bulk_string("subscribe"),
                                              ice::resp_bulk_string("b"), ice::resp_integer(1)})}) {
        sim.run_for(2s);
        BOOST_TEST(redis.is_settled());
        gaps.clear();
        broker.send(reply);
        sim.run_for(2s);
        BOOST_TEST(gaps.size() == 1U);
    }
    BOOST_TEST(redis.counters().unexpected == 3U);
    broker.answers = false;
    redis.subscribe("b", note());
    sim.run_for(1ms);
    broker.send(ice::resp_simple_string("OK"));
    broker.answers = true;
    sim.run_for(5s);
    BOOST_TEST(redis.counters().unexpected == 4U);
    BOOST_TEST(redis.is_settled());
}

BOOST_AUTO_TEST_CASE(pushes_that_it_does_not_know_are_ignored) {
    auto& redis = add();
    redis.subscribe("a", note());
    sim.run_for(1ms);
    for (const char* bytes : {">0\r\n", ">1\r\n:7\r\n", ">1\r\n$7\r\nmessage\r\n",
                              ">5\r\n$1\r\na\r\n:1\r\n:2\r\n:3\r\n:4\r\n",
                              ">2\r\n$10\r\ninvalidate\r\n:1\r\n", ">1\r\n$10\r\ninvalidate\r\n"})
        broker.send(ice::resp_value(bytes));
    sim.run_for(1ms);
    BOOST_TEST(redis.link().counters().connects == 1U);
    BOOST_TEST(redis.is_settled());
    BOOST_TEST(redis.counters().ignored == 4U);
}

BOOST_AUTO_TEST_CASE(a_subscription_that_the_server_ends_is_asked_for_again) {
    auto& redis = add();
    redis.ssubscribe("s", note());
    sim.run_for(2s);
    broker.end_shard("s");
    sim.run_for(2s);
    BOOST_TEST(errors == strings{"SSUBSCRIBE 's': the server has ended the subscription"});
    BOOST_TEST(gaps.size() == 1U);
    broker.spublish("s", "again");
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"again"});
}

// The danger: Redis refuses overlapping prefixes for ever, and what is left keeps sending.
BOOST_AUTO_TEST_CASE(an_end_that_is_refused_ends_the_connection) {
    auto& redis = add();
    cache();
    sim.run_for(2s);
    broker.denied = {"TRACKING"};  // as BUSY
    redis.invalidations([](auto) {}, {"user:"});
    sim.run_for(1ms);
    broker.denied.clear();
    sim.run_for(2s);
    BOOST_TEST(redis.link().counters().reconnects == 1U);
    BOOST_TEST(redis.is_tracking());
    BOOST_TEST(broker.tracked == "CLIENT TRACKING ON BCAST PREFIX user:");
    const auto one = redis.subscribe("a", note());
    sim.run_for(2s);
    broker.denied = {"a"};
    redis.unsubscribe(one);
    sim.run_for(2s);
    BOOST_TEST(redis.link().counters().reconnects == 2U);
    BOOST_TEST(broker.subscriptions().empty());
    BOOST_TEST(redis.is_settled());
}

// -- health and bounds

BOOST_AUTO_TEST_CASE(a_silent_server_is_left) {
    auto& redis = add({.heartbeat = 10s});
    redis.subscribe("a", note());
    sim.run_for(1h);
    BOOST_TEST(redis.link().counters().connects == 1U, "PONG keeps the connection");
    broker.answers = false;
    sim.run_for(30s);
    BOOST_TEST(redis.link().counters().heartbeats_lost == 1U);
    broker.answers = true;
    sim.run_for(1min);
    BOOST_TEST_REQUIRE(gaps.size() == 1U);
    BOOST_TEST(gaps[0].why == errc::idle_timeout);
}

BOOST_AUTO_TEST_CASE(a_server_without_resp3_is_refused_with_its_text) {
    broker.has_resp3 = false;
    auto& redis = add();
    redis.subscribe("a", note());
    BOOST_TEST(!redis.link().is_connected());
    BOOST_TEST(redis.link().why().message() == "ERR unknown command 'HELLO'");
    broker.has_resp3 = true;  // it was replaced
    sim.run_for(1min);
    BOOST_TEST(redis.is_settled());
    BOOST_TEST(gaps.empty());
    BOOST_TEST(count("SUBSCRIBE a") == 1U);
}

BOOST_AUTO_TEST_CASE(more_subscriptions_than_the_outbox_holds_are_sent_in_turn) {
    auto& redis = add({.outbox = 1});
    std::vector<std::uint64_t> numbers;
    for (int i = 0; i < 500; ++i)
        numbers.push_back(redis.subscribe(fmt::format("{:0>100}", i), note()));
    for (int round = 0; round < 2; ++round) {
        sim.run_for(1s);
        BOOST_TEST(broker.subscriptions().size() == 500U);
        for (const auto n : numbers) BOOST_TEST_REQUIRE(redis.is_subscribed(n));
        BOOST_TEST(redis.is_settled());
        sim.run_for(1s);
        broker.close_all();
        sim.run_for(1s);
    }
    BOOST_TEST(gaps.size() == 2U);
    BOOST_TEST(redis.link().counters().connects == 3U);
    broker.close_all();
    BOOST_TEST(sim.run_until([&] { return broker.subscriptions().empty(); }));
    BOOST_TEST(sim.run_until([&] { return broker.subscriptions().size() >= 30U; }));
    BOOST_TEST(broker.subscriptions().size() < 500U, "others wait for their turn");
    broker.close_all();
    sim.run_for(5s);
    BOOST_TEST(broker.subscriptions().size() == 500U);
    for (const auto n : numbers) redis.unsubscribe(n);
    sim.run_for(1s);
    BOOST_TEST(broker.subscriptions().empty());
}

BOOST_AUTO_TEST_CASE(names_are_bounded) {
    auto& redis = add({.message = 1});
    const std::string longest(ice::redis_subscriber::name_limit, 'x');
    BOOST_CHECK_THROW(redis.subscribe(longest + "x", note()), std::invalid_argument);
    BOOST_CHECK_THROW(redis.psubscribe(longest + "x", note()), std::invalid_argument);
    BOOST_CHECK_THROW(redis.invalidations([](auto) {}, {longest}), std::invalid_argument);
    redis.subscribe(longest, note());
    redis.subscribe("", note());
    sim.run_for(1ms);
    BOOST_TEST(redis.is_settled());
    broker.publish(longest, "1");
    broker.publish("", "2");
    sim.run_for(1ms);
    BOOST_TEST(seen == (strings{"1", "2"}));
}

BOOST_AUTO_TEST_CASE(a_message_beyond_the_limit_makes_a_gap) {
    auto& redis = add({.message = 100'000});
    redis.subscribe("a", note());
    sim.run_for(2s);
    broker.publish("a", std::string(99'000, 'x'));
    sim.run_for(1s);
    BOOST_TEST(seen.size() == 1U);
    broker.publish("a", std::string(101'000, 'x'));
    sim.run_for(2s);
    BOOST_TEST_REQUIRE(gaps.size() == 1U);
    BOOST_TEST(gaps[0].why == errc::message_too_large);
}

// -- handlers

BOOST_AUTO_TEST_CASE(a_handler_that_throws_keeps_no_message_from_others) {
    strings log;
    srv->log().to([&](ice::log_level, std::string_view line) { log.emplace_back(line); });
    auto& redis = add();
    redis.subscribe("a", [](const auto&) { throw std::runtime_error("of a handler"); });
    redis.subscribe("a", note());
    sim.run_for(1ms);
    broker.publish("a", "1");
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"1"});
    BOOST_TEST(redis.counters().handler_threw == 1U);
    BOOST_TEST(log.back() == "link 'redis': a handler of 'a' threw: of a handler");
    BOOST_TEST(redis.link().counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(a_handler_may_subscribe_and_unsubscribe) {
    auto& redis = add();
    std::uint64_t self = 0, other = 0, later = 0;
    self = redis.subscribe("a", [&](const ice::redis_message_view& m) {
        seen.push_back("self " + std::string(m.payload));
        redis.unsubscribe(self);
        redis.unsubscribe(other);
        for (int i = 0; i < 10; ++i) later = redis.subscribe("a", note());
    });
    other = redis.subscribe("a", note());
    sim.run_for(1ms);
    broker.publish("a", "1");
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"self 1"});
    BOOST_TEST(redis.is_subscribed(later));
    broker.publish("a", "2");
    sim.run_for(1ms);
    BOOST_TEST(seen.size() == 11U);
    BOOST_TEST(broker.subscriptions() == strings{"SUBSCRIBE a"});
}

BOOST_AUTO_TEST_CASE(handlers_that_come_and_go_keep_no_message_from_others) {
    auto& redis = add();
    std::uint64_t first = 0;
    const auto add_noting = [&](const char* who) {
        redis.subscribe("a", [this, who](const auto&) { seen.emplace_back(who); });
    };
    first = redis.subscribe("a", [&](const ice::redis_message_view&) {
        redis.unsubscribe(first);
        add_noting("new");
    });
    add_noting("second");
    add_noting("third");
    sim.run_for(1ms);
    broker.publish("a", "1");
    sim.run_for(1ms);
    BOOST_TEST(seen == (strings{"second", "third"}), "who subscribes meanwhile gets the next one");
    seen.clear();
    broker.publish("a", "2");
    sim.run_for(1ms);
    BOOST_TEST(seen == (strings{"second", "third", "new"}));
}

// The danger: what waits for its turn is sent behind the UNSUBSCRIBE of the end.
BOOST_AUTO_TEST_CASE(a_subscriber_that_ends_sends_no_further_command) {
    broker.denied = {"000"};
    auto& redis = add({.outbox = 1});
    redis.on_error([this](std::string_view) { client.reset(); });
    for (int i = 0; i < 500; ++i) redis.subscribe(fmt::format("{:03}", i), note());
    sim.run_for(1s);
    BOOST_TEST(!client.has_value());
    BOOST_TEST(broker.subscriptions().empty());
}

BOOST_AUTO_TEST_CASE(a_handler_may_destroy_the_subscriber) {
    auto& redis = add();
    cache();
    redis.subscribe("a", [this](const ice::redis_message_view& m) {
        client.reset();
        seen.emplace_back(m.payload);
    });
    redis.subscribe("a", note());
    redis.subscribe("b", note());
    sim.run_for(1ms);
    broker.publish("a", "1");
    broker.publish("b", "nobody gets this");
    sim.run_for(1s);
    BOOST_TEST(seen == strings{"1"});
    BOOST_TEST(broker.subscriptions().empty());
    BOOST_TEST(broker.tracked == "CLIENT TRACKING OFF");
    BOOST_TEST(count("HELLO 3") == 1U);
    broker.close_all();
    sim.run_for(1min);
    BOOST_TEST(broker.clients() == 1U, "the link stays");
    BOOST_TEST(broker.tracked == "CLIENT TRACKING OFF");
    BOOST_TEST(broker.got.back() == "PING");
    BOOST_TEST(broker.subscriptions().empty());
}

BOOST_AUTO_TEST_CASE(each_report_may_destroy_the_subscriber) {
    for (const char* which : {"gap", "error", "key", "all", "lost"}) {
        const std::string what = which;
        fixture f;
        auto& redis = f.add();
        int calls = 0;
        const auto end = [&] {
            f.client.reset();
            ++calls;
        };
        redis.subscribe("a", f.note());
        if (what == "gap") redis.on_gap([&](const ice::redis_gap&) { end(); });
        if (what == "error") redis.on_error([&](std::string_view) { end(); });
        if (what == "key" || what == "lost")
            redis.invalidations([&](std::optional<std::string_view> key) {
                if (what == "key" ? key.has_value() : !f.broker.clients()) end();
            });
        f.sim.run_for(2s);
        if (what == "all") redis.invalidations([&](std::optional<std::string_view>) { end(); });
        if (what == "error") f.broker.denied = {"b"};
        if (what == "error") redis.subscribe("b", f.note());
        f.broker.invalidate({ice::resp_bulk_string("k1"), ice::resp_bulk_string("k2")});
        f.sim.run_for(2s);
        if (what == "gap" || what == "lost") f.broker.close_all();
        f.sim.run_for(5s);
        BOOST_TEST(calls == 1, what);
        BOOST_TEST(!f.client.has_value());
        BOOST_TEST(f.broker.subscriptions().empty());
        f.sim.run_for(1min);
    }
}

// Ends another subscription at its own end, as what a handler captures may do.
struct ends_another {
    ice::redis_subscriber& redis;
    std::uint64_t number = 0;
    std::shared_ptr<int> of_the_next = std::make_shared<int>();
    ~ends_another() {
        if (number == 0) return;
        redis.unsubscribe(number);
        redis.subscribe("c", [own = of_the_next](const auto&) {});
    }
};

BOOST_AUTO_TEST_CASE(the_end_of_a_handler_may_end_another_subscription) {
    auto& redis = add();
    auto guard = std::make_shared<ends_another>(redis);
    const auto one = redis.subscribe("a", [own = guard](const auto&) {});
    guard->number = redis.subscribe("a", note());
    const std::weak_ptr<ends_another> weak = guard;
    guard.reset();
    sim.run_for(1ms);
    redis.unsubscribe(one);
    BOOST_TEST(weak.expired());
    sim.run_for(1ms);
    BOOST_TEST(broker.subscriptions() == strings{"SUBSCRIBE c"});
    // The same at the end of the subscriber, within a handler that runs.
    guard = std::make_shared<ends_another>(redis);
    const std::weak_ptr<ends_another> last = guard;
    const std::weak_ptr<int> of_the_next = guard->of_the_next;
    redis.subscribe("d", [&](const auto&) {
        client.reset();
        seen.emplace_back(last.expired() ? "ended" : "its handlers live on");
    });
    guard->number = redis.subscribe("d", [own = guard](const auto&) {});
    redis.invalidations([own = guard](auto) {});
    guard.reset();
    sim.run_for(1ms);
    broker.publish("d", "1");
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"ended"});
    BOOST_TEST(of_the_next.expired());
    BOOST_TEST(broker.subscriptions().empty());
}

// The danger: it still uses the link, which the server has destroyed.
BOOST_AUTO_TEST_CASE(a_subscriber_may_outlive_its_server) {
    auto& redis = add();
    const auto one = redis.subscribe("a", note());
    cache();
    sim.run_for(1ms);
    broker.denied = {"b"};
    redis.subscribe("b", note());
    sim.run_for(1ms);
    srv.reset();
    sim.run_for(1min);
    BOOST_TEST(!redis.is_subscribed(one));
    BOOST_TEST(!redis.is_tracking());
    BOOST_TEST(!redis.is_settled());
    redis.unsubscribe(one);
    redis.unsubscribe(redis.subscribe("c", note()));
    redis.invalidations([](auto) {}, {"x"});
    redis.invalidations(nullptr);
    client.reset();
}

BOOST_AUTO_TEST_CASE(a_drain_ends_the_connection) {
    auto& redis = add();
    redis.subscribe("a", note());
    cache();
    broker.denied = {"b"};
    redis.subscribe("b", note());
    sim.run_for(2s);
    dropped.clear();
    srv->drain(30s);
    sim.run_for(3s);
    BOOST_TEST(broker.clients() == 0U);
    BOOST_TEST(gaps.empty());
    BOOST_TEST(dropped == strings{"all"});
    redis.subscribe("c", note());
    broker.stop();
    sim.run_for(1s);
    BOOST_TEST(sim.quiescent(), "it asks no server again");
}

// -- client-side caching

BOOST_AUTO_TEST_CASE(a_cache_is_told_which_keys_to_drop) {
    auto& redis = add();
    cache();
    BOOST_TEST(!redis.is_tracking());
    BOOST_TEST(dropped.empty());
    sim.run_for(1ms);
    BOOST_TEST(redis.is_tracking());
    BOOST_TEST(dropped == strings{"all"}, "what was read before is not tracked");
    broker.invalidate({ice::resp_bulk_string("k1"), ice::resp_bulk_string("k2")});
    broker.invalidate({ice::resp_bulk_string("k3")});
    broker.flush();
    sim.run_for(1ms);
    BOOST_TEST(dropped == (strings{"all", "k1", "k2", "k3", "all"}));
    BOOST_TEST(redis.counters().invalidations == 4U);
    BOOST_TEST(broker.tracked == "CLIENT TRACKING ON BCAST");
}

// The danger: an entry that was read before the gap is served for ever.
BOOST_AUTO_TEST_CASE(a_cache_is_dropped_at_both_ends_of_a_gap) {
    auto& redis = add();
    cache();
    sim.run_for(2s);
    dropped.clear();
    broker.close_all();
    sim.run_for(1ms);
    BOOST_TEST(dropped == strings{"all"}, "no invalidation comes any more");
    BOOST_TEST(!redis.is_tracking());
    sim.run_for(2s);
    BOOST_TEST(redis.is_tracking());
    BOOST_TEST(dropped == (strings{"all", "all"}));
    BOOST_TEST(gaps.empty());
}

BOOST_AUTO_TEST_CASE(invalidations_can_be_replaced_and_ended) {
    auto& redis = add();
    redis.invalidations([](auto) {}, {"user:", "item:"});
    sim.run_for(1ms);
    BOOST_TEST(broker.tracked == "CLIENT TRACKING ON BCAST PREFIX user: PREFIX item:");
    cache();
    BOOST_TEST(!redis.is_tracking());
    sim.run_for(1ms);
    BOOST_TEST(redis.is_tracking());
    BOOST_TEST(broker.got[broker.got.size() - 2] == "CLIENT TRACKING OFF");
    BOOST_TEST(broker.tracked == "CLIENT TRACKING ON BCAST");
    BOOST_TEST(dropped == strings{"all"});
    redis.invalidations(nullptr);
    sim.run_for(1ms);
    BOOST_TEST(!redis.is_tracking());
    BOOST_TEST(broker.tracked == "CLIENT TRACKING OFF");
    broker.invalidate({ice::resp_bulk_string("k")});
    broker.close_all();
    sim.run_for(2s);
    BOOST_TEST(dropped == strings{"all"});
    BOOST_TEST(broker.got.back() == "HELLO 3");
    // One that is replaced within itself has no further key of the same push.
    int calls = 0;
    redis.invalidations([&](auto key) {
        if (!key) return;
        ++calls;
        cache();
    });
    sim.run_for(1ms);
    dropped.clear();
    broker.invalidate({ice::resp_bulk_string("k1"), ice::resp_bulk_string("k2")});
    sim.run_for(1ms);
    BOOST_TEST(calls == 1);
    BOOST_TEST(dropped == strings{"all"});
}

// Replaces the handler of another, as what a handler captures may do at its end.
struct replaces_another {
    replaces_another(ice::redis_subscriber& r, ice::redis_subscriber::handler h)
        : redis(r), seen(std::move(h)) {}
    replaces_another(const replaces_another&) = delete;
    ~replaces_another() {
        redis.invalidations(
            [note = seen](std::optional<std::string_view> key) {
                if (key) note({{}, {}, *key});
            },
            {"last:"});
    }
    ice::redis_subscriber& redis;
    ice::redis_subscriber::handler seen;
};

BOOST_AUTO_TEST_CASE(the_end_of_a_handler_of_invalidations_may_replace_it) {
    auto& redis = add();
    redis.invalidations([own = std::make_shared<replaces_another>(redis, note())](auto) {});
    sim.run_for(1ms);
    cache();
    sim.run_for(1ms);
    BOOST_TEST(broker.tracked == "CLIENT TRACKING ON BCAST PREFIX last:");
    BOOST_TEST(redis.is_tracking());
    broker.invalidate({ice::resp_bulk_string("last:1")});
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"last:1"});
    BOOST_TEST(dropped.empty());
}

BOOST_AUTO_TEST_CASE(tracking_that_is_refused_is_told_and_tried_again) {
    auto& redis = add();
    broker.denied = {"TRACKING"};
    cache();
    sim.run_for(1min);
    BOOST_TEST(errors == strings{"CLIENT TRACKING: NOPERM tracking"});
    BOOST_TEST(!redis.is_tracking());
    BOOST_TEST(dropped.empty());
    broker.denied.clear();
    sim.run_for(10s);
    BOOST_TEST(redis.is_tracking());
    BOOST_TEST(dropped == strings{"all"});
}

// The dangers: a value that was replaced while its request was in flight, or while no invalidation
// could come.
BOOST_AUTO_TEST_CASE(the_cache_of_the_how_to_serves_no_stale_value) {
    auto& pool = srv->add(ice::tcp_client_action<ice::resp>{where, "pool", 1});
    auto& redis = add();
    cached_values c(redis, pool);
    sim.run_for(1ms);
    broker.values["k"] = "1";
    const auto set = [this](const char* value) {
        broker.values["k"] = value;
        broker.invalidate({ice::resp_bulk_string("k")});
        sim.run_for(1ms);
    };
    BOOST_TEST(sim.run(c.get("k")) == "1");
    broker.values["k"] = "not seen";
    BOOST_TEST(sim.run(c.get("k")) == "1", "of the cache");
    set("2");
    const auto got = std::make_shared<std::optional<std::string>>();
    sim.spawn(
        [](cached_values& from, std::shared_ptr<std::optional<std::string>> to) -> ice::task<> {
            auto get = from.get("k");
            to->emplace(co_await std::move(get));
        }(c, got));
    const std::size_t before = count("GET k");
    BOOST_TEST(sim.run_until([&] { return count("GET k") > before; }));
    set("3");
    BOOST_TEST(got->value_or("none") == "2");
    BOOST_TEST(sim.run(c.get("k")) == "3");
    sim.run_for(2s);
    broker.close_all();
    sim.run_for(1ms);
    BOOST_TEST(!redis.is_tracking());
    broker.values["k"] = "4";
    BOOST_TEST(sim.run(c.get("k")) == "4");
    broker.values["k"] = "5";
    BOOST_TEST(sim.run(c.get("k")) == "5");
}

BOOST_AUTO_TEST_CASE(the_headlines_of_the_how_to_begin_again_after_a_gap) {
    headlines h(add());
    sim.run_for(1ms);
    broker.publish("news.sport", "1:0");
    broker.publish("news.sport", "1:1");
    sim.run_for(2s);
    BOOST_TEST(h.latest["news.sport"] == "1:1");
    broker.close_all();
    sim.run_for(2s);
    BOOST_TEST(h.latest.empty());
}

// -- all of it, in the smallest pieces

BOOST_AUTO_TEST_CASE(it_works_byte_by_byte) {
    sim.faults()[ice::testing::fault::one_byte_read] = 1;
    sim.faults().segment = 1;
    auto& redis = add();
    redis.subscribe("a", note());
    redis.psubscribe("p*", note());
    broker.denied = {"secret"};
    redis.subscribe("secret", note());
    cache();
    sim.run_for(2s);
    broker.publish("a", "1");
    broker.publish("p1", "2");
    broker.invalidate({ice::resp_bulk_string("k1"), ice::resp_bulk_string("k2")});
    broker.flush();
    sim.run_for(1s);
    broker.close_all();
    sim.run_for(2s);
    broker.publish("a", "3");
    sim.run_for(1s);
    BOOST_TEST(seen == (strings{"1", "2", "3"}));
    BOOST_TEST(dropped == (strings{"all", "k1", "k2", "all", "all", "all"}));
    BOOST_TEST(errors == strings{"SUBSCRIBE 'secret': NOPERM no permissions for this channel"});
    BOOST_TEST(gaps.size() == 1U);
    BOOST_TEST(redis.counters().unexpected == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
