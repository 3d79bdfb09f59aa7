// event: one coroutine tells others. No wake-up is lost, and no waiter is left behind.
#include <algorithm>
#include <asio/bind_cancellation_slot.hpp>
#include <asio/cancellation_signal.hpp>
#include <asio/co_spawn.hpp>
#include <asio/error.hpp>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <boost/test/unit_test.hpp>
#include <exception>
#include <ice/event.hpp>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace {

using names = std::vector<std::string>;

struct fixture {
    void spawn(ice::task<> work) {
        asio::co_spawn(io, std::move(work), [](std::exception_ptr thrown) {
            if (thrown) std::rethrow_exception(thrown);
        });
    }

    // Runs all that is ready, and what that makes ready, but waits for nothing: a lost wake-up is
    // a line that is missing, not a test that hangs. A handler posted here runs behind all others.
    void settle() {
        for (int round = 0; round < 20; ++round) {
            bool behind = false;
            asio::post(io, [&] { behind = true; });
            io.restart();
            while (!behind) io.run_one();
        }
    }

    // Writes down that it was woken, or why not.
    ice::task<> waiter(ice::event& what, std::string name) {
        const ice::error_code ec = co_await what.wait();
        if (ec == asio::error::operation_aborted) name += " aborted";
        else if (ec) name += " " + ec.message();
        seen.push_back(name);
    }

