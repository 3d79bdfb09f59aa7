// nats_client: subscriptions, requests and responders, in virtual time against a small broker.
#include <boost/test/unit_test.hpp>
#include <ice/fan_out.hpp>
#include <ice/nats_client.hpp>
#include <ice/testing/sim.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "nats_broker.hpp"
#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::errc;
using reply = ice::result<ice::nats_message>;
using strings = std::vector<std::string>;

const ice::address first{"10.0.0.1", 4222}, second{"10.0.0.2", 4222};

struct fixture {
    ice::nats_client& add(ice::pool_addresses where = first, ice::nats_client_options o = {}) {
        client.emplace(*srv, std::move(where), std::move(o));
        sim.run_for(1ms);
        return *client;
    }
    // Notes the payloads of a subject.
    std::uint64_t note(const std::string& pattern, const std::string& queue = "") {
        return client->subscribe(
            pattern, [this](ice::nats_view m) { seen.emplace_back(m.payload()); }, queue);
    }
    // Begins a request; run_for() goes on with it.
    std::shared_ptr<std::optional<reply>> ask(const std::string& subject,
                                              const std::string& payload = "",
                                              ice::duration timeout = 5s) {
        auto made = std::make_shared<std::optional<reply>>();
        srv->spawn(keep(*client, subject, payload, timeout, made), "ask");
        sim.run_for(1ms);
        return made;
    }
    static ice::task<> keep(ice::nats_client& bus, std::string subject, std::string payload,
                            ice::duration timeout, std::shared_ptr<std::optional<reply>> made) {
        auto asked = bus.request(subject, payload, timeout);
        made->emplace(co_await std::move(asked));
    }

    ice::testing::simulation sim;
    test::nats_broker broker{sim, first};
    std::unique_ptr<quiet_server> srv = std::make_unique<quiet_server>(sim.net());
    std::optional<ice::nats_client> client;
    strings seen;
};

// [ask]
ice::task<std::string> ask_time(ice::nats_client& bus) {
    const auto got = co_await bus.request("time", "", 500ms);
    if (got) co_return std::string(got->payload());
    if (got.error() == ice::errc::no_responders) co_return "there is no clock";
    co_return "no time: " + got.error().message();
}
// [ask]

}  // namespace

BOOST_FIXTURE_TEST_SUITE(nats_client, fixture)

BOOST_AUTO_TEST_CASE(a_subscription_gets_what_is_published_on_its_pattern) {
    auto& bus = add();
    BOOST_TEST(bus.link().is_connected());
    note("news.>");
    BOOST_TEST(!bus.push(ice::nats_pub("news.sport", "1:0")));
    sim.run_for(1ms);
    broker.publish("news.a.b", "second");
    broker.publish("other", "not this");
    sim.run_for(1ms);
    BOOST_TEST(seen == (strings{"1:0", "second"}));
}

BOOST_AUTO_TEST_CASE(subscriptions_outlive_connections) {
    auto& bus = add();
    const auto gone = note("gone");
    note("a", "workers");
    note("b.*");
    bus.unsubscribe(gone);
    for (int i = 0; i < 3; ++i) {
        sim.run_for(2s);
        broker.close_all();
        sim.run_for(2s);
        auto subscribed = broker.subscriptions();
        BOOST_TEST_REQUIRE(subscribed.size() == 3U);
        BOOST_TEST(subscribed[0].starts_with("_INBOX."));
        BOOST_TEST(subscribed[1] == "a workers");
        BOOST_TEST(subscribed[2] == "b.*");
    }
    broker.publish("a", "still");
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"still"});
}

BOOST_AUTO_TEST_CASE(a_subscription_that_ends_has_no_further_message) {
    auto& bus = add();
    std::uint64_t sid = 0;
    sid = bus.subscribe("a", [&](ice::nats_view m) {
        seen.emplace_back(m.payload());
        bus.unsubscribe(sid);  // within its own handler
    });
    sim.run_for(1ms);
    broker.publish("a", "1");
    broker.publish("a", "2");
    sim.run_for(1ms);
    broker.publish("a", "3");
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"1"});
    BOOST_TEST(broker.subscriptions().size() == 1U, "the inbox");
    bus.unsubscribe(sid);
    bus.unsubscribe(77);
}

