// cancel_at, abandon_at: a coroutine ends at its deadline, or is left behind. In virtual time.
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/this_coro.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/detail/cancel_at.hpp>
#include <ice/testing/sim.hpp>
#include <ice/transport.hpp>
#include <stdexcept>

#include "printing.hpp"
#include "until_cancelled.hpp"

namespace {

using namespace std::chrono_literals;

struct fixture {
    struct on_end {
        int& n;
        ~on_end() { ++n; }
    };
    ice::task<> sleeps(ice::duration span) {
        const on_end counts{ended};
        co_await net->sleep(span);
        ++finished;
    }
    ice::task<> throws(ice::duration span) {
        co_await net->sleep(span);
        throw std::runtime_error("no luck");
    }
    ice::task<> at_once() {
        ++finished;
        co_return;
    }
    // Cannot be cancelled.
    ice::task<> insists(ice::duration span) {
        const on_end counts{ended};
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await net->sleep(span);
        ++finished;
    }
    ice::task<bool> cancelled_at(ice::duration in, ice::task<> work) {
        return ice::cancel_at(net->executor(), net->deadlines(), ice::after(net->now(), in),
                              std::move(work));
    }
    ice::task<ice::error_code> abandoned_at(ice::duration in, ice::task<> work) {
        return ice::abandon_at(net->executor(), net->deadlines(), ice::after(net->now(), in),
                               std::move(work), std::move(held));
    }
    // What is set when `held` is destroyed.
    void hold() {
        held = std::shared_ptr<void>(this, [this](void*) { released = true; });
    }

