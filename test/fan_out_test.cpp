// all, first_of: coroutines side by side under one deadline. In virtual time.
#include <ice/fan_out.hpp>

#include <algorithm>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <exception>
#include <functional>
#include <ice/pool.hpp>
#include <ice/protocols/line.hpp>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "printing.hpp"
#include "quiet_server.hpp"
#include "until_cancelled.hpp"

namespace {

using namespace std::chrono_literals;
using text_task = ice::task<ice::result<std::string>>;

struct fixture {
    struct on_end {
        int& n;
        ~on_end() { ++n; }
    };

    // Coroutines that end with `name` after `span`.
    ice::task<std::string> value(std::string name, ice::duration span) {
        const on_end counts{ended};
        ++begun;
        if (span > 0s) co_await net->sleep(span);
        co_return name;
    }
    text_task answer(std::string name, ice::duration span) {
        std::string v = co_await value(std::move(name), span);
        co_return v;
    }
    text_task fails(ice::errc why, ice::duration span) {
        co_await value("", span);
        co_return why;
    }
    ice::task<ice::error_code> status(ice::error_code ec, ice::duration span) {
        co_await value("", span);
        co_return ec;
    }
    ice::task<> nothing(ice::duration span) { co_await value("", span); }
    text_task throws(const char* what, ice::duration span) {
        co_await value("", span);
        throw std::runtime_error(what);
    }
    // Cannot be cancelled.
    text_task insists(std::string name, ice::duration span) {
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        std::string v = co_await value(std::move(name), span);
        co_return v;
    }
    // Throws something else when it is cancelled.
    text_task throws_when_cancelled(const char* what) {
        bool cancelled = false;
        try {
            co_await net->sleep(1h);
        } catch (const std::system_error&) { cancelled = true; }
        if (cancelled) throw std::runtime_error(what);
        co_return "";
    }
    // Has something to do when it is cancelled.
    text_task cleans_up(ice::duration span) {
        try {
            co_await net->sleep(1h);
        } catch (const std::system_error&) { ++ended; }
        co_await asio::this_coro::reset_cancellation_state();
        co_await net->sleep(span);
        ++ended;
        co_return "clean";
    }
    text_task calls(std::function<void()> f) {
        const on_end counts{ended};
        f();
        co_await net->sleep(1h);
        co_return "";
    }

    ice::time_limit within(ice::duration span) { return net->within(span); }
    ice::duration passed() const { return ice::duration(sim.now() - begin); }
    static std::string text(const ice::result<std::string>& r) {
        return r ? *r : r.error().message();
    }
    // What is thrown by `work`, or "".
    template <class T>
    std::string thrown_by(ice::task<T> work) {
        try {
            static_cast<void>(sim.run(std::move(work)));
        } catch (const std::exception& e) { return e.what(); }
        return "";
    }

    // A caller that can be cancelled.
    ice::task<> call(std::function<text_task()> work) {
        try {
            auto running = work();
            const auto got = co_await std::move(running);
            said = text(got);
        } catch (const std::system_error& e) {
            said = e.code() == asio::error::operation_aborted ? "aborted" : "another error";
        } catch (const std::exception& e) { said = e.what(); }
        ended_at_return = ended;
    }
    void spawn(std::function<text_task()> work) {
        asio::co_spawn(net->executor(), call(std::move(work)),
                       asio::bind_cancellation_slot(stop.slot(), [](std::exception_ptr) {}));
    }
    // all() of two, whose outcomes it joins.
    text_task both(ice::time_limit limit, text_task a, text_task b) {
        auto work = ice::all(std::move(limit), std::move(a), std::move(b));
        const auto got = co_await std::move(work);
        co_return text(std::get<0>(got)) + ", " + text(std::get<1>(got));
    }

    ice::testing::simulation sim;
    std::shared_ptr<ice::transport> net = sim.net();
    ice::time_point begin = sim.now();
    asio::cancellation_signal stop;
    int begun = 0, ended = 0, ended_at_return = 0;
    std::string said;
};
const std::string late = make_error_code(ice::errc::request_timeout).message();

}  // namespace

