// The code of docs/coroutine-traps.md is cut from here: it compiles, and each object is destroyed
// once.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>
#include <string>
#include <utility>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using ice::testing::simulation;

const ice::address SERVER{"127.0.0.1", 9999}, SHOP{"127.0.0.1", 7777};

// A text that knows how many of it there are: one that is destroyed twice makes it negative.
struct text : std::string {
    text() { ++alive; }
    text(std::string s) : std::string(std::move(s)) { ++alive; }
    text(const char* s) : std::string(s) { ++alive; }
    text(const text& other) : std::string(other) { ++alive; }
    text(text&& other) noexcept : std::string(std::move(other)) { ++alive; }
    text& operator=(const text&) = default;
    text& operator=(text&&) = default;
    ~text() { --alive; }
    static inline int alive = 0;
};

// [order]
struct order {
    text what;
    int count = 0;
};
// [order]

struct orders : ice::line {
    using ice::line::packet;
    ice::error_code packet(const order& o, std::string& out) {
        return packet(fmt::format("{} {}", o.count, std::string_view(o.what)), out);
    }
};

constexpr ice::pool_name<orders> shop{"shop"};

// [name]
ice::task<std::string> buy(ice::server& srv) {
    const order apples{"apples", 3};
    auto reply = co_await srv.get(shop).request(apples);
    co_return reply.value_or("the shop is closed");
}
// [name]

// [constructor]
struct sale : order {
    sale(text fruit, int n) : order{std::move(fruit), n} {}
};

ice::task<std::string> sell(ice::server& srv) {
    auto reply = co_await srv.get(shop).request(sale("pears", 4));
    co_return reply.value_or("the shop is closed");
}
// [constructor]

// [choice]
ice::task<std::string> buy_fruit(ice::server& srv, bool in_winter) {
    order fruit{"apples", 3};
    if (in_winter) fruit.what = "oranges";
    auto reply = co_await srv.get(shop).request(fruit);
    co_return reply.value_or("the shop is closed");
}
// [choice]

// [binding]
ice::task<std::pair<text, text>> buy_both(ice::server& srv) {
    text first = co_await buy(srv);
    text second = co_await sell(srv);
    co_return std::pair(std::move(first), std::move(second));
}

ice::task<std::string> list(ice::server& srv) {
    const auto both = co_await buy_both(srv);
    const auto& [first, second] = both;
    co_return first + ", " + second;
}
// [binding]

// [job]
ice::task<> tell(ice::server& srv, ice::listener<ice::line>& room, ice::uid whom,
                 std::string what) {
    auto reply = co_await srv.get(shop).request(what);
    ice::session<ice::line>* const peer = room.find(whom);
    if (reply && peer != nullptr && peer->push(*reply)) peer->close();  // it was not queued
}
// [job]

// [spawn]
struct counter {
    ice::server& srv;

    std::string operator()(std::string_view line, ice::session<ice::line>& peer) {
        srv.spawn(tell(srv, peer.listener(), peer.uid(), std::string(line)), "tell");
        return "a moment, please";
    }
};
// [spawn]

// [borrowed]
ice::task<ice::borrowed<std::string_view>> same(std::string_view line) { co_return line; }
// [borrowed]

struct fixture {
    fixture() {
        text::alive = 0;
        srv.add(ice::tcp_server_action{SHOP}.protocol(ice::line{}));
        srv.add(ice::tcp_client_action{SHOP, shop, 1});
    }
    ~fixture() { BOOST_TEST(text::alive == 0); }

    simulation sim;
    quiet_server srv{sim.net()};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(coroutine_traps, fixture)

BOOST_AUTO_TEST_CASE(a_message_with_a_name_or_a_constructor_is_destroyed_once) {
    BOOST_TEST(sim.run(buy(srv)) == "3 apples");
    BOOST_TEST(sim.run(sell(srv)) == "4 pears");
}

BOOST_AUTO_TEST_CASE(a_choice_is_made_before_the_wait) {
    BOOST_TEST(sim.run(buy_fruit(srv, true)) == "3 oranges");
}

BOOST_AUTO_TEST_CASE(a_result_has_a_name_before_it_is_taken_apart) {
    BOOST_TEST(sim.run(list(srv)) == "3 apples, 4 pears");
}

BOOST_AUTO_TEST_CASE(a_spawned_coroutine_owns_what_it_uses) {
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(counter{srv}));
    auto peer = sim.run(sim.open<ice::line>(SERVER));
    BOOST_TEST_REQUIRE(peer.has_value());
    BOOST_TEST(!sim.run((*peer)->send("plums")));
    BOOST_TEST(std::string(sim.run((*peer)->receive()).value()) == "a moment, please");
    BOOST_TEST(std::string(sim.run((*peer)->receive()).value()) == "plums");
}

BOOST_AUTO_TEST_CASE(a_coroutine_may_answer_a_view_of_its_message) {
    srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(same));
    BOOST_TEST(sim.run(sim.ask<ice::line>(SERVER, "plums")).value() == "plums");
}

BOOST_AUTO_TEST_SUITE_END()