// The danger: the server goes on to send what nobody takes.
BOOST_AUTO_TEST_CASE(a_subscription_that_ends_while_the_outbox_is_full_ends_with_the_next_message) {
    auto& bus = add();
    const auto sid = note("a");
    sim.run_for(1ms);
    BOOST_TEST_REQUIRE(sid < 9U);
    while (!bus.push(ice::nats_pub("b", std::string(1000, 'x')))) {}
    while (!bus.push(ice::nats_unsub(9))) {}  // as long as that of `sid`
    bus.unsubscribe(sid);
    sim.run_for(1s);
    BOOST_TEST(broker.subscriptions().size() == 2U);
    broker.publish("a", "1");
    broker.publish("a", "2");
    sim.run_for(1s);
    BOOST_TEST(broker.subscriptions().size() == 1U, "the inbox");
    BOOST_TEST(seen.empty());
}

BOOST_AUTO_TEST_CASE(patterns_that_no_server_takes_throw) {
    auto& bus = add();
    for (const char* bad : {"", "a b", "a..b", ">.a"})
        BOOST_CHECK_THROW(note(bad), std::invalid_argument);
    BOOST_CHECK_THROW(note("a", "two words"), std::invalid_argument);
    BOOST_TEST(bus.link().is_connected());
    BOOST_TEST(bus.push(ice::nats_pub("a b", "")) == errc::unencodable);
}

BOOST_AUTO_TEST_CASE(a_request_has_the_reply_of_a_responder) {
    auto& bus = add();
    bus.subscribe("upper", [](ice::nats_view m) { return std::string(m.payload()) + "!"; });
    bus.subscribe("maybe", [](ice::nats_view m) { return ice::nats_reply(m, "a command"); });
    const auto one = ask("upper", "one"), two = ask("upper", "two"), three = ask("maybe");
    BOOST_TEST_REQUIRE((one->has_value() && two->has_value() && three->has_value()));
    BOOST_TEST((**one)->payload() == "one!");
    BOOST_TEST((**two)->payload() == "two!");
    BOOST_TEST((**three)->payload() == "a command");
    BOOST_TEST(bus.in_flight() == 0U);
    BOOST_TEST(bus.counters().requests == 3U);
    BOOST_TEST(bus.counters().replies == 3U);
    // What is published without a reply subject has no reply.
    broker.publish("upper", "nobody asks");
    sim.run_for(1ms);
    BOOST_TEST(bus.counters().unsent_replies == 0U);
    BOOST_TEST(bus.link().is_connected());
}

BOOST_AUTO_TEST_CASE(the_example_of_the_how_to_asks_for_the_time) {
    auto& bus = add();
    BOOST_TEST(sim.run(ask_time(bus)) == "there is no clock");
    const auto sid = bus.subscribe("time", [](ice::nats_view) { return "noon"; });
    BOOST_TEST(sim.run(ask_time(bus)) == "noon");
    bus.unsubscribe(sid);
    bus.subscribe("time", [](ice::nats_view) {});
    BOOST_TEST(sim.run(ask_time(bus)).starts_with("no time: "));
}

BOOST_AUTO_TEST_CASE(responders_of_a_queue_share_the_requests) {
    auto& bus = add();
    int one = 0, two = 0;
    bus.subscribe(
        "work", [&](ice::nats_view) { return std::to_string(++one); }, "workers");
    bus.subscribe(
        "work", [&](ice::nats_view) { return std::to_string(++two); }, "workers");
    for (int i = 0; i < 10; ++i) BOOST_TEST(ask("work")->has_value());
    BOOST_TEST(one == 5);
    BOOST_TEST(two == 5);
}

BOOST_AUTO_TEST_CASE(a_request_without_responders_fails_at_once) {
    auto& bus = add();
    const auto none = ask("nobody");
    BOOST_TEST_REQUIRE(none->has_value());
    BOOST_TEST((**none).error() == errc::no_responders);
    BOOST_TEST(((**none).error() == ice::condition::not_executed));
    BOOST_TEST(bus.counters().no_responders == 1U);
}

