// link: one session that is open for as long as the server runs; in virtual time.
#include <asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <cerrno>
#include <ice/link.hpp>
#include <ice/protocols/line.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::errc;
using ice::link_state;
using strings = std::vector<std::string>;

constexpr ice::link_name<ice::line> name{"feed"};
const ice::address first_broker{"10.0.0.1", 7}, second_broker{"10.0.0.2", 7};

// A machine that sends unasked what the test tells it to.
struct broker {
    struct logic {
        broker& self;
        void opened(ice::session<ice::line>& s) const {
            self.peer = &s;
            ++self.connections;
        }
        std::optional<std::string> operator()(std::string_view m) const {
            self.got.emplace_back(m);
            if (m == "PING" && self.answers) return "PONG";
            return std::nullopt;
        }
        void closed(ice::session<ice::line>&, ice::error_code why) const {
            self.peer = nullptr;
            self.ends.push_back(why.message());
        }
    };

    broker(ice::testing::simulation& sim, const ice::address& where)
        : srv(std::make_unique<quiet_server>(sim.host(where.host()))) {
        srv->add(ice::tcp_server_action{where}.protocol(ice::line{}).logic(logic{*this}));
    }
    void send(const std::string& m) { BOOST_TEST(!peer->push(m)); }

    ice::session<ice::line>* peer = nullptr;
    int connections = 0;
    bool answers = true;
    strings got, ends;
    std::unique_ptr<quiet_server> srv;
};

struct fixture {
    // What the link's logic sees.
    struct logic {
        fixture& self;
        ice::task<> opened(ice::session<ice::line>& s) const {
            self.seen.emplace_back("opened");
            if (self.open_throws) throw std::runtime_error("it cannot subscribe");
            if (self.open_takes != ice::duration{}) co_await s.sleep(self.open_takes);
            (void)s.push("SUB");
        }
        ice::task<std::optional<std::string>> operator()(std::string_view m,
                                                         ice::session<ice::line>& s) const {
            self.seen.emplace_back(m);
            if (self.takes != ice::duration{}) co_await s.sleep(self.takes);
            if (m == "throw") throw std::runtime_error("of the logic");
            if (m == "ask") co_return std::string("answer");
            co_return std::nullopt;
        }
        ice::task<> closed(ice::session<ice::line>& s, ice::error_code why) const {
            self.seen.push_back(why.message());
            if (why == errc::draining) BOOST_TEST(!s.push("UNSUB"));
            if (self.close_takes != ice::duration{}) co_await s.sleep(self.close_takes);
        }
    };

    template <class Action>
    auto& add(Action&& action) {
        auto& l = srv->add(std::forward<Action>(action));
        sim.run_for(1ms);
        return l;
    }
    auto action(ice::pool_addresses where = first_broker) {
        return ice::tcp_link_action{std::move(where), name}.logic(logic{*this});
    }
    // Lets the simulated kernel of the broker lose the connection without a word.
    void silence() { sim.faults()[ice::testing::fault::stall] = 1; }

    bool open_throws = false;
    ice::duration takes{}, open_takes{}, close_takes{};
    strings seen;
    ice::testing::simulation sim;
    std::unique_ptr<quiet_server> srv = std::make_unique<quiet_server>(sim.net());
};

// The server ends it when its listeners, pools and links have ended.
ice::task<> until_the_end(ice::server& srv, bool& ended) {
    struct at_end {
        bool& it;
        ~at_end() { it = true; }
    } const end{ended};
    co_await srv.sleep(1h);
}

const std::string closed = ice::make_error_code(errc::closed).message();
const std::string draining = ice::make_error_code(errc::draining).message();

}  // namespace

BOOST_FIXTURE_TEST_SUITE(links, fixture)