BOOST_FIXTURE_TEST_SUITE(fan_out, fixture)

BOOST_AUTO_TEST_CASE(the_outcome_of_each_says_what_it_returned) {
    using got_type = std::tuple<ice::result<std::string>, ice::result<std::string>, ice::error_code,
                                ice::error_code, ice::error_code, ice::pool_result<int>>;
    const auto reply = []() -> ice::task<ice::pool_result<int>> { co_return 7; };
    const got_type got =
        sim.run(ice::all(within(1s), value("value", 10ms), answer("answer", 300ms), nothing(20ms),
                         status({}, 30ms), status(ice::errc::closed, 0s), reply()));
    BOOST_TEST(*std::get<0>(got) == "value");
    BOOST_TEST(*std::get<1>(got) == "answer");
    BOOST_TEST(!std::get<2>(got));
    BOOST_TEST(!std::get<3>(got));
    BOOST_TEST(std::get<4>(got) == ice::errc::closed);
    BOOST_TEST(*std::get<5>(got) == 7);
    BOOST_TEST((passed() == 300ms), "side by side");
}

BOOST_AUTO_TEST_CASE(coroutines_that_do_not_wait_are_done_at_once) {
    spawn([this] { return both(within(1s), answer("a", 0s), answer("b", 0s)); });
    sim.run_for(0s);
    BOOST_TEST(said == "a, b");
}

BOOST_AUTO_TEST_CASE(those_that_are_late_are_cancelled_and_awaited) {
    const auto got = sim.run(ice::all(within(200ms), value("in time", 199ms), value("late", 200ms),
                                      nothing(1h), status({}, 1h), fails(ice::errc::closed, 1h)));
    BOOST_TEST((passed() == 200ms));
    BOOST_TEST(ended == 5);
    BOOST_TEST(*std::get<0>(got) == "in time");
    BOOST_TEST(std::get<1>(got).error() == ice::errc::request_timeout);
    BOOST_TEST(std::get<2>(got) == ice::errc::request_timeout);
    BOOST_TEST(std::get<3>(got) == ice::errc::request_timeout);
    BOOST_TEST(std::get<4>(got).error() == ice::errc::request_timeout);
}

BOOST_AUTO_TEST_CASE(without_a_limit_each_takes_as_long_as_it_takes) {
    BOOST_TEST(*sim.run(both(within(ice::no_timeout), answer("a", 59min), answer("b", 0s))) ==
               "a, b");
}

// The danger: a caller that tries again at once, in a loop, holds the thread.
BOOST_AUTO_TEST_CASE(a_limit_that_is_over_begins_nothing_and_lets_others_run) {
    for (const ice::duration span : {0s, -1s}) {
        bool others = false;
        const auto ask = [this, &others](ice::time_limit limit) {
            asio::post(net->executor(), [&others] { others = true; });
            return ice::all(std::move(limit), value("a", 0s), nothing(0s));
        };
        const auto asks_in_a_loop = [&](ice::duration d) -> ice::task<int> {
            int times = 0;
            for (; !others && times != 3; ++times) {
                auto work = ask(within(d));
                co_await std::move(work);
            }
            co_return times;
        };
        BOOST_TEST(sim.run(asks_in_a_loop(span)) == 1);
        const auto got = sim.run(ask(within(span)));
        BOOST_TEST(begun == 0);
        BOOST_TEST(std::get<0>(got).error() == ice::errc::request_timeout);
        BOOST_TEST(std::get<1>(got) == ice::errc::request_timeout);
        BOOST_TEST(text(sim.run(ice::first_of(within(span), answer("a", 0s)))) == late);
    }
    BOOST_TEST(begun == 0);
}

