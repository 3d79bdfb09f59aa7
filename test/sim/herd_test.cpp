// A thousand pools lose the upstream that they share.
#include <algorithm>
#include <ice/detail/backoff.hpp>
#include <memory>
#include <vector>

#include "scene.hpp"

namespace {

using namespace scene;

constexpr std::size_t pools = 1000;
constexpr auto slot = 100ms;
const ice::address to("10.0.0.1", 7);

struct crowd {
    crowd() {
        sim.faults().backlog = sim.faults().descriptors = 10'000;  // it can take them all
        revive();
        for (std::size_t i = 0; i < pools; ++i) {
            auto& one = servers.emplace_back(std::make_unique<quiet_server>(sim.net()));
            all.push_back(&one->add(ice::tcp_client_action{to, upstream, 1}));
        }
        BOOST_REQUIRE(sim.run_until([&] { return all_idle(); }, 10s));
    }
    void revive() {
        up = std::make_unique<quiet_server>(sim.host("10.0.0.1"));
        up->add(ice::tcp_server_action{to}.protocol(greeting{}).logic(answer));
    }
    void kill() {
        up->stop();
        sim.run_for(1ms);
        up.reset();
    }
    // All at once, so that each notices, in the instant that is the worst.
    void ask() {
        for (auto* p : all) sim.spawn(ask(*p));
    }
    // From any moment of the first 200 ms on, as callers are strangers to each other.
    ice::task<> keep_asking(pool& p) {
        const auto net = sim.net();
        co_await net->sleep(chance.below(ice::duration(200ms)));
        while (asking) {
            co_await ask(p);
            co_await net->sleep(200ms);
        }
    }
    static ice::task<> ask(pool& p) {
        static_cast<void>(co_await p.request(std::string_view("q1")));
    }
    std::uint64_t connects() const {
        std::uint64_t n = 0;
        for (const auto* p : all) n += p->counters().connects;
        return n;
    }
    // Asked after each event: most often the answer is known after a few pools.
    bool all_idle() const {
        return std::ranges::all_of(all, [](const pool* p) { return p->idle() == 1; });
    }
    bool all_up() const {
        return std::ranges::all_of(all, [](const pool* p) { return p->idle() + p->busy() == 1; });
    }
    // The most attempts in any 100 ms of the next 20 s; `sum`: all of them.
    std::uint64_t most_at_once(std::uint64_t& sum) {
        std::uint64_t most = 0;
        const std::uint64_t first = connects();
        for (auto left = 20s / slot; left != 0; --left) {
            const std::uint64_t before = connects();
            sim.run_for(slot);
            most = std::max(most, connects() - before);
        }
        sum = connects() - first;
        BOOST_TEST_MESSAGE("at most " << most << " connects in 100 ms, " << sum << " in 20 s");
        return most;
    }

    ice::testing::simulation sim;
    ice::testing::dice chance{1};
    bool asking = true;
    std::unique_ptr<quiet_server> up;
    std::vector<std::unique_ptr<quiet_server>> servers;
    std::vector<pool*> all;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(herd)

BOOST_AUTO_TEST_CASE(a_thousand_pools_that_lose_an_upstream_spread_their_attempts) {
    // The danger: all pools try again at the same instants, and overload the upstream that comes
    // back.
    crowd c;
    c.kill();
    c.ask();
    c.sim.run_for(2s);
    std::uint64_t tried = 0;
    BOOST_TEST(c.most_at_once(tried) <= pools * 5 / 100);
    BOOST_TEST(tried > pools);  // they do try
    c.revive();
    BOOST_TEST(c.sim.run_until([&] { return c.all_idle(); }, 1min));
}

BOOST_AUTO_TEST_CASE(a_thousand_pools_with_callers_spread_their_attempts_too) {
    // The danger: the few attempts that each pool makes for its callers are in step with all
    // others.
    crowd c;
    c.kill();
    for (auto* p : c.all) c.sim.spawn(c.keep_asking(*p));
    c.sim.run_for(2s);
    std::uint64_t tried = 0;
    BOOST_TEST(c.most_at_once(tried) <= pools * 5 / 100);
    BOOST_TEST(tried > 3 * pools);  // more often than nobody asked for
    c.revive();
    // No caller waits for longer than a pause.
    BOOST_TEST(c.sim.run_until([&] { return c.all_up(); }, 8s));
    c.asking = false;
    c.sim.run_for(1s);
}

BOOST_AUTO_TEST_SUITE_END()