BOOST_AUTO_TEST_CASE(messages_arrive_unasked_and_answers_go_back) {
    broker b(sim, first_broker);
    auto& l = add(action());
    BOOST_TEST(l.is_connected());
    BOOST_TEST((l.where() == first_broker));
    b.send("news");
    b.send("ask");
    sim.run_for(1ms);
    BOOST_TEST(seen == (strings{"opened", "news", "ask"}));
    BOOST_TEST(!l.push("by push"));
    sim.run_for(1ms);
    BOOST_TEST(b.got == (strings{"SUB", "answer", "by push"}));
    BOOST_TEST(l.counters().messages == 2U);
    BOOST_TEST(l.counters().connects == 1U);
    BOOST_TEST(&srv->get(name) == &l);
}

BOOST_AUTO_TEST_CASE(a_lost_connection_is_replaced_and_subscribes_again) {
    broker b(sim, first_broker);
    auto& l = add(action());
    for (int i = 1; i <= 3; ++i) {
        sim.run_for(10s);
        b.peer->close();
        sim.run_for(100ms);  // the first pause is at most 50 ms
        BOOST_TEST(l.is_connected());
        BOOST_TEST(b.connections == i + 1);
    }
    BOOST_TEST(seen == (strings{"opened", closed, "opened", closed, "opened", closed, "opened"}));
    BOOST_TEST(b.got == (strings{"SUB", "SUB", "SUB", "SUB"}));
    BOOST_TEST(l.counters().closed == 3U);
}

BOOST_AUTO_TEST_CASE(a_broker_that_is_down_is_tried_at_growing_pauses_and_logged_once) {
    strings log;
    srv->log().to([&](ice::log_level, std::string_view line) { log.emplace_back(line); });
    auto& l = add(action());
    sim.run_for(1h);
    BOOST_TEST(l.counters().connect_failures > 120U);  // the cap is 30 s, and any pause up to it
    BOOST_TEST(l.counters().connect_failures < 500U);
    BOOST_TEST((l.why() == std::errc::connection_refused));
    BOOST_TEST(log.size() == 1U);
    BOOST_TEST(log.at(0) == "link 'feed': 10.0.0.1:7: cannot connect: Connection refused");
    broker b(sim, first_broker);
    sim.run_for(31s);
    BOOST_TEST(l.is_connected());
    BOOST_TEST(!l.why());
}

BOOST_AUTO_TEST_CASE(the_next_address_is_tried_at_once) {
    broker b(sim, second_broker);
    auto& l = add(action({first_broker, second_broker}).backoff({.first = 1h, .cap = 1h}));
    BOOST_TEST((l.where() == second_broker));
    BOOST_TEST(l.is_connected());
}

BOOST_AUTO_TEST_CASE(links_with_the_same_addresses_spread) {
    broker one(sim, first_broker), two(sim, second_broker);
    std::vector<std::unique_ptr<quiet_server>> many;
    for (int i = 0; i < 40; ++i) {
        many.push_back(std::make_unique<quiet_server>(sim.host("10.0.1." + std::to_string(i))));
        many.back()->add(ice::tcp_link_action{{first_broker, second_broker}, name});
    }
    sim.run_for(1s);
    BOOST_TEST(one.connections + two.connections == 40);
    BOOST_TEST(one.connections > 8);
    BOOST_TEST(two.connections > 8);
}

BOOST_AUTO_TEST_CASE(a_lost_broker_is_replaced_by_another) {
    std::optional<broker> one(std::in_place, sim, first_broker);
    broker two(sim, second_broker);
    auto& l = add(action({first_broker, second_broker}));
    sim.run_for(2s);
    if (l.where() == second_broker) {
        two.peer->close();
        sim.run_for(100ms);
    }
    BOOST_TEST_REQUIRE((l.where() == first_broker));
    const int before = two.connections;
    one->srv->stop();
    one->srv.reset();
    sim.run_for(100ms);
    BOOST_TEST(l.is_connected());
    BOOST_TEST(two.connections == before + 1);
}

