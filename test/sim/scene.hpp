// scene: a small simulation that is the same in each run, for tests that interrupt it at each step:
// an upstream, a gateway with a pool, and peers of the gateway.
#pragma once

#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>
#include <string>

#include "../greeting.hpp"
#include "../printing.hpp"
#include "../quiet_server.hpp"

namespace scene {

using namespace std::chrono_literals;

using test::greeting;

inline constexpr ice::pool_name<greeting> upstream{"upstream"};
using pool = ice::pool<greeting>;

// "q17" is answered with "a17", after a while.
inline ice::task<std::string> answer(std::string_view request, ice::session<greeting>& peer) {
    std::string reply(request);
    reply.front() = 'a';
    co_await peer.sleep(1ms);
    co_return reply;
}

// Passes requests on, and says "note" to the peer before each answer; "sorry" if there is none. A
// coroutine beside it uses its session until that ends.
struct gateway {
    ice::server& srv;

    void opened(ice::session<greeting>& peer) const { peer.spawn(ping(peer)); }

    static ice::task<> ping(ice::session<greeting>& peer) {
        for (;;) {
            co_await peer.sleep(1h);
            if (peer.push(std::string_view("ping"))) co_return;
        }
    }

    ice::task<std::string> operator()(std::string_view request, ice::session<greeting>& peer) {
        const std::string own(request);
        auto reply = co_await srv.get(upstream).request(std::string_view(own), 5s);
        static_cast<void>(peer.push(std::string_view("note")));
        if (!reply) co_return "sorry";
        co_return *std::move(reply);
    }
};

class gateway_scene {
public:
    explicit gateway_scene(ice::pool_limits limits = {}, std::size_t size = 1) {
        behind = &up->add(ice::tcp_server_action{far}.protocol(greeting{}).logic(answer));
        auto to_up = ice::tcp_client_action{far, upstream, size};
        p = &srv->add(std::move(to_up).limits(limits));
        front = &srv->add(ice::tcp_server_action{near}.protocol(greeting{}).logic(gateway{*srv}));
    }

    // What a request through the pool gives, at last: "" if it fails.
    std::string ask(std::string text) {
        const auto reply = sim.run(p->request(std::move(text)));
        return reply ? *reply : std::string();
    }

    // A peer that connects, greets, asks, and reads up to its answer: "" if that fails.
    static ice::task<std::string> visit(gateway_scene& w, std::string text) {
        auto opened = co_await w.sim.open<greeting>(near);
        if (!opened) co_return "";
        auto& peer = **opened;
        const ice::error_code unwelcome = co_await peer.shake_hands(5s);
        if (unwelcome) co_return "";
        const ice::error_code unsent = co_await peer.send(std::string_view(text));
        for (bool noted = false; !unsent;) {
            const auto got = co_await peer.receive();
            if (!got) break;
            if (noted) co_return std::string(*got);
            noted = *got == "note";
        }
        co_return "";
    }

    // Each connection is where the counters say; no visitor is there.
    void check_counters(const std::string& when) const {
        const auto& c = p->counters();
        const auto ended = c.discarded + c.stale + c.expired + c.aged;
        if (c.connects != c.connect_failures + p->idle() + ended || p->busy() != 0 ||
            p->waiting() != 0 || c.replies + c.timeouts + c.failures + c.refused > c.requests)
            BOOST_ERROR(when << ": " << p->report());
        if (behind->size() != p->idle() || front->size() != 0)
            BOOST_ERROR(when << ": listeners count " << behind->size() << " and " << front->size());
    }

    // Ends all, and finds nothing left.
    void close(const std::string& when) {
        srv->stop();
        sim.run_for(2s);
        if (front->size() != 0) BOOST_ERROR(when << ": its listener counts " << front->size());
        p = nullptr;
        srv.reset();
        up->stop();
        sim.run_for(2s);
        if (behind->size() != 0) BOOST_ERROR(when << ": upstream counts " << behind->size());
        up.reset();
        sim.run_until([&] { return sim.quiescent(); }, 10min);
        if (!sim.quiescent()) BOOST_ERROR(when << ": something is left\n" << sim.history());
    }

    static inline const ice::address far{"10.0.0.1", 7}, near{"127.0.0.1", 9};

    ice::testing::simulation sim;
    std::unique_ptr<quiet_server> up = std::make_unique<quiet_server>(sim.host("10.0.0.1"));
    std::unique_ptr<quiet_server> srv = std::make_unique<quiet_server>(sim.net());
    pool* p = nullptr;
    ice::listener_base *front = nullptr, *behind = nullptr;
};

}  // namespace scene