// The danger: the caller goes on, and destroys what the coroutine still uses.
BOOST_AUTO_TEST_CASE(one_that_cannot_be_cancelled_holds_the_caller_and_is_late) {
    BOOST_TEST(*sim.run(both(within(1s), insists("a", 20s), answer("b", 1ms))) == late + ", b");
    BOOST_TEST((passed() == 20s));
    BOOST_TEST(text(sim.run(ice::first_of(within(1s), insists("a", 20s)))) == late);
}

BOOST_AUTO_TEST_CASE(an_exception_cancels_the_others_and_is_rethrown_when_all_have_ended) {
    BOOST_TEST(thrown_by(both(within(1h), answer("a", 30min), throws("no luck", 1s))) == "no luck");
    BOOST_TEST((passed() == 1s));
    BOOST_TEST(ended == 2);
    BOOST_TEST(thrown_by(both(within(1h), insists("a", 1min), throws("no luck", 1s))) == "no luck");
    BOOST_TEST((passed() == 61s));
    BOOST_TEST(thrown_by(both(within(1h), throws("first", 1s), throws_when_cancelled("second"))) ==
               "first");
}

BOOST_AUTO_TEST_CASE(those_after_one_that_throws_at_once_do_not_begin) {
    BOOST_TEST(thrown_by(both(within(1h), throws("no luck", 0s), answer("b", 0s))) == "no luck");
    BOOST_TEST(begun == 1);
}

// The danger: an error of the program is taken for the end of its time.
BOOST_AUTO_TEST_CASE(an_exception_after_the_limit_is_rethrown) {
    BOOST_TEST(thrown_by(both(within(1s), answer("a", 1ms), throws_when_cancelled("no luck"))) ==
               "no luck");
}

BOOST_AUTO_TEST_CASE(a_caller_that_is_cancelled_cancels_all_and_waits_for_them) {
    spawn([this] { return both(within(1h), answer("a", 1s), answer("b", 30min)); });
    sim.run_for(1min);
    BOOST_TEST(said == "");
    stop.emit(asio::cancellation_type::terminal);
    sim.run_for(0s);
    BOOST_TEST(said == "aborted");
    BOOST_TEST(ended_at_return == 2);
}

BOOST_AUTO_TEST_CASE(a_caller_that_is_cancelled_gets_no_outcome_of_those_that_go_on) {
    spawn([this] { return both(within(1h), insists("a", 1s), insists("b", 1min)); });
    sim.run_for(1ms);
    stop.emit(asio::cancellation_type::terminal);
    sim.run_for(59s);
    BOOST_TEST(said == "");
    sim.run_for(1s);
    BOOST_TEST(said == "aborted");
}

// The danger: the first cancellation was that of the limit, and nothing ends the clean-up.
BOOST_AUTO_TEST_CASE(one_that_is_cancelled_twice_ends_with_the_second) {
    spawn([this] { return both(within(1s), cleans_up(1min), cleans_up(2s)); });
    sim.run_for(10s);
    BOOST_TEST(ended == 3);
    BOOST_TEST(said == "");
    stop.emit(asio::cancellation_type::terminal);
    sim.run_for(0s);
    BOOST_TEST(said == "aborted");
}

// The danger: the caller leaves at the co_await, and what it has begun runs on.
BOOST_AUTO_TEST_CASE(one_that_cancels_its_caller_as_it_begins_is_awaited) {
    const auto leave = [this] { stop.emit(asio::cancellation_type::terminal); };
    spawn([this, leave] { return both(within(1h), calls(leave), answer("b", 0s)); });
    sim.run_for(0s);
    BOOST_TEST(said == "aborted");
    BOOST_TEST(ended_at_return == 1);
    BOOST_TEST(begun == 0);
}