BOOST_AUTO_TEST_CASE(addresses_that_the_upstream_tells_of_are_tried_as_well) {
    broker one(sim, first_broker), two(sim, second_broker);
    auto& l = add(action());
    l.learn_addresses({first_broker, second_broker, second_broker});
    BOOST_TEST(l.addresses().size() == 2U);
    BOOST_TEST((l.where() == first_broker));
    one.srv->stop();
    one.srv.reset();
    sim.run_for(1s);
    BOOST_TEST(l.is_connected());
    BOOST_TEST((l.where() == second_broker));
    l.learn_addresses({});
    BOOST_TEST(l.addresses().size() == 2U, "the one that is connected stays");
    BOOST_TEST((l.where() == second_broker));
    two.srv.reset();
    sim.run_for(1s);
    BOOST_TEST(!l.is_connected());
    l.learn_addresses({});
    sim.run_for(1min);
    BOOST_TEST(l.addresses().size() == 1U);
    BOOST_TEST((l.where() == first_broker));
}

BOOST_AUTO_TEST_CASE(learnt_addresses_are_bounded_and_may_change_at_any_time) {
    const auto many = [](int n) {
        std::vector<ice::address> all;
        for (int i = 0; i < n; ++i) all.emplace_back("10.0.9." + std::to_string(i), 7);
        return all;
    };
    auto& l = add(action({first_broker, second_broker}));
    for (const int n : {61, 62, 63, 200}) {
        l.learn_addresses(many(n));
        BOOST_TEST(l.addresses().size() == static_cast<std::size_t>(n < 62 ? n + 2 : 64));
        BOOST_TEST((l.addresses()[1] == second_broker));
        sim.run_for(10s);
        BOOST_TEST((l.why() == std::errc::connection_refused));
    }
    broker two(sim, second_broker);
    for (int i = 0; i < 100; ++i) {
        l.learn_addresses(many(i % 7));
        sim.run_for(1s);
    }
    BOOST_TEST(l.is_connected());
    BOOST_TEST((l.where() == second_broker));
}

BOOST_AUTO_TEST_CASE(reconnect_goes_to_the_next_address_at_once) {
    broker one(sim, first_broker), two(sim, second_broker);
    auto& l = add(action({first_broker, second_broker}).backoff({.first = 1h, .cap = 1h}));
    for (int i = 0; i < 4; ++i) {
        sim.run_for(1s);
        const ice::address before = l.where();
        l.reconnect();
        sim.run_for(1ms);
        BOOST_TEST(l.is_connected());
        BOOST_TEST((l.where() != before));
    }
    BOOST_TEST(l.counters().reconnects == 4U);
    BOOST_TEST(l.counters().closed + l.counters().broken == 0U);
    BOOST_TEST(l.counters().connects == 5U);
    BOOST_TEST(seen.at(1) == ice::make_error_code(errc::stopped).message());
}

BOOST_AUTO_TEST_CASE(reconnect_never_spins) {
    // The danger: two upstreams that each send their peers to the other one.
    broker one(sim, first_broker), two(sim, second_broker);
    auto& l = add(action({first_broker, second_broker}).backoff({.first = 10s, .cap = 10s}));
    for (int i = 0; i < 1000; ++i) {
        l.reconnect();
        sim.run_for(1ms);
    }
    BOOST_TEST(l.counters().connects < 10U);
    BOOST_TEST(!l.is_connected());
    l.reconnect();
    sim.run_for(10s);
    BOOST_TEST(l.is_connected());
    l.learn_addresses({});
}

BOOST_AUTO_TEST_CASE(reconnect_to_the_only_address_pauses) {
    broker one(sim, first_broker);
    auto& l = add(action().backoff({.first = 1h, .cap = 1h}));
    sim.run_for(2s);
    l.reconnect();
    sim.run_for(1ms);
    BOOST_TEST(!l.is_connected());
    BOOST_TEST(l.counters().reconnects == 1U);
}

