// apps/chat in virtual time: three processes on a broker that drops them at random. Each line has a
// number, so a client knows what it has missed; its process tells it how many lines were lost.
#include "../apps/chat_room.hpp"

#include <fmt/format.h>
#include <algorithm>
#include <boost/test/unit_test.hpp>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <ice/bus.hpp>
#include <ice/protocols/line.hpp>
#include <ice/protocols/telnet.hpp>
#include <ice/testing/sim.hpp>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "nats_broker.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;

// One process of the chat, on a machine of its own.
struct chat_process {
    chat_process(ice::testing::simulation& sim, int number)
        : where(fmt::format("10.0.1.{}", number), 9999),
          srv(std::make_unique<quiet_server>(sim.host(where.host()))),
          bus(std::make_unique<ice::bus>(*srv, ice::address("10.0.0.1", 4222), chat_bus)),
          all(std::make_unique<chat>(*bus)) {
        srv->add(ice::tcp_server_action{where}
                     .protocol(ice::telnet{})
                     .timeouts({.idle = ice::no_timeout})
                     .logic(chat_logic{*all}));
    }
    ice::address where;
    std::unique_ptr<ice::server> srv;
    std::unique_ptr<ice::bus> bus;
    std::unique_ptr<chat> all;
};

// A client, which says numbers and hears those of others.
struct listener_of_chat {
    void say(std::string_view line) {
        if (peer != nullptr) BOOST_TEST(!peer->push(line));
    }
    void say_next() { say(fmt::format("{}", said++)); }
    void hear(std::string_view line) {
        lines.emplace_back(line);
        std::uint64_t n = 0;
        const std::size_t colon = line.find(": ");
        const std::string_view digits = line.substr(colon == line.npos ? 2 : colon + 2);
        std::from_chars(digits.data(), digits.data() + digits.size(), n);
        if (line.starts_with("* ")) {
            if (line.ends_with(" lost")) told += n;
            return;
        }
        const auto [last, is_first] = heard.try_emplace(std::string(line.substr(0, colon)), n);
        if (is_first) return;
        BOOST_TEST(n > last->second, "twice, or in disorder");
        missed += n - last->second - 1;
        last->second = n;
    }

    ice::session<ice::line>* peer = nullptr;
    std::vector<std::string> lines{};
    std::map<std::string, std::uint64_t> heard{};
    std::uint64_t said = 0, missed = 0, told = 0;
};

// It keeps the session: the simulation ends both.
ice::task<> listen(ice::testing::simulation& sim, ice::address where, std::string name,
                   std::shared_ptr<listener_of_chat> to) {
    auto opened = co_await sim.open<ice::line>(where);
    BOOST_TEST_REQUIRE(opened.has_value());
    const auto peer = *std::move(opened);
    to->peer = peer.get();
    to->say(name);
    for (;;) {
        const auto line = co_await peer->receive();
        if (!line) break;
        to->hear(*line);
    }
    to->peer = nullptr;
}

struct fixture {
    explicit fixture(std::uint64_t seed = 1) : sim(seed) {
        for (int n = 1; n <= 3; ++n) processes.emplace_back(std::make_unique<chat_process>(sim, n));
        sim.run_for(10ms);
    }
    // Conversations use the chat, and end before it.
    ~fixture() {
        for (const auto& one : processes) one->srv->stop();
        sim.run_for(1s);
    }
    bool is_connected() const {
        return std::ranges::all_of(processes,
                                   [](const auto& one) { return one->bus->is_connected(); });
    }
    std::shared_ptr<listener_of_chat> enter(std::size_t process, const std::string& name) {
        auto made = std::make_shared<listener_of_chat>();
        sim.spawn(listen(sim, processes[process]->where, name, made));
        sim.run_for(10ms);
        return made;
    }

