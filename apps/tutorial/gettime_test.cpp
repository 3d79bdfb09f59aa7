// Tests step 4 in virtual time: against a time server that is slow, one that is dead, and one that
// lies. Each test takes a few milliseconds.
#define main() \
    unused;    \
    void tutorial()  // this program has another main()
#include "4_pool.cpp"
#undef main

#include <boost/test/unit_test.hpp>
#include <ice/testing/sim.hpp>

using namespace std::chrono_literals;

struct world {
    world() {
        auto& timeserver = srv.add(ice::tcp_client_action{TIMESERVER, "timeserver", 3, telnet{}});
        srv.add(
            ice::tcp_server_action{SERVER}.protocol(telnet{}).logic(ask_timeserver{timeserver}));
    }

    // What a user gets for "gettime".
    std::string gettime() { return sim.run(sim.ask<telnet>(SERVER, "gettime")).value(); }

    ice::testing::simulation sim;
    ice::server srv{sim.net()};
    ice::server upstream{sim.net()};  // the time server
};

// As our own clock tells the time: "2026-11-24 04:20:00.123456789".
bool is_ours(const std::string& time) { return time.starts_with("20") && time.size() > 18; }

BOOST_FIXTURE_TEST_CASE(the_time_server_is_asked, world) {
    upstream.add(ice::tcp_server_action{TIMESERVER}.protocol(telnet{}).logic(
        [](std::string_view) { return "noon"; }));
    BOOST_TEST(gettime() == "noon");
}

BOOST_FIXTURE_TEST_CASE(nobody_waits_for_a_slow_time_server_longer_than_a_request_may_take, world) {
    auto late = [](std::string_view, ice::session<telnet>& peer) -> ice::task<std::string> {
        co_await peer.sleep(20s);
        co_return "noon";
    };
    upstream.add(ice::tcp_server_action{TIMESERVER}.protocol(telnet{}).logic(late));
    const auto before = sim.now();
    BOOST_TEST(is_ours(gettime()));
    BOOST_TEST((sim.now() - before < 5100ms));  // pool_timeouts::request is 5 s
}

BOOST_FIXTURE_TEST_CASE(a_dead_time_server_costs_nothing, world) {
    const auto before = sim.now();
    BOOST_TEST(is_ours(gettime()));
    BOOST_TEST((sim.now() - before < 10ms));
}

BOOST_FIXTURE_TEST_CASE(the_second_reply_of_a_liar_is_nobodys, world) {
    upstream.add(ice::tcp_server_action{TIMESERVER}.protocol(telnet{}).logic(
        [](std::string_view) { return "noon\r\nmidnight"; }));
    for (int i = 0; i < 10; ++i) BOOST_TEST(gettime() == "noon");
}