BOOST_AUTO_TEST_CASE(push_is_refused_without_a_connection) {
    auto& l = add(action());
    BOOST_TEST(l.push("m") == errc::not_connected);
    BOOST_TEST(l.counters().not_connected == 1U);
    BOOST_TEST(l.queued() == 0U);
    BOOST_TEST(l.current() == nullptr);
}

BOOST_AUTO_TEST_CASE(the_queue_is_bounded_and_sent_in_order_after_opened) {
    auto& l = add(action().limits({.queue = 3}));
    std::string text = "a view";
    BOOST_TEST(!l.push(std::string_view(text)));
    text = "gone!!";
    BOOST_TEST(!l.push("b"));
    BOOST_TEST(!l.push(std::string("two\r\nlines")));
    BOOST_TEST(l.push("d") == errc::not_connected);
    BOOST_TEST(l.queued() == 3U);
    broker b(sim, first_broker);
    sim.run_for(31s);
    BOOST_TEST(b.got == (strings{"SUB", "a view", "b"}));
    BOOST_TEST(l.queued() == 0U);
    BOOST_TEST(l.counters().queued == 3U);
    BOOST_TEST(l.counters().queue_refused == 1U);
    BOOST_TEST(l.counters().not_connected == 1U);
}

BOOST_AUTO_TEST_CASE(nothing_is_pushed_before_opened_has_returned) {
    broker b(sim, first_broker);
    open_takes = 1s;
    auto& l = add(action().limits({.queue = 1}));
    BOOST_TEST(!l.push("first"));
    BOOST_TEST(l.push("second") == errc::not_connected);
    sim.run_for(2s);
    BOOST_TEST(b.got == (strings{"SUB", "first"}));
}

BOOST_AUTO_TEST_CASE(a_queue_beyond_the_outbox_is_sent_as_the_peer_reads) {
    auto& l = add(action().limits({.outbox = 100, .queue = 1000}));
    for (int i = 0; i < 1000; ++i) BOOST_TEST(!l.push(std::to_string(i) + std::string(80, 'x')));
    broker b(sim, first_broker);
    sim.run_for(60s);
    BOOST_TEST(b.got.size() == 1001U);
    BOOST_TEST(b.got.back() == "999" + std::string(80, 'x'));
    BOOST_TEST(l.is_connected());
}