// The danger: the last of them wakes the caller while the others are still to be cancelled.
BOOST_AUTO_TEST_CASE(those_that_end_while_they_are_cancelled_end_in_any_order) {
    const auto waits = [this]() -> text_task {
        const on_end counts{ended};
        co_await test::until_cancelled();
        co_return "";
    };
    BOOST_TEST(*sim.run(both(within(1s), waits(), waits())) == late + ", " + late);
    BOOST_TEST(thrown_by(both(within(1s), waits(), throws("no luck", 1ms))) == "no luck");
    BOOST_TEST(text(sim.run(ice::first_of(within(1s), waits(), answer("b", 1ms), waits()))) == "b");
    spawn([this, waits] { return both(within(1s), waits(), waits()); });
    sim.run_for(1ms);
    stop.emit(asio::cancellation_type::terminal);
    BOOST_TEST(said == "aborted");
    BOOST_TEST(ended == 9);
}

BOOST_AUTO_TEST_CASE(a_number_that_is_known_at_run_time_runs_side_by_side) {
    const auto ask = [this](std::size_t n) {
        std::vector<ice::task<std::string>> work;
        for (std::size_t i = 0; i < n; ++i) work.push_back(value(std::string(i, 'x'), i * 1s));
        return ice::all(within(2500ms), std::move(work));
    };
    const auto got = sim.run(ask(4));
    BOOST_TEST_REQUIRE(got.size() == 4u);
    BOOST_TEST(*got[0] == "");
    BOOST_TEST(*got[2] == "xx");
    BOOST_TEST(got[3].error() == ice::errc::request_timeout);
    BOOST_TEST((passed() == 2500ms));
    BOOST_TEST(sim.run(ask(0)).empty());
}

BOOST_AUTO_TEST_CASE(the_first_that_succeeds_cancels_the_others) {
    const auto got = sim.run(ice::first_of(within(1h), answer("a", 3s), answer("b", 2s),
                                           fails(ice::errc::closed, 1s), answer("d", 30min)));
    BOOST_TEST(text(got) == "b");
    BOOST_TEST((passed() == 2s));
    BOOST_TEST(ended == 4);
    BOOST_TEST(!sim.run(ice::first_of(within(1h), nothing(1min), nothing(1s))));
    BOOST_TEST(!sim.run(ice::first_of(within(1h), status(ice::errc::closed, 1s), status({}, 2s))));
    BOOST_TEST(*sim.run(ice::first_of(within(1h), value("a", 2s), value("b", 1s))) == "b");
    BOOST_TEST((passed() == 6s));
}

BOOST_AUTO_TEST_CASE(one_that_succeeds_at_once_leaves_those_after_it) {
    BOOST_TEST(text(sim.run(ice::first_of(within(1h), answer("a", 1s), answer("b", 0s),
                                          answer("c", 0s)))) == "b");
    BOOST_TEST(begun == 2);
    BOOST_TEST(ended == 2);
}

// The danger: a cancelled one succeeds all the same, and takes the place of the first.
BOOST_AUTO_TEST_CASE(the_others_are_awaited_and_their_outcomes_are_lost) {
    BOOST_TEST(text(sim.run(ice::first_of(within(1h), insists("a", 1min), answer("b", 1s)))) ==
               "b");
    BOOST_TEST((passed() == 1min));
    BOOST_TEST(thrown_by(ice::first_of(within(1h), throws_when_cancelled("no luck"),
                                       answer("b", 1s))) == "no luck");
}

BOOST_AUTO_TEST_CASE(if_none_succeeds_the_error_is_that_of_the_last) {
    BOOST_TEST(sim.run(ice::first_of(within(1h), fails(ice::errc::closed, 2s),
                                     fails(ice::errc::truncated, 1s)))
                   .error() == ice::errc::closed);
    BOOST_TEST(
        sim.run(ice::first_of(within(1s), fails(ice::errc::closed, 0s), answer("b", 1h))).error() ==
        ice::errc::request_timeout);
    BOOST_TEST((passed() == 3s));
}

BOOST_AUTO_TEST_CASE(the_first_of_none_is_an_error_of_the_program) {
    BOOST_TEST(thrown_by(ice::first_of(within(1h), std::vector<text_task>())) ==
               "ice: first_of() of no coroutines");
}