BOOST_AUTO_TEST_CASE(a_request_ends_at_its_timeout_and_a_late_reply_is_counted) {
    auto& bus = add();
    strings asked;
    bus.subscribe("slow", [&](ice::nats_view m) { asked.emplace_back(m.reply_to()); });
    const auto slow = ask("slow", "", 1s);
    sim.run_for(998ms);
    BOOST_TEST(!slow->has_value());
    BOOST_TEST(bus.in_flight() == 1U);
    sim.run_for(2ms);
    BOOST_TEST_REQUIRE(slow->has_value());
    BOOST_TEST((**slow).error() == errc::request_timeout);
    BOOST_TEST(bus.in_flight() == 0U);
    BOOST_TEST(!bus.push(ice::nats_pub(asked.at(0), "late")));
    sim.run_for(1ms);
    BOOST_TEST(bus.counters().late == 1U);
    BOOST_TEST(bus.counters().timeouts == 1U);
    // A publisher may send anything to an inbox.
    for (const char* token : {"x", "99999999999999999999", "1x"})
        broker.publish(asked.at(0).substr(0, asked[0].rfind('.') + 1) + token, "?");
    sim.run_for(1ms);
    BOOST_TEST(bus.counters().late == 4U);
}

BOOST_AUTO_TEST_CASE(a_lost_connection_ends_all_requests_with_its_error) {
    auto& bus = add();
    bus.subscribe("slow", [](ice::nats_view) {});
    sim.run_for(1ms);
    const auto one = ask("slow"), two = ask("slow");
    broker.close_all();
    sim.run_for(1ms);
    BOOST_TEST_REQUIRE((one->has_value() && two->has_value()));
    BOOST_TEST((**one).error() == errc::closed);
    BOOST_TEST((**two).error() == errc::closed);
    BOOST_TEST(bus.counters().lost == 2U);
    BOOST_TEST(bus.in_flight() == 0U);
}

BOOST_AUTO_TEST_CASE(requests_that_wait_are_bounded) {
    auto& bus = add(first, {.requests = 2});
    bus.subscribe("slow", [](ice::nats_view) {});
    const auto one = ask("slow"), two = ask("slow"), three = ask("slow");
    BOOST_TEST(!one->has_value());
    BOOST_TEST(!two->has_value());
    BOOST_TEST_REQUIRE(three->has_value());
    BOOST_TEST((**three).error() == errc::outbox_full);
    BOOST_TEST(bus.counters().refused == 1U);
    sim.run_for(5s);
    BOOST_TEST(two->has_value());
    const auto four = ask("slow");
    BOOST_TEST(!four->has_value());
}

BOOST_AUTO_TEST_CASE(a_request_that_cannot_be_sent_says_why) {
    auto& bus = add();
    BOOST_TEST((**ask("a b")).error() == errc::unencodable);
    BOOST_TEST((**ask("a", std::string(1024 * 1024 + 1, 'x'))).error() == errc::message_too_large);
    broker.stop();
    sim.run_for(1ms);
    BOOST_TEST((**ask("a")).error() == errc::not_connected);
    BOOST_TEST(bus.counters().refused == 3U);
}

BOOST_AUTO_TEST_CASE(a_drain_ends_requests) {
    auto& bus = add();
    bus.subscribe("slow", [](ice::nats_view) {});
    auto made = std::make_shared<std::optional<reply>>();
    sim.spawn(keep(bus, "slow", "", 5s, made));
    sim.run_for(1ms);
    srv->drain(30s);
    sim.run_for(1s);
    BOOST_TEST_REQUIRE(made->has_value());
    BOOST_TEST((**made).error() == errc::draining);
}

BOOST_AUTO_TEST_CASE(a_stop_ends_requests) {
    auto& bus = add();
    bus.subscribe("slow", [](ice::nats_view) {});
    auto made = std::make_shared<std::optional<reply>>();
    sim.spawn(keep(bus, "slow", "", 5s, made));
    sim.run_for(1ms);
    srv->stop();
    sim.run_for(1ms);
    BOOST_TEST_REQUIRE(made->has_value());
    BOOST_TEST((**made).error() == errc::stopped);
}

BOOST_AUTO_TEST_CASE(a_client_may_be_destroyed_before_its_requests_end) {
    add();
    note("a");
    client->subscribe("slow", [](ice::nats_view) {});
    const auto slow = ask("slow");
    client.reset();
    broker.publish("a", "nobody");
    sim.run_for(1ms);
    BOOST_TEST_REQUIRE(slow->has_value());
    BOOST_TEST((**slow).error() == errc::stopped);
    BOOST_TEST(seen.empty());
}

