// uid: the number of a session, how it is printed, and that a server gives each once.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <ice/uid.hpp>
#include <limits>
#include <map>
#include <set>
#include <type_traits>

#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;

// The uids of `n` sessions that a pool makes one after the other.
ice::task<> collect(ice::pool<ice::line>& p, int n, std::multiset<std::uint64_t>& seen) {
    for (int i = 0; i < n; ++i) {
        auto lease = co_await p.acquire();
        if (!lease) throw std::runtime_error("no connection");
        seen.insert((*lease)->uid().number());
        (*lease)->close();  // the next is another one
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(uid)

BOOST_AUTO_TEST_CASE(uids_are_ordered_by_their_numbers) {
    // The order of uids is that in which connections began, and a uid may be the key of a map.
    constexpr ice::uid first(1);
    constexpr ice::uid second(2);
    BOOST_TEST((first < second));
    BOOST_TEST((second > first));
    BOOST_TEST((first != second));
    BOOST_TEST((first == ice::uid(1)));
    const std::map<ice::uid, int> names{{second, 2}, {first, 1}};
    BOOST_TEST(names.begin()->second == 1);
    BOOST_TEST(names.at(ice::uid(2)) == 2);
}

BOOST_AUTO_TEST_CASE(a_uid_is_printed_with_a_number_sign) {
    // A bare number in a log could be a descriptor or a port.
    BOOST_TEST(fmt::format("{}", ice::uid(42)) == "#42");
    BOOST_TEST(fmt::format("session {}.", ice::uid()) == "session #0.");
    const auto most = std::numeric_limits<std::uint64_t>::max();
    BOOST_TEST(fmt::format("{}", ice::uid(most)) == "#18446744073709551615");
    BOOST_TEST(ice::uid(most).number() == most);
}

BOOST_AUTO_TEST_CASE(a_number_does_not_convert_to_a_uid) {
    // Otherwise find(port) would compile.
    static_assert(!std::is_convertible_v<std::uint64_t, ice::uid>);
    static_assert(!std::is_convertible_v<ice::uid, std::uint64_t>);
    BOOST_TEST(ice::uid().number() == 0U);
}

BOOST_AUTO_TEST_CASE(two_listeners_and_two_pools_of_a_server_give_each_uid_once) {
    // When each listener counted its own, two sessions were "session #1", and those of pools were
    // all #0.
    constexpr ice::pool_name<ice::line> one{"one"}, other{"other"};
    const ice::address here{"127.0.0.1", 7}, there{"127.0.0.1", 8};
    ice::testing::simulation sim;
    std::multiset<std::uint64_t> seen;
    const auto note = [&](std::string_view, ice::session<ice::line>& peer) {
        seen.insert(peer.uid().number());
        return std::string("noted");
    };
    quiet_server srv{sim.net()};
    srv.add(ice::tcp_server_action{here}.protocol(ice::line{}).logic(note));
    srv.add(ice::tcp_server_action{there}.protocol(ice::line{}).logic(note));
    for (const auto& at : {here, there, here})
        BOOST_TEST((*sim.run(sim.ask<ice::line>(at, "x")) == "noted"));
    auto& p = srv.add(ice::tcp_client_action{here, one, 1});
    auto& q = srv.add(ice::tcp_client_action{there, other, 1});
    sim.run(collect(p, 3, seen));
    sim.run(collect(q, 3, seen));
    BOOST_TEST(seen.size() == 9U);
    for (const std::uint64_t number : seen) {
        BOOST_TEST(seen.count(number) == 1U, "#" << number);
        BOOST_TEST(number != 0U);
    }
    srv.stop();
    sim.run_for(1s);
}

BOOST_AUTO_TEST_SUITE_END()