// Three upstreams, each with a pool of one connection. The second one is silent for an hour, once.
struct three_pools : fixture {
    struct upstream {
        const char* name;
        ice::duration takes;

        ice::task<std::string> operator()(std::string_view, ice::session<ice::line>& peer) {
            co_await peer.sleep(std::exchange(takes, 1ms));
            co_return name;
        }
    };
    ice::pool<ice::line>& add(quiet_server& at, const char* ip, upstream u) {
        const ice::address where(ip, 1);
        const ice::pool_name<ice::line> name{u.name};
        at.add(ice::tcp_server_action{where}.protocol(ice::line{}).logic(u));
        return srv.add(ice::tcp_client_action{where, name, 1});
    }

    quiet_server one{sim.host("10.0.0.1")}, two{sim.host("10.0.0.2")}, three{sim.host("10.0.0.3")};
    quiet_server srv{sim.net()};
    ice::pool<ice::line>& fast = add(one, "10.0.0.1", {"fast", 1ms});
    ice::pool<ice::line>& silent = add(two, "10.0.0.2", {"silent", 1h});
    ice::pool<ice::line>& slow = add(three, "10.0.0.3", {"slow", 150ms});
};

BOOST_FIXTURE_TEST_CASE(a_silent_upstream_costs_the_replies_of_others_nothing, three_pools) {
    sim.run_for(1s);
    begin = sim.now();
    const auto ask = [this]() -> ice::task<> {
        const auto got = co_await ice::all(srv.within(200ms), fast.request("a"),
                                           silent.request("b"), slow.request("c"));
        BOOST_TEST((passed() == 200ms));
        const auto& [a, b, c] = got;
        BOOST_TEST(a.value_or("") == "fast");
        BOOST_TEST(b.error() == ice::errc::request_timeout);
        BOOST_TEST(b.failure().text() ==
                   "pool 'silent' of 10.0.0.2:1: no reply in time (may have been executed)");
        BOOST_TEST(c.value_or("") == "slow");
    };
    sim.run(ask());
    // The danger: the late reply reaches the next caller.
    BOOST_TEST(sim.run(silent.request("d", 2s)).value_or("") == "silent");
    BOOST_TEST(silent.counters().connects == 2u);
    BOOST_TEST(fast.counters().connects == 1u);
    BOOST_TEST(slow.counters().connects == 1u);
}

BOOST_FIXTURE_TEST_CASE(a_request_that_still_waits_for_a_connection_was_not_sent, three_pools) {
    sim.run_for(1s);
    const auto got = sim.run(
        ice::all(srv.within(200ms), silent.request("a"), silent.request("b"), silent.acquire()));
    BOOST_TEST(std::get<0>(got).failure().may_have_been_executed());
    const ice::failure& second = std::get<1>(got).failure();
    BOOST_TEST(second.code() == ice::errc::acquire_timeout);
    BOOST_TEST((second.code() == ice::condition::not_executed));
    BOOST_TEST(!second.may_have_been_executed());
    BOOST_TEST(second.pool() == "silent");
    BOOST_TEST(std::get<2>(got).error() == ice::errc::acquire_timeout);
}

BOOST_FIXTURE_TEST_CASE(a_request_that_did_not_begin_was_not_sent, three_pools) {
    sim.run_for(1s);
    const auto got = sim.run(ice::all(srv.within(0s), fast.request("a")));
    BOOST_TEST(std::get<0>(got).error() == ice::errc::acquire_timeout);
    BOOST_TEST(!std::get<0>(got).failure().may_have_been_executed());
    BOOST_TEST(fast.counters().requests == 0u);
}

