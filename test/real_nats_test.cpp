// nats_client with a real nats-server: what it sends and refuses, while it is killed, stopped and
// restarted, and a cluster of two.
#include <fmt/format.h>

#include <ice/nats_client.hpp>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "nats_server.hpp"
#include "world.hpp"

namespace {

using namespace test;
using ice::errc;
using reply = ice::result<ice::nats_message>;
using strings = std::vector<std::string>;

struct fixture : world {
    explicit fixture(const std::string& config = "", const std::vector<std::string>& more = {})
        : server(config, more) {}

    ice::nats_client& add(ice::nats_client_options o = {}) {
        static int count = 0;
        o.name = fmt::format("nats-{}", ++count);
        o.backoff = {.first = 5ms, .cap = 50ms};
        clients.push_back(std::make_unique<ice::nats_client>(srv, server.where(), std::move(o)));
        return *clients.back();
    }
    ice::nats_client& connected(ice::nats_client_options o = {}) {
        auto& bus = add(std::move(o));
        until([&] { return bus.link().is_connected(); }, "a connection");
        return bus;
    }
    // Until the server has processed all that was sent before.
    void settled(ice::nats_client& bus) {
        (void)run(bus.request("_settled." + std::to_string(++requests), "", 5s));
    }

    nats_server server;
    std::vector<std::unique_ptr<ice::nats_client>> clients;
    strings seen;
    int requests = 0;
};

struct with_user : fixture {
    with_user() : fixture("", {"--user", "app", "--pass", "s3cret"}) {}
};
struct with_token : fixture {
    with_token() : fixture("", {"--auth", "s3cret"}) {}
};
struct with_limits : fixture {
    with_limits()
        : fixture(
              "max_payload: 1000\nwrite_deadline: \"50ms\"\n"
              "authorization { users: [{ user: a, password: b, permissions: "
              "{ publish: { deny: [\"secret.>\"] } } }] }\n") {}
    static ice::nats_client_options user() { return {.login = {.user = "a", .password = "b"}}; }
};

const std::string cluster =
    "cluster {{ name: c, listen: 127.0.0.1:{}, routes: [nats://127.0.0.1:{}] }}";
struct two_servers {
    std::uint16_t one = nats_server::free_port(), two = nats_server::free_port();
};
struct clustered : two_servers, fixture {
    clustered()
        : fixture(fmt::format(fmt::runtime(cluster), one, two)),
          other(fmt::format(fmt::runtime(cluster), two, one)) {}

    ice::nats_client& connected_to_both() {
        auto& bus = connected();
        until([&] { return bus.link().addresses().size() == 2; }, "the address of the other");
        BOOST_TEST((bus.link().where() == server.where()));
        bus.subscribe("a", [this](ice::nats_view m) { seen.emplace_back(m.payload()); });
        settled(bus);
        return bus;
    }

