// reply_logic: a logic of replies that waits ends with its request. In virtual time.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/pool.hpp>
#include <stdexcept>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

constexpr std::size_t alone = 1, shared = 16;

struct fixture : asking {
    fixture() { serve(); }
    // A pool of one connection whose logic takes `takes` for the reply "slow", and 0 for others.
    ice::pool<ice::line>& add(std::size_t depth, ice::duration takes,
                              bool can_be_cancelled = true) {
        return open(ice::tcp_client_action{far, name, 1}
                        .limits({.pipeline = depth})
                        .logic([this, takes, can_be_cancelled](std::string_view reply) {
                            return judge(reply, takes, can_be_cancelled);
                        }));
    }
    // Reads the reply, a view of the connection's buffer, when it has waited.
    ice::task<std::string> judge(std::string_view reply, ice::duration takes,
                                 bool can_be_cancelled) {
        const on_end counts{ended};
        if (!can_be_cancelled)
            co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        if (reply == "slow") co_await sim.net()->sleep(takes);
        judged = std::string(reply);
        co_return judged;
    }
    struct on_end {
        int& n;
        ~on_end() { ++n; }
    };

    int ended = 0;
    std::string judged;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(reply_logic, fixture)

// The danger: request(m, 1s) returns after 20 s.
BOOST_AUTO_TEST_CASE(a_logic_that_waits_ends_at_the_timeout_of_its_request) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        auto& p = each.add(depth, 20s);
        const auto begin = each.sim.now();
        auto& slow = each.begin("slow", 1s);
        BOOST_TEST(each.end(slow) == ice::errc::request_timeout);
        BOOST_TEST((each.sim.now() - begin == 1s));
        BOOST_TEST(slow->failure().may_have_been_executed());
        BOOST_TEST(p.counters().timeouts == 1u);
        each.sim.run_for(1ms);
        BOOST_TEST(each.ended == 1);
        BOOST_TEST(each.judged == "");  // it was cancelled
        BOOST_TEST(!each.ask("next"));
        // The upstream has answered: it is not to blame.
        BOOST_TEST(p.addresses().all().front()->breaker.failures() == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_logic_that_waits_less_than_its_request_keeps_the_connection) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        auto& p = each.add(depth, 1s);
        auto& slow = each.begin("slow", 2s);
        BOOST_TEST(!each.end(slow));
        BOOST_TEST(**slow == "slow");
        BOOST_TEST(!each.ask("next"));
        BOOST_TEST(p.counters().connects == 1u);
        BOOST_TEST(p.counters().discarded == 0u);
    }
}

// The danger: the next reply lies where the logic still reads.
BOOST_AUTO_TEST_CASE(a_connection_whose_reply_is_still_read_is_kept_and_then_closed) {
    auto& p = add(alone, 20s, false);
    BOOST_TEST(ask("slow", 1s) == ice::errc::request_timeout);
    sim.run_for(10s);
    BOOST_TEST(p.busy() == 1u);
    BOOST_TEST(p.counters().discarded == 0u);
    BOOST_TEST(ask("next", 1s) == ice::errc::acquire_timeout);
    sim.run_for(10s);
    BOOST_TEST(judged == "slow");
    BOOST_TEST(p.counters().discarded == 1u);
    BOOST_TEST(!ask("next"));
    BOOST_TEST(judged == "next");
}

// A pipeline copies the reply for a logic that waits, so the connection serves the others.
BOOST_AUTO_TEST_CASE(a_logic_blocks_the_callers_behind_it_no_longer_than_its_own_caller_waits) {
    for (const bool can_be_cancelled : {true, false}) {
        fixture each;
        auto& p = each.add(shared, 20s, can_be_cancelled);
        const auto begin = each.sim.now();
        auto& slow = each.begin("slow", 1s);
        auto& second = each.begin("second");
        auto& third = each.begin("third");
        BOOST_TEST(!each.end(third));
        BOOST_TEST((each.sim.now() - begin == 1s));
        BOOST_TEST(!each.end(second));
        BOOST_TEST(**second == "second");
        BOOST_TEST(slow->error() == ice::errc::request_timeout);
        BOOST_TEST(p.counters().connects == 1u);
        BOOST_TEST(p.counters().discarded == 0u);
        each.judged.clear();
        each.sim.run_for(20s);
        BOOST_TEST(each.judged == (can_be_cancelled ? "" : "slow"));
    }
}

BOOST_AUTO_TEST_CASE(a_late_exception_of_a_logic_reaches_nobody) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        auto& p = each.open(ice::tcp_client_action{far, name, 1}
                                .limits({.pipeline = depth})
                                .logic([&](std::string_view reply) -> ice::task<std::string> {
                                    std::string own(reply);
                                    if (own != "slow") co_return own;
                                    try {
                                        co_await each.sim.net()->sleep(20s);
                                    } catch (const std::system_error&) {}
                                    throw std::runtime_error("too late");
                                }));
        BOOST_TEST(each.ask("slow", 1s) == ice::errc::request_timeout);
        BOOST_TEST(!each.ask("next"));
        BOOST_TEST(p.counters().timeouts == 1u);
    }
}

// A caller that leaves ends the logic, and does not wait for it.
BOOST_AUTO_TEST_CASE(a_cancelled_caller_cancels_its_logic) {
    auto& p = add(alone, 20s);
    asio::cancellation_signal stop;
    bool done = false;
    asio::co_spawn(
        sim.net()->executor(), p.request("slow"),
        asio::bind_cancellation_slot(
            stop.slot(), [&](const std::exception_ptr&, const ice::pool_result<std::string>& r) {
                done = true;
                BOOST_TEST(!r);
            }));
    sim.run_for(1s);
    BOOST_TEST(ended == 0);
    stop.emit(asio::cancellation_type::terminal);
    sim.run_for(1s);
    BOOST_TEST(done);
    BOOST_TEST(ended == 1);
    BOOST_TEST(!ask("next"));
}

// Replies that own their bytes, and a type of the user's.
BOOST_AUTO_TEST_CASE(the_last_logic_that_was_set_counts) {
    open(ice::tcp_client_action{far, name, 1}
             .logic([](std::string_view) -> ice::task<std::string> { co_return "waits"; })
             .logic([](std::string_view) { return std::string("plain"); }));
    auto& got = begin("x");
    BOOST_TEST(!end(got));
    BOOST_TEST(**got == "plain");
}

BOOST_AUTO_TEST_SUITE_END()