BOOST_AUTO_TEST_CASE(a_request_that_was_cancelled_leaves_nothing) {
    auto& bus = add();
    bus.subscribe("slow", [](ice::nats_view) {});
    bus.subscribe("quick", [](ice::nats_view) { return "text"; });
    sim.run_for(1ms);
    const auto race = [](ice::server& s, ice::nats_client& b) -> ice::task<bool> {
        auto all = ice::all(s.within(1s), b.request("slow", "", 1h), b.request("quick", "", 1h));
        const auto ended = co_await std::move(all);
        co_return std::get<1>(ended).has_value();
    };
    (void)sim.run(race(*srv, bus));
    BOOST_TEST(bus.in_flight() == 0U);
}

BOOST_AUTO_TEST_CASE(a_handler_that_throws_ends_the_connection_only) {
    auto& bus = add();
    bus.subscribe("throw", [](ice::nats_view) { throw std::runtime_error("of a handler"); });
    sim.run_for(2s);
    broker.publish("throw", "");
    sim.run_for(2s);
    BOOST_TEST(bus.link().counters().logic_threw == 1U);
    BOOST_TEST(bus.link().is_connected());
    BOOST_TEST(broker.subscriptions().size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_reply_that_cannot_be_sent_ends_no_connection) {
    auto& bus = add();
    strings log;
    srv->log().to([&](ice::log_level, std::string_view line) { log.emplace_back(line); });
    bus.subscribe("large", [](ice::nats_view) { return std::string(1024 * 1024 + 1, 'x'); });
    const auto large = ask("large", "", 1s);
    sim.run_for(1s);
    BOOST_TEST_REQUIRE(large->has_value());
    BOOST_TEST((**large).error() == errc::request_timeout);
    BOOST_TEST(bus.counters().unsent_replies == 1U);
    BOOST_TEST_REQUIRE(log.size() == 1U);
    BOOST_TEST(log[0].starts_with("link 'nats': a reply to 'large' cannot be sent: "), log[0]);
    BOOST_TEST(bus.link().counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(errors_of_the_server_are_reported) {
    auto& bus = add();
    strings errors;
    broker.send("-ERR 'Permissions Violation for Publish to \"a\"'\r\n");
    sim.run_for(1ms);
    bus.on_error([&](std::string_view text) { errors.emplace_back(text); });
    broker.send("-ERR 'Invalid Subject'\r\n");
    sim.run_for(1ms);
    BOOST_TEST(errors == strings{"Invalid Subject"});
    BOOST_TEST(bus.counters().errors == 2U);
    BOOST_TEST(bus.link().is_connected());
    broker.send("-ERR 'Slow Consumer'\r\n");
    sim.run_for(1ms);
    BOOST_TEST(!bus.link().is_connected());
    BOOST_TEST(bus.link().why().message() == "Slow Consumer");
}

BOOST_AUTO_TEST_CASE(a_server_that_refuses_the_log_in_is_tried_again_and_says_why) {
    broker.answers_pings = false;
    auto& bus = add();
    BOOST_TEST(!bus.link().is_connected());
    broker.send("-ERR 'Authorization Violation'\r\n");
    sim.run_for(1ms);
    BOOST_TEST(bus.link().why().message() == "Authorization Violation");
    broker.answers_pings = true;
    sim.run_for(1min);
    BOOST_TEST(bus.link().is_connected());
}

BOOST_AUTO_TEST_CASE(a_silent_server_is_left) {
    auto& bus = add(first, {.heartbeat = 10s});
    sim.run_for(1h);
    BOOST_TEST(bus.link().counters().connects == 1U, "PONG keeps the connection");
    broker.answers_pings = false;
    sim.run_for(30s);
    BOOST_TEST(bus.link().counters().heartbeats_lost == 1U);
}

// -- clusters

BOOST_AUTO_TEST_CASE(the_servers_of_a_cluster_are_learnt) {
    broker.connect_urls = {"10.0.0.1:4222", "10.0.0.2:4222", "no port", ""};
    test::nats_broker other(sim, second);
    auto& bus = add();
    BOOST_TEST(bus.link().addresses().size() == 2U);
    note("a");
    broker.stop();
    sim.run_for(1s);
    BOOST_TEST((bus.link().where() == second));
    other.publish("a", "from the other one");
    sim.run_for(1ms);
    BOOST_TEST(seen == strings{"from the other one"});
}

BOOST_AUTO_TEST_CASE(a_server_that_comes_later_is_learnt_as_well) {
    auto& bus = add();
    BOOST_TEST(bus.link().addresses().size() == 1U);
    broker.connect_urls = {"10.0.0.1:4222", "10.0.0.2:4222"};
    broker.tell();
    sim.run_for(1ms);
    BOOST_TEST(bus.link().addresses().size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_lame_duck_is_left_when_it_has_sent_all) {
    broker.connect_urls = {"10.0.0.1:4222", "10.0.0.2:4222"};
    test::nats_broker other(sim, second);
    auto& bus = add();
    note("a");
    bus.subscribe("slow", [](ice::nats_view) {});
    sim.run_for(10s);
    strings asked;
    const auto slow = ask("slow");
    broker.info += R"(,"ldm":true)";
    broker.tell();
    broker.publish("a", "sent before it knows");
    sim.run_for(100ms);
    BOOST_TEST(seen == strings{"sent before it knows"});
    BOOST_TEST((bus.link().where() == first), "a request waits for its reply");
    BOOST_TEST(broker.subscriptions().size() == 1U, "the inbox");
    broker.publish("_INBOX." + broker.subscriptions()[0].substr(7, 16) + ".1", "the reply");
    sim.run_for(1ms);
    BOOST_TEST_REQUIRE(slow->has_value());
    BOOST_TEST((**slow)->payload() == "the reply");
    sim.run_for(1ms);
    BOOST_TEST((bus.link().where() == second));
    BOOST_TEST(bus.link().is_connected());
    BOOST_TEST(bus.link().counters().reconnects == 1U);
    BOOST_TEST(other.subscriptions().size() == 3U);
    BOOST_TEST(bus.counters().lost == 0U);
    note("b");
    sim.run_for(1ms);
    BOOST_TEST(other.subscriptions().size() == 4U, "it is no lame duck");
}

BOOST_AUTO_TEST_CASE(a_lame_duck_is_not_left_before_it_has_sent_all) {
    broker.connect_urls = {"10.0.0.1:4222", "10.0.0.2:4222"};
    test::nats_broker other(sim, second);
    auto& bus = add();
    note("a");
    sim.run_for(10s);
    broker.info += R"(,"ldm":true)";
    broker.tell();
    for (int i = 0; i < 5; ++i) broker.publish("a", std::to_string(i));
    sim.run_for(100ms);
    BOOST_TEST(seen == (strings{"0", "1", "2", "3", "4"}));
    BOOST_TEST((bus.link().where() == second));
    BOOST_TEST(broker.subscriptions().empty());
}

BOOST_AUTO_TEST_CASE(a_lame_duck_without_another_server_is_kept) {
    auto& bus = add();
    sim.run_for(10s);
    broker.info += R"(,"ldm":true)";
    broker.tell();
    sim.run_for(10s);
    BOOST_TEST(bus.link().counters().connects == 1U);
    BOOST_TEST(bus.link().is_connected());
}

// The danger: it still uses the link, which the server has destroyed.
BOOST_AUTO_TEST_CASE(a_client_may_outlive_its_server) {
    add();
    const auto made = std::make_shared<std::optional<reply>>();
    note("a");
    sim.run_for(10ms);
    sim.spawn(keep(*client, "a", "b", 5s, made));
    sim.run_for(1ms);
    BOOST_TEST(client->in_flight() == 1u);
    srv.reset();
    sim.run_for(10s);
    BOOST_TEST(made->has_value());
    BOOST_TEST(((*made)->error() == ice::errc::stopped));
    BOOST_TEST((client->push(ice::nats_pub("a", "b")) == ice::errc::stopped));
    BOOST_TEST((sim.run(client->request("a", "b")).error() == ice::errc::stopped));
    client->unsubscribe(note("c"));
    client.reset();
}

BOOST_AUTO_TEST_SUITE_END()