    nats_server other;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(real_nats, fixture,
                         *boost::unit_test::precondition(test::nats_server::is_installed))

BOOST_AUTO_TEST_CASE(it_publishes_and_subscribes) {
    auto& bus = connected();
    const auto& info = bus.link().current()->protocol().server();
    BOOST_TEST(info.headers);
    BOOST_TEST(info.max_payload == 1024U * 1024);
    BOOST_TEST(!info.version.empty());
    bus.subscribe("a.*", [this](ice::nats_view m) {
        seen.push_back(fmt::format("{} {} {}", m.subject(), m.header("Key").value_or("-"),
                                   m.payload().size()));
    });
    const std::string large(1024 * 1024, 'x');
    BOOST_TEST(!bus.push(ice::nats_pub("a.1", "one")));
    BOOST_TEST(!bus.push(ice::nats_hpub("a.2", {{"Key", "value: 1"}}, "")));
    BOOST_TEST(!bus.push(ice::nats_pub("b.3", "not this")));
    until([&] { return bus.link().current()->bytes().unsent() == 0; });
    BOOST_TEST(!bus.push(ice::nats_pub("a.4", large)));
    until([&] { return seen.size() == 3; }, "the messages");
    BOOST_TEST(seen == (strings{"a.1 - 3", "a.2 value: 1 0", "a.4 - 1048576"}));
}

BOOST_AUTO_TEST_CASE(requests_have_replies_and_queues_share_them) {
    auto &one = connected(), &two = connected(), &asks = connected();
    int by_one = 0, by_two = 0;
    one.subscribe(
        "work", [&](ice::nats_view) { return std::to_string(++by_one); }, "workers");
    two.subscribe(
        "work", [&](ice::nats_view) { return std::to_string(++by_two); }, "workers");
    settled(one);
    settled(two);
    for (int i = 0; i < 200; ++i) {
        const reply r = run(asks.request("work", "", 5s));
        BOOST_TEST_REQUIRE(r.has_value(), r.error().message());
    }
    BOOST_TEST(by_one + by_two == 200);
    BOOST_TEST(by_one > 20);
    BOOST_TEST(by_two > 20);
    BOOST_TEST(run(asks.request("nobody", "", 5s)).error() == errc::no_responders);
}

BOOST_AUTO_TEST_CASE(it_subscribes_again_when_the_server_is_killed_and_restarted) {
    auto& bus = connected();
    bus.subscribe("a", [this](ice::nats_view m) { seen.emplace_back(m.payload()); });
    bus.subscribe("never", [](ice::nats_view) {});
    settled(bus);
    for (int i = 1; i <= 3; ++i) {
        bool asked = false;
        srv.spawn(
            [](ice::nats_client& b, bool& ended) -> ice::task<> {
                auto asks = b.request("never", "", 1min);
                const reply r = co_await std::move(asks);
                BOOST_TEST(!r.has_value());
                ended = true;
            }(bus, asked),
            "ask");
        until([&] { return bus.in_flight() == 1; }, "the request");
        server.kill();
        until([&] { return asked; }, "the end of the request");
        server.start();
        until([&] { return bus.link().is_connected(); }, "another connection");
        BOOST_TEST(!bus.push(ice::nats_pub("a", std::to_string(i))));
        until([&] { return seen.size() == static_cast<std::size_t>(i); }, "a message");
    }
    BOOST_TEST(seen == (strings{"1", "2", "3"}));
}

BOOST_AUTO_TEST_CASE(a_server_that_hangs_is_found_by_a_heartbeat) {
    auto& bus = connected({.heartbeat = 100ms});
    server.stop();
    until([&] { return bus.link().counters().heartbeats_lost != 0; }, "the end");
    server.resume();
    until([&] { return bus.link().is_connected(); }, "another connection");
}

BOOST_FIXTURE_TEST_CASE(it_logs_in_with_user_and_password, with_user) {
    connected({.login = {.user = "app", .password = "s3cret"}});
    auto& wrong = add({.login = {.user = "app", .password = "wr0ng"}});
    auto& none = add();
    for (auto* refused : {&wrong, &none}) {
        until([&] { return !!refused->link().why(); }, "a refusal");
        BOOST_TEST(refused->link().why().message() == "Authorization Violation");
    }
    for (const auto& line : log) BOOST_TEST(line.find("wr0ng") == line.npos);
    BOOST_TEST(logged("Authorization Violation"));
}

BOOST_FIXTURE_TEST_CASE(it_logs_in_with_a_token, with_token) {
    connected({.login = {.token = "s3cret"}});
    auto& wrong = add({.login = {.token = "wr0ng"}});
    until([&] { return !!wrong.link().why(); }, "a refusal");
    BOOST_TEST(wrong.link().why().message() == "Authorization Violation");
}

BOOST_FIXTURE_TEST_CASE(its_limits_and_permissions_end_no_connection, with_limits) {
    auto& bus = connected(user());
    strings errors;
    bus.on_error([&](std::string_view text) { errors.emplace_back(text); });
    BOOST_TEST(bus.push(ice::nats_pub("a", std::string(1001, 'x'))) == errc::message_too_large);
    BOOST_TEST(!bus.push(ice::nats_pub("a", std::string(1000, 'x'))));
    BOOST_TEST(!bus.push(ice::nats_pub("secret.a", "")));
    until([&] { return !errors.empty(); }, "an error");
    BOOST_TEST(errors[0].starts_with("Permissions Violation for Publish to"), errors[0]);
    BOOST_TEST(run(bus.request("nobody", "", 5s)).error() == errc::no_responders);
    BOOST_TEST(bus.link().counters().connects == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_slow_consumer_connects_again, with_limits) {
    // The server closes the connection of a client that does not read.
    auto& bus = connected(user());
    bus.subscribe("flood", [](ice::nats_view) {});
    settled(bus);
    test::peer publisher = connect(server.where());
    publisher.read_line();
    publisher.send("CONNECT {\"verbose\":false,\"user\":\"a\",\"pass\":\"b\"}\r\n");
    publisher.socket().non_blocking(false);
    std::string flood;
    for (int i = 0; i < 1000; ++i)
        flood += std::string(ice::nats_pub("flood", std::string(1000, 'x')).bytes());
    for (int i = 0; i < 16; ++i) publisher.send(flood);
    // The loop, and so the client, does not run meanwhile.
    for (int i = 0; i < 1'000'000 && !server.logged("Slow Consumer"); ++i)
        std::this_thread::yield();
    until([&] { return bus.link().counters().connects == 2; }, "another connection");
    settled(bus);
}

BOOST_FIXTURE_TEST_CASE(another_server_of_the_cluster_takes_over, clustered) {
    auto& bus = connected_to_both();
    server.kill();
    until([&] { return bus.link().is_connected() && bus.link().where() == other.where(); },
          "the other server");
    BOOST_TEST(!bus.push(ice::nats_pub("a", "there")));
    until([&] { return !seen.empty(); }, "a message");
}

BOOST_FIXTURE_TEST_CASE(a_server_in_lame_duck_mode_is_left, clustered) {
    auto& bus = connected_to_both();
    // reconnect() pauses if a connection has not lasted for a second; either way it moves.
    for (int i = 0; i < 100; ++i) BOOST_TEST(!bus.push(ice::nats_pub("a", std::to_string(i))));
    server.begin_lame_duck();
    until([&] { return bus.link().is_connected() && bus.link().where() == other.where(); },
          "the other server");
    BOOST_TEST(bus.link().counters().reconnects == 1U);
    BOOST_TEST(seen.size() == 100U);
    BOOST_TEST(!bus.push(ice::nats_pub("a", "there")));
    until([&] { return seen.size() == 101; }, "a message");
}

BOOST_AUTO_TEST_SUITE_END()