    ice::testing::simulation sim;
    std::shared_ptr<ice::transport> net = sim.net();
    ice::time_point begin = sim.now();
    int ended = 0, finished = 0;
    std::shared_ptr<void> held;
    bool released = false;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(cancel_at, fixture)

BOOST_AUTO_TEST_CASE(work_that_ends_in_time_is_awaited) {
    BOOST_TEST(sim.run(cancelled_at(2s, sleeps(1s))));
    BOOST_TEST((sim.now() - begin == 1s));
    BOOST_TEST(sim.run(cancelled_at(2s, at_once())));
    BOOST_TEST(finished == 2);
    BOOST_TEST(!sim.run(abandoned_at(2s, sleeps(1s))));
    BOOST_TEST(!sim.run(abandoned_at(2s, at_once())));
    BOOST_TEST(finished == 4);
}

BOOST_AUTO_TEST_CASE(work_that_is_late_is_cancelled) {
    BOOST_TEST(!sim.run(cancelled_at(1s, sleeps(20s))));
    BOOST_TEST((sim.now() - begin == 1s));
    BOOST_TEST(ended == 1);
    BOOST_TEST(sim.run(abandoned_at(1s, sleeps(20s))) == ice::errc::request_timeout);
    BOOST_TEST((sim.now() - begin == 2s));
    sim.run_for(1ms);
    BOOST_TEST(ended == 2);
    BOOST_TEST(finished == 0);
}

BOOST_AUTO_TEST_CASE(an_exception_in_time_reaches_the_caller) {
    BOOST_CHECK_THROW(sim.run(cancelled_at(2s, throws(1s))), std::runtime_error);
    BOOST_CHECK_THROW(sim.run(abandoned_at(2s, throws(1s))), std::runtime_error);
    BOOST_CHECK_THROW(sim.run(abandoned_at(2s, throws(0s))), std::runtime_error);
}

// The danger: the caller goes on, and destroys what the coroutine still uses.
BOOST_AUTO_TEST_CASE(work_that_disables_its_cancellation_holds_the_caller_or_what_it_needs) {
    BOOST_TEST(!sim.run(cancelled_at(1s, insists(20s))));
    BOOST_TEST((sim.now() - begin == 20s));
    BOOST_TEST(finished == 1);
    hold();
    BOOST_TEST(sim.run(abandoned_at(1s, insists(20s))) == ice::errc::request_timeout);
    BOOST_TEST((sim.now() - begin == 21s));
    sim.run_for(18s);
    BOOST_TEST(!released);
    sim.run_for(1s + 1ms);
    BOOST_TEST(released);
    BOOST_TEST(ended == 2);
}

BOOST_AUTO_TEST_CASE(a_late_exception_is_dropped) {
    hold();
    const auto late = [this]() -> ice::task<> {
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await net->sleep(2s);
        throw std::runtime_error("no luck");
    };
    BOOST_TEST(sim.run(abandoned_at(1s, late())) == ice::errc::request_timeout);
    sim.run_for(2s);
    BOOST_TEST(released);
}

BOOST_AUTO_TEST_CASE(without_a_deadline_work_takes_as_long_as_it_takes) {
    BOOST_TEST(
        sim.run(ice::cancel_at(net->executor(), net->deadlines(), ice::never, sleeps(59min))));
    BOOST_TEST(finished == 1);
}

BOOST_AUTO_TEST_CASE(a_caller_that_is_cancelled_cancels_the_work) {
    for (const bool waits : {false, true}) {
        ended = 0;
        asio::cancellation_signal stop;
        bool done = false, has_thrown = false;
        const auto call = [this](bool w) -> ice::task<> {
            if (w) co_await cancelled_at(1h, sleeps(2h));
            else co_await abandoned_at(1h, sleeps(2h));
        };
        asio::co_spawn(
            net->executor(), call(waits),
            asio::bind_cancellation_slot(stop.slot(), [&](const std::exception_ptr& thrown) {
                done = true;
                has_thrown = thrown != nullptr;
            }));
        sim.run_for(1s);
        BOOST_TEST(!done);
        stop.emit(asio::cancellation_type::terminal);
        sim.run_for(1s);
        BOOST_TEST(done);
        BOOST_TEST(ended == 1);
        BOOST_TEST(has_thrown == waits);
    }
}

// The danger: the caller leaves at its co_await, and what it has begun runs on.
BOOST_AUTO_TEST_CASE(work_that_cancels_its_caller_as_it_begins_is_awaited) {
    asio::cancellation_signal stop;
    bool done = false;
    int ended_before = -1;
    const auto work = [this, &stop]() -> ice::task<> {
        const on_end counts{ended};
        stop.emit(asio::cancellation_type::terminal);
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await net->sleep(1s);
    };
    const auto call = [&]() -> ice::task<> {
        try {
            co_await cancelled_at(1h, work());
        } catch (const std::system_error&) {}
        ended_before = ended;
    };
    asio::co_spawn(
        net->executor(), call(),
        asio::bind_cancellation_slot(stop.slot(), [&](const std::exception_ptr&) { done = true; }));
    sim.run_for(2s);
    BOOST_TEST(done);
    BOOST_TEST(ended_before == 1);
}

// The danger: the caller takes it for work that has ended in time.
BOOST_AUTO_TEST_CASE(work_that_ends_while_it_is_cancelled_is_late) {
    const auto work = [this]() -> ice::task<> {
        co_await test::until_cancelled();
        ++finished;
    };
    BOOST_TEST(!sim.run(cancelled_at(1s, work())));
    BOOST_TEST(sim.run(abandoned_at(1s, work())) == ice::errc::request_timeout);
    BOOST_TEST(finished == 2);
    BOOST_TEST((sim.now() - begin == 2s));
}

// The frame of `work` is destroyed with the loop, whoever owns it.
BOOST_AUTO_TEST_CASE(a_loop_that_ends_destroys_both) {
    int gone = 0;
    {
        fixture each;
        const auto lives = [](std::shared_ptr<ice::transport> on, int& n) -> ice::task<> {
            const on_end counts{n};
            co_await on->sleep(1h);
        };
        each.sim.spawn([](fixture& f, ice::task<> work) -> ice::task<> {
            co_await f.cancelled_at(1h, std::move(work));
        }(each, lives(each.net, gone)));
        each.sim.spawn([](fixture& f, ice::task<> work) -> ice::task<> {
            co_await f.abandoned_at(1h, std::move(work));
        }(each, lives(each.net, gone)));
        each.sim.run_for(1s);
        each.net.reset();
    }
    BOOST_TEST(gone == 2);
}

BOOST_AUTO_TEST_SUITE_END()
