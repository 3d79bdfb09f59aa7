// Each single allocation in the life of a link fails once: while it connects, shakes hands, opens,
// pushes, sends heartbeats, reconnects and drains. It may end a connection; never the process or
// the link.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../greeting.hpp"
#include "../nats_broker.hpp"
#include "../quiet_server.hpp"
#include "failing.hpp"

namespace {

using namespace std::chrono_literals;
using namespace failing;
using test::greeting;
using session = ice::session<greeting>;

const ice::address far{"10.0.0.1", 7};

class link_scene {
public:
    link_scene() {
        up->add(ice::tcp_server_action{far}.protocol(greeting{}).logic(broker{*this}));
        link = &srv->add(ice::tcp_link_action{far, ice::link_name<greeting>{"feed"}}
                             .limits({.queue = 4, .in_flight = 2})
                             .backoff({.first = 10ms, .cap = 100ms})
                             .heartbeat(std::string("beat"), 2s)
                             .logic(logic{*this}));
    }

    // Runs also if memory runs out in the middle.
    void run(ice::duration span) { run_for(sim, span); }
    void push(const char* text) {
        try {
            static_cast<void>(link->push(std::string(text)));
        } catch (const std::bad_alloc&) {}
    }
    void send_unasked() {
        try {
            if (at_broker != nullptr) static_cast<void>(at_broker->push(std::string("unasked")));
        } catch (const std::bad_alloc&) {}
    }
    bool has_got(std::string_view text) const { return std::ranges::count(got, text) == 1; }

    // Ends all, and finds nothing left.
    void close(const std::string& when) {
        srv->stop();
        run(2s);
        if (!link->is_over()) BOOST_ERROR(when << ": the link does not end");
        link = nullptr;
        srv.reset();
        up->stop();
        run(2s);
        up.reset();
        got.clear();
        got.shrink_to_fit();
        sim.run_until([&] { return sim.quiescent(); }, 10min);
        if (!sim.quiescent()) BOOST_ERROR(when << ": something is left\n" << sim.history());
    }

    // What the broker does.
    struct broker {
        link_scene& w;
        void opened(session& peer) const { w.at_broker = &peer; }
        std::optional<std::string> operator()(std::string_view m) const {
            w.got.emplace_back(m);
            if (m == "sub") return "welcome again";
            if (m == "beat") return "alive";
            return std::nullopt;
        }
        void closed(session&) const { w.at_broker = nullptr; }
    };
    // What the link does with each message.
    struct logic {
        link_scene& w;
        ice::task<> opened(session& peer) const {
            co_await peer.sleep(1ms);
            static_cast<void>(peer.push(std::string_view("sub")));
        }
        ice::task<std::optional<std::string>> operator()(std::string_view m, session& peer) const {
            const bool is_unasked = m == "unasked";
            if (is_unasked) ++w.heard;
            co_await peer.sleep(1ms);
            if (is_unasked) co_return "heard";
            co_return std::nullopt;
        }
        ice::task<> closed(session& peer) const {
            co_await peer.sleep(1ms);
            static_cast<void>(peer.push(std::string_view("bye")));
        }
    };

    ice::testing::simulation sim;
    std::unique_ptr<quiet_server> up = std::make_unique<quiet_server>(sim.host("10.0.0.1"));
    std::unique_ptr<quiet_server> srv = std::make_unique<quiet_server>(sim.net());
    ice::link<greeting>* link = nullptr;
    session* at_broker = nullptr;
    std::vector<std::string> got;  // by the broker
    unsigned heard = 0;            // by the link, unasked
};

enum class way { stays, reconnects, drains };

// Strikes at the n-th allocation from the first turn of the loop on; false when so many are never
// made. In the end the link is connected as if nothing had been, or it has drained.
bool strikes(std::uint64_t n, way how) {
    const std::string when = fmt::format("allocation {} fails, way {}", n, static_cast<int>(how));
    link_scene w;
    heap::fail(n, may_fail);
    w.push("early");  // to the queue
    w.run(1s);        // connects, shakes hands, opens
    w.push("later");
    w.send_unasked();
    w.run(5s);  // heartbeats
    if (how == way::reconnects) in_spite_of_it([&] { w.link->reconnect(); });
    if (how == way::drains) in_spite_of_it([&] { w.srv->drain(5s); });
    w.run(2s);
    const bool struck = !heap::waits_to_fail();
    heap::fail_no_more();
    if (how == way::drains) {
        w.run(4s);
        if (!w.link->is_over()) BOOST_ERROR(when << ": the drain does not end");
        w.close(when);
        return struck;
    }
    w.run(10s);  // whatever the failure has ended, the link is back by then
    if (!w.link->is_connected()) BOOST_ERROR(when << ": " << w.link->report());
    const unsigned before = w.heard;
    w.push("after");
    w.send_unasked();
    w.run(1s);
    if (!w.has_got("after")) BOOST_ERROR(when << ": a push is lost that had memory");
    if (w.heard != before + 1) BOOST_ERROR(when << ": a message is lost that had memory");
    const auto c = w.link->counters();
    if (c.connects != c.closed + c.broken + c.reconnects + 1)
        BOOST_ERROR(when << ": " << w.link->report());
    if (!struck && !(w.has_got("early") && w.has_got("later")))
        BOOST_ERROR(when << ": a push is lost without a failure");
    w.close(when);
    return struck;
}

void strike_everywhere() {
    for (const way how : {way::stays, way::reconnects, way::drains}) {
        std::uint64_t n = 0;
        while (strikes(n, how)) ++n;
        BOOST_TEST(n > 50U);
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(link_memory)

BOOST_AUTO_TEST_CASE(each_allocation_of_a_link_may_fail_once) {
    // The danger: the link makes no other connection, or holds a drain, and a process that seems to
    // work gets no message any more.
    BOOST_TEST(heap::left_by(strike_everywhere) == 0U);
    BOOST_TEST_MESSAGE(heap::failures << " failed, " << heap::spared << " spared; " << came_out
                                      << " came out of the loop");
    BOOST_TEST(heap::failures > heap::spared);
}

// The broker's protocol is in the names of its functions.
bool may_fail_at_the_client() { return may_fail_outside({"nats_server_side", "nats_broker"}); }

// The danger: the session is destroyed without closed() of its logic, and the client uses it.
BOOST_AUTO_TEST_CASE(a_nats_client_uses_no_session_that_memory_has_ended) {
    bool was_reached = true;
    std::uint64_t n = 0;
    for (; was_reached; ++n) {
        ice::testing::simulation sim;
        test::nats_broker broker(sim, {"10.0.0.1", 4222});
        quiet_server srv(sim.host("10.0.1.1"));
        ice::nats_client client(srv, ice::address("10.0.0.1", 4222));
        int got = 0;
        const std::uint64_t gone = client.subscribe("a", [&](ice::nats_view) { ++got; });
        client.subscribe("b", [&](ice::nats_view) { ++got; });
        heap::fail(n, may_fail_at_the_client);
        run_for(sim, 1s);
        in_spite_of_it([&] { client.link().reconnect(); });
        run_for(sim, 1ms);
        in_spite_of_it([&] { client.unsubscribe(gone); });
        was_reached = !heap::waits_to_fail();
        heap::fail_no_more();
        run_for(sim, 10s);
        broker.publish("a", "");
        broker.publish("b", "");
        run_for(sim, 1s);
        BOOST_TEST(got == 1, "allocation " << n);
    }
    BOOST_TEST(n > 20U);
}

BOOST_AUTO_TEST_SUITE_END()