    ice::testing::simulation sim;
    test::nats_broker broker{sim, {"10.0.0.1", 4222}};
    std::vector<std::unique_ptr<chat_process>> processes;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(chat_room)

BOOST_FIXTURE_TEST_CASE(a_room_is_one_over_all_processes, fixture) {
    const auto ann = enter(0, "ann"), bob = enter(1, "bob"), eve = enter(2, "eve");
    ann->say("hello");
    sim.run_for(10ms);
    eve->say("/join garden");
    sim.run_for(10ms);
    bob->say("bye");
    sim.run_for(10ms);
    const std::vector<std::string> all{"* your name?", "* bob is in lobby", "* eve is in lobby",
                                       "ann: hello",   "* eve has left",    "bob: bye"};
    BOOST_TEST(bob->lines == all, boost::test_tools::per_element());
    BOOST_TEST(eve->lines.back() == "* eve is in garden");
}

BOOST_FIXTURE_TEST_CASE(who_has_an_answer_of_each_process, fixture) {
    const auto ann = enter(0, "ann"), bob = enter(1, "bob"), eve = enter(1, "eve");
    enter(2, "dan")->say("/join garden");
    sim.run_for(10ms);
    ann->lines.clear();
    ann->say("/who");
    sim.run_for(10ms);
    BOOST_TEST_REQUIRE(ann->lines.size() == 2U);
    BOOST_TEST(ann->lines[0] == "* ann");
    BOOST_TEST((ann->lines[1] == "* bob eve" || ann->lines[1] == "* eve bob"), ann->lines[1]);
    ann->say("/who");
    sim.run_for(10ms);
    BOOST_TEST(ann->lines.back() == "* wait a second");
    sim.run_for(1s);
    ann->say("/who");
    sim.run_for(10ms);
    BOOST_TEST(ann->lines.size() == 5U);
}

// The terminals of others take them for commands.
BOOST_AUTO_TEST_CASE(control_characters_are_not_said) {
    BOOST_TEST(printable("a\x1b[2J\x7f\tb") == "a[2Jb");
    BOOST_TEST(printable("\xc2\x9b\xc2\xa9\xc3\x9f\xc2") == "\xc2\xa9\xc3\x9f\xc2");
}

BOOST_FIXTURE_TEST_CASE(without_a_broker_a_process_serves_its_own, fixture) {
    const auto ann = enter(0, "ann"), bob = enter(0, "bob"), eve = enter(1, "eve");
    broker.stop();
    sim.run_for(10ms);
    ann->say("hello");
    sim.run_for(10ms);
    BOOST_TEST(bob->lines.back() == "ann: hello");
    BOOST_TEST(ann->lines.back().starts_with("* not all have got this: "));
    BOOST_TEST(eve->lines.back() == "* eve is in lobby");
}

// The danger: what is no line of telnet ends the connections of all who are told it.
BOOST_FIXTURE_TEST_CASE(what_is_no_line_is_not_said, fixture) {
    const auto ann = enter(0, "ann"), bob = enter(1, "bob");
    const std::size_t most = 8 * 1024 - std::string("ann: ").size();
    ann->say(std::string(most, 'x'));
    ann->say(std::string(most + 1, 'x'));
    sim.run_for(10ms);
    BOOST_TEST(bob->lines.back() == "ann: " + std::string(most, 'x'));
    BOOST_TEST(ann->lines.back().starts_with("* not all have got this: "));
    broker.publish("chat.room.lobby", std::string(100'000, 'x'));
    broker.publish("chat.room.lobby", "two\r\nlines");
    for (const char* asked : {"", "no_room", " ", "a..b room.lobby", "> room.lobby"})
        broker.publish("chat.who", asked);
    broker.publish("chat.room.lobby", "of another client");
    sim.run_for(10ms);
    for (const auto& one : {ann, bob}) BOOST_TEST(one->lines.back() == "of another client");
}

// The danger: a line is lost and nobody is told, or one is told as lost that has come.
BOOST_AUTO_TEST_CASE(what_a_client_misses_is_what_it_is_told_whatever_the_broker_does) {
    std::uint64_t lost = 0;
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        fixture world(seed);
        std::mt19937 dice(static_cast<unsigned>(seed));
        std::vector<std::shared_ptr<listener_of_chat>> clients;
        for (std::size_t n = 0; n < 6; ++n)
            clients.push_back(world.enter(n % 3, fmt::format("c{}", n)));
        world.sim.run_for(2s);
        const auto all_say = [&] {
            for (const auto& one : clients) one->say_next();
            world.sim.run_for(50ms);
        };
        all_say();
        for (int step = 0; step < 60; ++step) {
            if (const auto n = world.broker.clients(); n != 0 && dice() % 8 == 0)
                world.broker.drop(dice() % n);
            if (dice() % 40 == 0) world.broker.close_all();
            clients[dice() % clients.size()]->say_next();
            world.sim.run_for(std::chrono::milliseconds(dice() % 20));
        }
        BOOST_TEST(world.sim.run_until([&] { return world.is_connected(); }, 60s));
        world.sim.run_for(10ms);
        all_say();
        for (const auto& one : clients) {
            BOOST_TEST(one->missed == one->told, "seed " << seed);
            BOOST_TEST(one->heard.size() == clients.size());
            for (const auto& other : clients)
                BOOST_TEST(one->heard[fmt::format("c{}", &other - clients.data())] ==
                           other->said - 1);
            lost += one->told;
        }
    }
    BOOST_TEST(lost > 100U);
}

BOOST_AUTO_TEST_SUITE_END()
