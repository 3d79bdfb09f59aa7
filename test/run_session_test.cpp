// run_session: opened() of a logic that waits is bounded as its answers are; in virtual time. That
// closed() is called, and when, is in closed_test.cpp.
#include <ice/detail/run_session.hpp>

#include <asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/event.hpp>
#include <ice/protocols/line.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <string>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::errc;
using line_session = ice::session<ice::line>;

const ice::address where{"127.0.0.1", 9999};

// Its answers are plain, so that opened() alone waits.
struct slow_to_open {
    struct state {
        explicit state(const asio::any_io_executor& e) : never_set(e) {}
        ice::event never_set;
        int opened = 0, cancelled = 0;
        bool converses = false;
        std::vector<ice::error_code> ends;
    };
    state& s;

    ice::task<> opened(line_session& peer) const {
        ++s.opened;
        while (s.converses) {
            auto m = co_await peer.receive();
            if (!m || *m == "go") co_return;
        }
        if (co_await s.never_set.wait()) ++s.cancelled;
    }
    std::string operator()(std::string_view m) const { return std::string(m); }
    void closed(line_session&, ice::error_code why) const { s.ends.push_back(why); }
};

struct fixture {
    ice::testing::simulation sim;
    quiet_server srv{sim.net()};
    slow_to_open::state state{sim.net()->executor()};
    ice::listener<ice::line>& listener = srv.add(ice::tcp_server_action{where}
                                                     .protocol(ice::line{})
                                                     .timeouts({.idle = 20s, .logic = 5s})
                                                     .logic(slow_to_open{state}));
    std::unique_ptr<line_session> peer = sim.run(sim.open<ice::line>(where)).value();
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(run_session, fixture)

BOOST_AUTO_TEST_CASE(opened_that_never_ends_is_cancelled_at_the_logic_timeout) {
    sim.run_for(4900ms);
    BOOST_TEST(state.cancelled == 0);
    sim.run_for(200ms);
    BOOST_TEST(state.cancelled == 1);
    BOOST_TEST((state.ends == std::vector<ice::error_code>{errc::logic_timeout}));
    BOOST_TEST(listener.size() == 0U);
    BOOST_TEST(listener.counters().timeouts == 1U);
    BOOST_TEST(listener.counters().logic_threw == 0U);
}

BOOST_AUTO_TEST_CASE(stop_cancels_opened) {
    sim.run_for(1s);
    BOOST_TEST(state.opened == 1);
    srv.stop();
    sim.run_for(1ms);
    BOOST_TEST(state.cancelled == 1);
    BOOST_TEST(listener.size() == 0U);
}

BOOST_AUTO_TEST_CASE(opened_that_talks_with_the_peer_has_the_timeouts_of_the_peer) {
    sim.run_for(1ms);
    peer.reset();
    state.converses = true;
    sim.run_for(6s);
    peer = sim.run(sim.open<ice::line>(where)).value();
    for (int i = 0; i < 5; ++i) {
        sim.run_for(15s);
        BOOST_TEST(!sim.run(peer->send("not yet")));
    }
    BOOST_TEST(!sim.run(peer->send("go")));
    BOOST_TEST(!sim.run(peer->send("hello")));
    BOOST_TEST(sim.run(peer->receive()).value() == "hello");
    sim.run_for(15s);
    BOOST_TEST(listener.size() == 1U);  // its logic timeout has ended with opened()
}

BOOST_AUTO_TEST_SUITE_END()