// The danger: nothing is known of a request within a coroutine that was cancelled, and the caller
// sends it again.
BOOST_FIXTURE_TEST_CASE(a_coroutine_without_an_outcome_may_have_been_executed, three_pools) {
    sim.run_for(1s);
    const auto asks = [this](auto& pool) -> ice::task<ice::pool_result<std::string>> {
        auto reply = co_await pool.request("a");
        co_await net->sleep(1s);
        co_return reply;
    };
    const auto got = sim.run(ice::all(srv.within(200ms), asks(fast)));
    BOOST_TEST(std::get<0>(got).error() == ice::errc::request_timeout);
    BOOST_TEST(std::get<0>(got).failure().may_have_been_executed());
}

BOOST_FIXTURE_TEST_CASE(the_first_reply_of_two_pools_ends_the_other_request, three_pools) {
    sim.run_for(1s);
    begin = sim.now();
    const auto ask = [this]() -> ice::task<> {
        const auto got =
            co_await ice::first_of(srv.within(200ms), silent.request("a"), slow.request("a"));
        BOOST_TEST((passed() >= 150ms));
        BOOST_TEST((passed() < 200ms));
        BOOST_TEST(got.value_or("") == "slow");
    };
    sim.run(ask());
    BOOST_TEST(sim.run(silent.request("b", 2s)).value_or("") == "silent");
    BOOST_TEST(silent.counters().connects == 2u);
    // One whose pool fails at once does not count.
    two.stop();
    sim.run_for(1s);
    BOOST_TEST(sim.run(ice::first_of(srv.within(200ms), silent.request("c"), fast.request("c")))
                   .value_or("") == "fast");
}

BOOST_FIXTURE_TEST_CASE(a_logic_asks_within_a_limit_of_its_session, three_pools) {
    const auto asks = [this](std::string_view line,
                             ice::session<ice::line>& peer) -> ice::task<std::string> {
        const auto got = co_await ice::all(peer.within(200ms), fast.request(std::string(line)),
                                           silent.request(std::string(line)));
        co_return std::get<0>(got).value_or("?") + " " + std::get<1>(got).value_or("?");
    };
    const ice::address gateway("127.0.0.1", 1);
    srv.add(ice::tcp_server_action{gateway}.protocol(ice::line{}).logic(asks));
    sim.run_for(1s);
    BOOST_TEST(sim.run(sim.ask<ice::line>(gateway, "a")).value() == "fast ?");
    // The danger: a server that stops destroys what the requests use.
    auto peer = sim.run(sim.open<ice::line>(gateway)).value();
    BOOST_TEST(!sim.run(peer->send("b")));
    sim.run_for(1us);
    srv.stop();
    sim.run_for(1s);
    BOOST_TEST(!sim.run(peer->receive()).has_value());
}

// The danger: the frame of the caller, which has what the others use, is destroyed before theirs.
BOOST_AUTO_TEST_CASE(a_loop_that_ends_destroys_the_caller_last) {
    struct log {
        std::string& to;
        std::string what;
        ~log() { to += what; }
    };
    struct uses {
        log& of_caller;
        const char* name;
        ~uses() { of_caller.what = name + of_caller.what; }
    };
    const auto lives = [](std::shared_ptr<ice::transport> on, log& of_caller, const char* name,
                          ice::duration span) -> ice::task<> {
        const uses it{of_caller, name};
        co_await on->sleep(span);
    };
    std::string order;
    {
        fixture each;
        const auto caller = [&](fixture& f, std::string& to) -> ice::task<> {
            log mine{to, "."};
            auto work = ice::all(f.within(1h), lives(f.net, mine, "a", 2h),
                                 lives(f.net, mine, "b", 1s), lives(f.net, mine, "c", 3h));
            co_await std::move(work);
        };
        each.sim.spawn(caller(each, order));
        each.sim.run_for(1min);
        each.net.reset();
        BOOST_TEST(order == "");
    }
    std::sort(order.begin(), order.begin() + std::min<std::ptrdiff_t>(3, std::ssize(order)));
    BOOST_TEST(order == "abc.");
}

BOOST_AUTO_TEST_SUITE_END()