BOOST_AUTO_TEST_CASE(unsent_bytes_are_bounded) {
    broker b(sim, first_broker);
    auto& l = add(action().limits({.outbox = 64 * 1024}));
    b.srv.reset();
    sim.faults()[ice::testing::fault::stall] = 1;
    ice::error_code refused;
    for (int i = 0; i < 100'000 && !refused; ++i) refused = l.push(std::string(100, 'x'));
    BOOST_TEST(refused == errc::outbox_full);
    BOOST_TEST(l.current()->bytes().unsent() <= 64U * 1024);
    BOOST_TEST(l.counters().outbox_full == 1U);
}

BOOST_AUTO_TEST_CASE(it_receives_while_it_sends) {
    // The danger: both ends wait until the other one reads.
    quiet_server up(sim.host("10.0.0.1"));
    up.add(ice::tcp_server_action{first_broker}.protocol(ice::line{}));
    std::size_t echoed = 0;
    auto& l = add(ice::tcp_link_action{first_broker, name}
                      .limits({.outbox = 1024 * 1024})
                      .logic([&](std::string_view) { ++echoed; }));
    for (int i = 0; i < 1000; ++i) BOOST_TEST(!l.push(std::string(1000, 'x')));
    sim.run_for(10s);
    BOOST_TEST(echoed == 1000U);
    BOOST_TEST(l.counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(a_heartbeat_is_sent_only_in_silence_and_its_answer_keeps_the_connection) {
    broker b(sim, first_broker);
    auto& l = add(action().heartbeat("PING", 10s));
    for (int i = 0; i < 5; ++i) {
        sim.run_for(9s);
        b.send("news");
    }
    BOOST_TEST(l.counters().heartbeats == 0U);
    sim.run_for(10min);
    BOOST_TEST(l.counters().heartbeats >= 28U);  // one in two intervals, as its answer breaks one
    BOOST_TEST(l.counters().heartbeats <= 61U);
    BOOST_TEST(l.counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(a_silent_peer_is_left_within_three_heartbeats) {
    broker b(sim, first_broker);
    b.answers = false;
    auto& l = add(action().heartbeat("PING", 10s));
    sim.run_for(25s);
    BOOST_TEST(l.counters().heartbeats == 1U);
    BOOST_TEST(l.counters().heartbeats_lost == 1U);
    BOOST_TEST(l.counters().connects == 2U);
    BOOST_TEST(seen.at(1) == ice::make_error_code(errc::idle_timeout).message());
}

BOOST_AUTO_TEST_CASE(a_logic_that_is_busy_does_not_look_like_a_silent_peer) {
    broker b(sim, first_broker);
    auto& l = add(action().timeouts({.logic = 10min}).heartbeat("PING", 1s));
    takes = 1min;
    b.send("news");
    sim.run_for(1h);
    BOOST_TEST(l.counters().connects == 1U);
}

BOOST_AUTO_TEST_CASE(without_a_heartbeat_a_silent_connection_stays) {
    broker b(sim, first_broker);
    b.srv->stop();
    b.srv = std::make_unique<quiet_server>(sim.host("10.0.0.1"));
    b.srv->add(ice::tcp_server_action{first_broker}
                   .protocol(ice::line{})
                   .timeouts({.idle = ice::no_timeout})
                   .logic(broker::logic{b}));
    auto& l = add(action());
    sim.run_for(std::chrono::hours(24 * 400));
    BOOST_TEST(l.counters().connects == 1U);
    BOOST_TEST(l.is_connected());
}

BOOST_AUTO_TEST_CASE(a_drain_lets_closed_push_a_last_message_and_ends) {
    broker b(sim, first_broker);
    auto& l = add(action());
    srv->drain(30s);
    sim.run_for(900ms);
    BOOST_TEST(b.got == (strings{"SUB", "UNSUB"}));
    BOOST_TEST(seen == (strings{"opened", draining}));
    BOOST_TEST(l.is_over());
    BOOST_TEST(l.push("late") == errc::stopped);
    b.srv->drain(1s);
    sim.run_for(3s);
    BOOST_TEST(sim.quiescent());
}

BOOST_AUTO_TEST_CASE(a_link_never_holds_a_drain) {
    // Neither a peer that does not read, nor a logic that does not end.
    for (const bool is_stalled : {true, false}) {
        fixture f;
        broker b(f.sim, first_broker);
        auto& l = f.add(f.action());
        if (is_stalled) {
            f.silence();
            for (int i = 0; i < 1000; ++i) (void)l.push(std::string(1000, 'x'));
        } else {
            f.close_takes = 1h;
        }
        bool ended = false;
        f.srv->spawn(until_the_end(*f.srv, ended), "until the end");
        f.sim.run_for(1ms);
        f.srv->drain(1min);
        f.sim.run_for(1100ms);
        BOOST_TEST(ended, "the server waits for its link");
    }
}

BOOST_AUTO_TEST_CASE(a_drain_or_a_stop_ends_it_whatever_it_does) {
    // While it connects, shakes hands, opens, waits for its next attempt, or talks: each step.
    for (const bool drains : {true, false}) {
        int steps = 0;
        for (bool more = true; more; ++steps) {
            fixture f;
            f.open_takes = 1ms;
            broker b(f.sim, first_broker);
            auto& l = f.srv->add(f.action());
            int i = 0;
            for (; i < steps; ++i) f.sim.advance();
            more = l.counters().connects == 0 && steps < 1000;
            if (drains) f.srv->drain(1min);
            else f.srv->stop();
            f.sim.run_for(5s);
            BOOST_TEST_CONTEXT((drains ? "drain" : "stop") << " after " << steps << " steps") {
                BOOST_TEST(l.is_over());
                BOOST_TEST((l.state() == link_state::ended));
                b.srv->drain(1s);
                f.sim.run_for(3s);
                BOOST_TEST(f.sim.quiescent());
            }
        }
        BOOST_TEST(steps > 5);
        BOOST_TEST(steps < 1000);
    }
}

BOOST_AUTO_TEST_CASE(a_world_that_ends_at_any_step_takes_it_along) {
    // For the sanitizers: the loop destroys what waits, the server may be gone before.
    for (int steps = 0; steps < 60; ++steps) {
        fixture f;
        broker b(f.sim, first_broker);
        f.srv->add(f.action().heartbeat("PING", 1ms));
        for (int i = 0; i < steps; ++i) f.sim.advance();
        if (steps % 2 == 0) f.srv.reset();
    }
}

BOOST_AUTO_TEST_CASE(opened_that_throws_or_hangs_is_a_failed_attempt) {
    broker b(sim, first_broker);
    open_throws = true;
    auto& l = add(action().timeouts({.logic = 2s}));
    sim.run_for(1min);
    BOOST_TEST(l.counters().connects == 0U);
    BOOST_TEST(l.counters().connect_failures > 3U);
    BOOST_TEST(l.counters().connect_failures == l.counters().logic_threw);
    open_throws = false;
    open_takes = 1h;
    sim.run_for(1min);
    seen.clear();
    sim.run_for(1min);
    BOOST_TEST(l.counters().connects == 0U);
    BOOST_TEST(seen.at(1) == ice::make_error_code(errc::logic_timeout).message());
    open_takes = {};
    sim.run_for(1min);
    BOOST_TEST(l.is_connected());
    open_throws = true;
    b.peer->close();
    sim.run_for(1min);
    BOOST_TEST(l.counters().connects == 1U);
    BOOST_TEST(l.counters().closed == 1U);
    BOOST_TEST(l.counters().broken == 0U);
}

BOOST_AUTO_TEST_CASE(closed_that_hangs_is_cancelled) {
    broker b(sim, first_broker);
    auto& l = add(action().timeouts({.logic = 2s}));
    close_takes = 1h;
    b.peer->close();
    sim.run_for(1s);
    BOOST_TEST((l.state() == link_state::closing));
    sim.run_for(2s);
    BOOST_TEST(l.is_connected());
}

BOOST_AUTO_TEST_CASE(a_long_queue_is_sent_while_answers_are_received) {
    // The danger: both ends wait until the other one reads.
    quiet_server up(sim.host("10.0.0.1"));
    std::size_t echoed = 0;
    auto& l = add(ice::tcp_link_action{first_broker, name}
                      .limits({.outbox = 64 * 1024, .queue = 1000})
                      .logic([&](std::string_view) { ++echoed; }));
    for (int i = 0; i < 1000; ++i) BOOST_TEST(!l.push(std::string(1000, 'x')));
    up.add(ice::tcp_server_action{first_broker}.protocol(ice::line{}));
    sim.run_for(1min);
    BOOST_TEST(echoed == 1000U);
    BOOST_TEST(l.counters().connects == 1U);
    BOOST_TEST(l.counters().outbox_full == 0U);
    BOOST_TEST(l.queued() == 0U);
}

BOOST_AUTO_TEST_CASE(a_message_whose_packing_throws_leaves_the_queue) {
    struct throwing : ice::line {
        ice::error_code packet(std::string_view text, std::string& out) {
            if (text == "throw") throw std::runtime_error("packet");
            return ice::line::packet(text, out);
        }
    };
    auto& l = add(
        ice::tcp_link_action{first_broker, ice::link_name<throwing>{"feed"}}.limits({.queue = 3}));
    for (const char* m : {"a", "throw", "b"}) BOOST_TEST(!l.push(m));
    broker b(sim, first_broker);
    sim.run_for(31s);
    BOOST_TEST(b.got == (strings{"a", "b"}));
    BOOST_TEST(l.is_connected());
    BOOST_TEST(l.counters().queue_refused == 1U);
    BOOST_TEST(l.counters().logic_threw == 1U);
}

BOOST_AUTO_TEST_CASE(the_log_may_end_the_server) {
    for (const bool drains : {true, false}) {
        for (const std::string line : {"has ended", "refused", "connected to"}) {
            fixture f;
            std::optional<broker> b;
            if (line != "refused") b.emplace(f.sim, first_broker);
            f.srv->log().to([&](ice::log_level, std::string_view text) {
                if (text.find(line) == text.npos) return;
                if (drains) f.srv->drain(1min);
                else f.srv->stop();
            });
            auto& l = f.add(f.action());
            if (b && b->peer != nullptr) b->peer->close();
            f.sim.run_for(1min);
            BOOST_TEST_CONTEXT(line) { BOOST_TEST((l.state() == link_state::ended)); }
        }
    }
}

BOOST_AUTO_TEST_CASE(a_heartbeat_that_cannot_be_sent_ends_no_connection) {
    strings log;
    srv->log().to([&](ice::log_level, std::string_view line) { log.emplace_back(line); });
    broker b(sim, first_broker);
    auto& l = add(action().heartbeat("two\r\nlines", 10s));
    sim.run_for(1min);
    BOOST_TEST(l.counters().connects == 1U);
    BOOST_TEST(l.counters().heartbeats == 0U);
    BOOST_TEST(log.back().find("its heartbeat cannot be sent") != std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_drain_while_opened_waits_makes_no_connection) {
    broker b(sim, first_broker);
    open_takes = 500ms;
    auto& l = add(action());
    srv->drain(1min);
    sim.run_for(5s);
    BOOST_TEST(l.counters().connects == 0U);
    BOOST_TEST((l.state() == link_state::ended));
    b.srv->drain(1s);
    sim.run_for(3s);
    BOOST_TEST(sim.quiescent());
}

BOOST_AUTO_TEST_CASE(a_peer_that_closes_at_once_is_not_tried_in_a_loop) {
    quiet_server up(sim.host("10.0.0.1"));
    up.add(ice::tcp_server_action{first_broker}.logic(
        [](std::string_view, ice::session<ice::raw>& s) { s.close(); }));
    auto& l = add(action());
    sim.run_for(10min);
    BOOST_TEST(l.counters().connects + l.counters().connect_failures > 10U);
    BOOST_TEST(l.counters().connects + l.counters().connect_failures < 150U);
}

BOOST_AUTO_TEST_CASE(a_handshake_that_fails_is_a_failed_attempt) {
    struct refusing : ice::line {
        ice::task<ice::error_code> handshake(ice::session<refusing>&) {
            co_return std::make_error_code(std::errc::permission_denied);
        }
    };
    broker b(sim, first_broker);
    auto& l = srv->add(ice::tcp_link_action{first_broker, ice::link_name<refusing>{"feed"}});
    sim.run_for(1min);
    BOOST_TEST(l.counters().connects == 0U);
    BOOST_TEST(l.counters().connect_failures > 3U);
    BOOST_TEST((l.why() == std::errc::permission_denied));
}

BOOST_AUTO_TEST_CASE(a_protocol_whose_copy_throws_ends_nothing) {
    struct throwing : ice::line {
        throwing() = default;
        throwing(throwing&&) = default;
        throwing& operator=(throwing&&) = default;
        throwing(const throwing& b) : ice::line(b) { throw std::runtime_error("no copy"); }
    };
    broker b(sim, first_broker);
    auto& l = srv->add(ice::tcp_link_action{first_broker, ice::link_name<throwing>{"feed"}});
    sim.run_for(1min);
    BOOST_TEST(l.counters().connect_failures > 3U);
    srv->drain(1s);
    sim.run_for(1s);
    BOOST_TEST(l.is_over());
}

BOOST_AUTO_TEST_CASE(a_logic_that_throws_ends_its_connection_only) {
    broker b(sim, first_broker);
    auto& l = add(action());
    b.send("throw");
    sim.run_for(5s);
    BOOST_TEST(l.counters().logic_threw == 1U);
    BOOST_TEST(l.counters().connects == 2U);
    BOOST_TEST(l.is_connected());
}

BOOST_AUTO_TEST_CASE(callers_wait_until_it_is_connected) {
    auto& l = add(action());
    std::optional<ice::error_code> up;
    sim.spawn([](ice::link<ice::line>& it, std::optional<ice::error_code>& to) -> ice::task<> {
        to = co_await it.connected();
    }(l, up));
    sim.run_for(10s);
    BOOST_TEST(!up);
    broker b(sim, first_broker);
    sim.run_for(31s);
    BOOST_TEST((up && !*up));
    up.reset();
    b.srv.reset();
    sim.run_for(1s);
    BOOST_TEST(!l.is_connected());
    sim.spawn([](ice::link<ice::line>& it, std::optional<ice::error_code>& to) -> ice::task<> {
        to = co_await it.connected();
    }(l, up));
    sim.run_for(1s);
    BOOST_TEST(!up);
    srv->drain(1s);
    sim.run_for(1s);
    BOOST_TEST((up && *up == errc::stopped));
}

BOOST_AUTO_TEST_CASE(what_its_session_spawns_ends_with_its_connection) {
    broker b(sim, first_broker);
    int ticks = 0;
    struct ticking {
        int& n;
        void opened(ice::session<ice::line>& s) const { s.spawn(tick(s, n)); }
        void operator()(std::string_view) const {}
        static ice::task<> tick(ice::session<ice::line>& s, int& n) {
            for (;;) {
                co_await s.sleep(1s);
                ++n;
                (void)s.push("tick");
            }
        }
    };
    auto& l = add(ice::tcp_link_action{first_broker, name}.logic(ticking{ticks}));
    sim.run_for(10s);
    BOOST_TEST(ticks == 10);
    b.peer->close();
    sim.run_for(10s);
    BOOST_TEST(l.counters().connects == 2U);
    BOOST_TEST(ticks >= 19);
    BOOST_TEST(ticks <= 20);
    BOOST_TEST(l.counters().logic_threw == 0U);
}

BOOST_AUTO_TEST_CASE(set_up_that_is_wrong_throws) {
    add(action());
    const auto text_of = [](auto f) {
        try {
            f();
        } catch (const std::invalid_argument& e) { return std::string(e.what()); }
        return std::string("nothing");
    };
    BOOST_TEST(text_of([&] { srv->add(action()); }) == "there is a link 'feed' already");
    BOOST_TEST(text_of([&] { srv->get(ice::link_name<ice::line>{"other"}); }) ==
               "there is no link 'other'");
    BOOST_TEST(text_of([&] { srv->get(ice::link_name<ice::raw>{"feed"}); }) ==
               "link 'feed' is of another type than its name");
    BOOST_TEST(text_of([&] {
                   srv->add(ice::tcp_link_action{std::vector<ice::address>{},
                                                 ice::link_name<ice::line>{"none"}});
               }) == "link 'none': no address");
}

BOOST_AUTO_TEST_CASE(its_report_is_a_line) {
    auto& l = add(action());
    sim.run_for(1s);
    BOOST_TEST(l.report().starts_with("link 'feed': "));
    BOOST_TEST(l.report().find("Connection refused") != std::string::npos);
    strings log;
    srv->log().to([&](ice::log_level, std::string_view line) { log.emplace_back(line); });
    srv->report();
    BOOST_TEST(log == (strings{l.report()}));
}

BOOST_AUTO_TEST_SUITE_END()