    asio::io_context io;
    ice::event e{io.get_executor()};
    names seen;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(event, fixture)

BOOST_AUTO_TEST_CASE(all_who_wait_are_woken_in_their_order_after_the_caller) {
    // Last in, first out starves whoever came first.
    for (const auto* name : {"a", "b", "c"}) spawn(waiter(e, name));
    settle();
    BOOST_TEST(seen.empty());
    BOOST_TEST(!e.is_set());
    asio::post(io, [&] {
        e.set();
        seen.emplace_back("caller");
    });
    settle();
    BOOST_TEST(seen == (names{"caller", "a", "b", "c"}), boost::test_tools::per_element());
    BOOST_TEST(e.is_set());
}

BOOST_AUTO_TEST_CASE(who_comes_late_does_not_wait) {
    // Set before the wait: a bare condition variable would lose it.
    e.set();
    spawn(waiter(e, "late"));
    asio::post(io, [&] { seen.emplace_back("posted behind it"); });
    settle();
    BOOST_TEST(seen == (names{"late", "posted behind it"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(after_clear_one_waits_again) {
    // An event that stays set is a loop that spins.
    e.set();
    e.clear();
    BOOST_TEST(!e.is_set());
    spawn(waiter(e, "a"));
    settle();
    BOOST_TEST(seen.empty());
    e.set();
    settle();
    BOOST_TEST(seen == names{"a"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(who_was_woken_stays_so_when_it_is_cleared_at_once) {
    // The waiter runs after the caller, and finds the event cleared: it was set all the same.
    spawn(waiter(e, "a"));
    settle();
    e.set();
    e.clear();
    settle();
    BOOST_TEST(seen == names{"a"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(set_twice_wakes_once) {
    // The second call must not cancel what waits after the first.
    e.set();
    e.set();
    e.clear();
    spawn(waiter(e, "a"));
    settle();
    BOOST_TEST(seen.empty());
    e.set();
    e.set();
    settle();
    BOOST_TEST(seen == names{"a"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_signal_raised_while_signals_are_delivered_is_not_lost) {
    // Defect 9 of the original. The first of the woken waits again while the second, woken with
    // it, sets the event again.
    struct twice {
        static ice::task<> wait(fixture& f) {
            co_await f.waiter(f.e, "first");
            f.e.clear();
            co_await f.waiter(f.e, "first again");
        }
        static ice::task<> answer(fixture& f) {
            co_await f.waiter(f.e, "second");
            f.e.set();
        }
    };
    spawn(twice::wait(*this));
    spawn(twice::answer(*this));
    spawn(waiter(e, "third"));
    settle();
    e.set();
    settle();
    BOOST_TEST(seen == (names{"first", "second", "third", "first again"}),
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(two_events_that_wake_each_other_never_stop_by_themselves) {
    // Each wake-up is raised out of the delivery of another: one lost, and both wait for ever.
    struct game {
        static ice::task<> play(ice::event& mine, ice::event& theirs, int& turns) {
            for (int i = 0; i < 100; ++i) {
                if (co_await mine.wait()) break;
                mine.clear();
                ++turns;
                theirs.set();
            }
        }
    };
    ice::event other(io.get_executor());
    int turns = 0;
    spawn(game::play(e, other, turns));
    spawn(game::play(other, e, turns));
    e.set();
    for (int i = 0; i < 50; ++i) settle();
    BOOST_TEST(turns == 200);
}

BOOST_AUTO_TEST_CASE(a_waiter_that_is_woken_may_start_another) {
    // It comes while the event is set, in the middle of the delivery.
    struct chain {
        static ice::task<> wait(fixture& f) {
            co_await f.waiter(f.e, "first");
            f.spawn(f.waiter(f.e, "started"));
        }
    };
    spawn(chain::wait(*this));
    spawn(waiter(e, "second"));
    settle();
    e.set();
    settle();
    std::sort(seen.begin(), seen.end());
    BOOST_TEST(seen == (names{"first", "second", "started"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(who_waits_when_it_is_destroyed_is_told_so) {
    // Left alone, the waiter would hang for ever, or touch freed memory when it wakes.
    auto gone = std::make_optional<ice::event>(io.get_executor());
    spawn(waiter(*gone, "a"));
    spawn(waiter(*gone, "b"));
    settle();
    gone.reset();
    settle();
    BOOST_TEST(seen == (names{"a aborted", "b aborted"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(who_was_woken_stays_so_when_it_is_destroyed_at_once) {
    // The owner sets it and goes: that is how most events end.
    auto gone = std::make_optional<ice::event>(io.get_executor());
    spawn(waiter(*gone, "a"));
    settle();
    gone->set();
    gone.reset();
    settle();
    BOOST_TEST(seen == names{"a"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_event_takes_its_waiters_along_when_it_moves) {
    // Events stand in containers; and one that is overwritten has waiters of its own.
    ice::event overwritten(io.get_executor());
    spawn(waiter(e, "moved"));
    spawn(waiter(overwritten, "lost"));
    settle();
    overwritten = std::move(e);
    settle();
    BOOST_TEST(seen == names{"lost aborted"}, boost::test_tools::per_element());
    const auto home = std::make_unique<ice::event>(std::move(overwritten));
    home->set();
    settle();
    BOOST_TEST(seen == (names{"lost aborted", "moved"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_cancelled_wait_ends_and_the_others_go_on) {
    // Asio's own way: a timeout around a wait must not disturb who else waits.
    asio::cancellation_signal cancel;
    bool ended = false;
    asio::co_spawn(io, waiter(e, "cancelled"),
                   asio::bind_cancellation_slot(cancel.slot(), [&](std::exception_ptr thrown) {
                       BOOST_TEST(!thrown);
                       ended = true;
                   }));
    spawn(waiter(e, "other"));
    settle();
    cancel.emit(asio::cancellation_type::terminal);
    settle();
    BOOST_TEST(ended);
    BOOST_TEST(seen == names{"cancelled aborted"}, boost::test_tools::per_element());
    e.set();
    settle();
    BOOST_TEST(seen == (names{"cancelled aborted", "other"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(waiting_coroutines_go_with_their_io_context) {
    // A frame that keeps its event, and an event that keeps its frame, would leak at every exit.
    const auto token = std::make_shared<int>(1);
    struct holder {
        static ice::task<> wait(ice::event& e, std::shared_ptr<int> held) {
            co_await e.wait();
            *held = 2;
        }
    };
    {
        asio::io_context short_lived;
        ice::event never_set(short_lived.get_executor());
        asio::co_spawn(short_lived, holder::wait(never_set, token), [](std::exception_ptr) {});
        short_lived.run_one();
        BOOST_TEST(token.use_count() > 1);
    }
    BOOST_TEST(token.use_count() == 1);
    BOOST_TEST(*token == 1);
}

BOOST_AUTO_TEST_SUITE_END()
