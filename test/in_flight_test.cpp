// limits::in_flight beside one message at a time: the same input has the same answers and ends.
#include <fmt/format.h>

#include <asio/async_result.hpp>
#include <asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>
#include <charconv>
#include <ice/protocols/line.hpp>
#include <ice/protocols/raw.hpp>
#include <ice/protocols/resp_requests.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>

#include "printing.hpp"
#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::testing::simulation;
using line_session = ice::session<ice::line>;

const ice::address SERVER{"127.0.0.1", 9999};
const std::string CLOSED = make_error_code(ice::errc::closed).message();

// "20 a": answers "a" after 20 ms. "20 !": throws then.
struct slow {
    template <class P>
    ice::task<std::string> operator()(std::string_view text, ice::session<P>& peer) {
        int ms = 0;
        std::from_chars(text.data(), text.data() + text.size(), ms);
        std::string what(text.substr(text.find(' ') + 1));
        if (ms != 0) co_await peer.sleep(std::chrono::milliseconds(ms));
        if (what == "!") throw std::runtime_error("no luck");
        if (what == "quit") peer.close();
        if (what == "long") what.assign(8000, 'x');
        co_return what;
    }
};

// A world for each number in flight.
struct one_world {
    explicit one_world(std::size_t n) : in_flight(n) {}

    template <class P, class L>
    ice::listener<P>& listen(P p, L logic, ice::timeouts times = {}, ice::limits bounds = {}) {
        bounds.in_flight = in_flight;
        return srv.add(ice::tcp_server_action{SERVER}
                           .protocol(std::move(p))
                           .logic(std::move(logic))
                           .limits(bounds)
                           .timeouts(times));
    }
    template <class P = ice::line>
    std::unique_ptr<ice::session<P>> open() {
        return sim.run(sim.open<P>(SERVER)).value();
    }
    // Sends lines, each of which ends at a comma, in one write.
    void send(line_session& peer, const std::string& text) {
        std::string all;
        for (const char c : text) all += c == ',' ? std::string("\r\n") : std::string(1, c);
        peer.bytes().out() += all;
        BOOST_TEST(peer.try_flush());
        sim.run_for(10ms);
    }
    void check(line_session& peer, const std::string& expected) {
        std::string got;
        while (got.size() < expected.size()) {
            const auto one = sim.run(peer.receive());
            got += (one ? std::string(*one) : one.error().message()) + ",";
        }
        BOOST_TEST(got == expected, in_flight << " in flight: " << got);
    }

    const std::size_t in_flight;
    simulation sim;
    quiet_server srv{sim.net()};
};

template <class F>
void for_each_number(F test) {
    for (const std::size_t n : {1u, 2u, 4u, 200u}) {
        one_world w(n);
        test(w);
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(in_flight)

// The danger: the deadline of the last wait for the peer ends a connection whose logic works.
BOOST_AUTO_TEST_CASE(a_peer_that_waits_for_slow_answers_is_not_idle) {
    for_each_number([](one_world& w) {
        w.listen(ice::line{}, slow{}, {.idle = 2s});
        auto peer = w.open();
        w.sim.run_for(10ms);
        w.send(*peer, "9000 a,9000 b,");
        w.check(*peer, "a,b,");
    });
}

BOOST_AUTO_TEST_CASE(the_timeout_of_a_message_ends_with_the_message) {
    for_each_number([](one_world& w) {
        w.listen(ice::line{}, slow{}, {.message = 3s});
        auto peer = w.open();
        w.send(*peer, "9000 a,90");
        if (w.in_flight != 1) w.send(*peer, "00 b,");
        else w.send(*peer, "0 b,");
        w.check(*peer, "a,b,");
    });
}

BOOST_AUTO_TEST_CASE(what_arrived_before_an_end_is_answered_however_long_it_takes) {
    for_each_number([](one_world& w) {
        w.listen(ice::line{}, slow{}, {.message = 2s, .idle = 2s}, {.message = 100});
        auto peer = w.open();
        w.send(*peer, "9000 a," + std::string(20'000, 'x') + ",");
        w.check(*peer, "a," + CLOSED + ",");
        peer = w.open();
        w.send(*peer, "9000 a,0 quit,");
        w.check(*peer, "a,quit," + CLOSED + ",");
        peer = w.open();
        w.send(*peer, "9000 a,0 b");
        simulation::half_close(peer->bytes());
        w.check(*peer, "a," + CLOSED + ",");
    });
}

// The danger: it is cut in the middle of an answer.
BOOST_AUTO_TEST_CASE(a_peer_that_reads_slowly_is_not_idle) {
    for_each_number([](one_world& w) {
        auto& l = w.listen(ice::line{}, slow{}, {.idle = 2s, .write = 10s});
        auto peer = w.open();
        for (int i = 0; i < 100; ++i) peer->bytes().out() += "5 long\r\n";
        BOOST_TEST(peer->try_flush());
        for (int i = 0; i < 100; ++i) {
            w.check(*peer, std::string(8000, 'x') + ",");
            w.sim.run_for(100ms);
        }
        BOOST_TEST(l.counters().timeouts == 0u);
        w.sim.run_for(5s);
        BOOST_TEST(l.counters().timeouts == 1u, "but then it is");
    });
}

// The danger: the client takes the error of its protocol for the answer to an earlier request.
BOOST_AUTO_TEST_CASE(the_error_of_a_protocol_leaves_after_the_answers_before_it) {
    for_each_number([](one_world& w) {
        const auto pong = [](ice::resp_view,
                             ice::session<ice::resp_requests>& peer) -> ice::task<ice::resp_value> {
            co_await peer.sleep(20ms);
            co_return ice::resp_simple_string("PONG");
        };
        w.listen(ice::resp_requests{}, pong);
        auto peer = w.open<ice::raw>();
        peer->bytes().out() = "*1\r\n$4\r\nPING\r\n*1\r\nX";
        BOOST_TEST(peer->try_flush());
        std::string got;
        while (const auto more = w.sim.run(peer->receive())) got += *more;
        BOOST_TEST(got == "+PONG\r\n-ERR Protocol error: expected '$'\r\n", got);
    });
}

namespace {

struct unknown_view {
    std::string_view text;
};
struct unknown_views : ice::line {
    ice::parsed<unknown_view> parse(std::string_view in) {
        auto found = ice::line::parse(in);
        if (!found.has_message()) return ice::need_more;
        return {unknown_view{found.message()}, found.size()};
    }
};

struct throws_at_boom : ice::line {
    ice::parsed<std::string_view> parse(std::string_view in) {
        if (in.starts_with("boom")) throw std::runtime_error("boom");
        return ice::line::parse(in);
    }
};

}  // namespace

// The danger: it views the buffer, whose bytes move.
BOOST_AUTO_TEST_CASE(a_message_that_does_not_say_whether_it_owns_its_bytes_is_alone) {
    for_each_number([](one_world& w) {
        const auto logic = [](unknown_view m,
                              ice::session<unknown_views>& peer) -> ice::task<std::string> {
            co_await peer.sleep(50ms);
            co_return std::string(m.text);
        };
        w.listen(unknown_views{}, logic);
        auto peer = w.open();
        w.send(*peer, "hello,");
        w.send(*peer, "other,");
        w.check(*peer, "hello,other,");
    });
}

BOOST_AUTO_TEST_CASE(a_parser_that_throws_ends_the_connection_after_the_answers_before_it) {
    for_each_number([](one_world& w) {
        auto& l = w.listen(throws_at_boom{}, slow{});
        auto peer = w.open();
        w.send(*peer, "20 a,boom,");
        w.check(*peer, "a," + CLOSED + ",");
        BOOST_TEST(l.counters().logic_threw == 1u);
    });
}

BOOST_AUTO_TEST_CASE(each_exception_is_counted_whatever_ends_the_connection) {
    for_each_number([](one_world& w) {
        auto& l = w.listen(ice::line{}, slow{});
        auto peer = w.open();
        w.send(*peer, "40 !,");
        simulation::reset(peer->bytes());
        w.sim.run_for(1s);
        // In flight, the reset has cancelled the logic before it throws.
        BOOST_TEST(l.counters().logic_threw == (w.in_flight == 1 ? 1u : 0u));
        BOOST_TEST(l.size() == 0u);
        peer = w.open();
        w.send(*peer, "40 a,20 !,");
        w.sim.run_for(15ms);
        simulation::reset(peer->bytes());
        w.sim.run_for(1s);
        BOOST_TEST(l.size() == 0u);
        if (w.in_flight != 1) BOOST_TEST(l.counters().logic_threw == 1u);
    });
}

namespace {

// Pushes to its peer, and waits.
struct pushes {
    int& running;
    struct here {
        explicit here(int& n) : count(n) { ++count; }
        ~here() { --count; }
        here(const here&) = delete;
        here& operator=(const here&) = delete;
        int& count;
    };
    ice::task<std::string> operator()(std::string_view, line_session& peer) {
        const here one(running);
        co_await peer.sleep(1s);
        static_cast<void>(peer.push("note"));
        co_await peer.sleep(1h);
        co_return "late";
    }
};

}  // namespace

// The danger: the channel is cancelled already, so the timeout of the logic ends nothing.
BOOST_AUTO_TEST_CASE(the_timeout_cancels_a_logic_whose_connection_is_lost) {
    for_each_number([](one_world& w) {
        int running = 0;
        auto& l = w.listen(ice::line{}, pushes{running}, {.logic = 3s});
        auto peer = w.open();
        w.send(*peer, "a,b,");
        w.sim.run_for(500ms);
        simulation::reset(peer->bytes());
        w.sim.run_for(20s);
        BOOST_TEST(l.size() == 0u, w.in_flight << " in flight");
        BOOST_TEST(running == 0);
    });
}

// The danger: a send() in a logic takes the deadline of a message that has begun.
BOOST_AUTO_TEST_CASE(a_send_that_waits_leaves_the_timeout_of_a_message) {
    const auto sends = [](std::string_view,
                          line_session& peer) -> ice::task<std::optional<std::string>> {
        co_await peer.sleep(10ms);
        for (int i = 0; i < 100; ++i) {
            const ice::error_code lost = co_await peer.send(std::string(8000, 'y'));
            if (lost) break;
        }
        co_return std::nullopt;
    };
    one_world w(4);
    auto& l = w.listen(ice::line{}, sends, {.message = 3s, .idle = 1h, .write = 60s});
    auto peer = w.open();
    w.send(*peer, "a,part");
    for (int i = 0; i < 100; ++i) w.check(*peer, std::string(8000, 'y') + ",");
    w.sim.run_for(10s);
    BOOST_TEST(l.counters().timeouts == 1u);
}

namespace {

// Waits for what a test holds, and may destroy as a lack of memory does.
using handler = asio::async_result<asio::use_awaitable_t<>, void()>::handler_type;
struct hold {
    template <class H>
    void operator()(H h) const {
        to->emplace(std::move(h));
    }
    std::optional<handler>* to;
};
struct waits_for_test {
    std::optional<handler>& at;
    ice::task<std::string> operator()(std::string_view) {
        asio::use_awaitable_t<> token;
        auto wait = asio::async_initiate<asio::use_awaitable_t<>, void()>(hold{&at}, token);
        co_await std::move(wait);
        co_return "x";
    }
};

}  // namespace

// The danger: the session waits for ever for its answer.
BOOST_AUTO_TEST_CASE(a_logic_that_is_destroyed_where_it_waits_ends_its_connection) {
    for (const bool stops : {false, true}) {
        for_each_number([stops](one_world& w) {
            std::optional<handler> at;
            auto& l = w.listen(ice::line{}, waits_for_test{at}, {.logic = 1h});
            auto peer = w.open();
            w.send(*peer, "a,");
            at.reset();
            if (stops) l.stop();
            else simulation::half_close(peer->bytes());
            w.sim.run_for(10s);
            BOOST_TEST(l.size() == 0u, w.in_flight << " in flight");
        });
    }
}

BOOST_AUTO_TEST_SUITE_END()
