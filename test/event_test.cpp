// event: one coroutine resumes others. No wake-up is lost, and every wait ends.
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

BOOST_AUTO_TEST_CASE(waits_return_in_their_order_after_the_caller) {
    // Last in, first out would starve the first waiter.
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

BOOST_AUTO_TEST_CASE(a_wait_for_a_set_event_returns_at_once) {
    // The event is set before the wait: a condition variable alone would lose it.
    e.set();
    spawn(waiter(e, "late"));
    asio::post(io, [&] { seen.emplace_back("posted behind it"); });
    settle();
    BOOST_TEST(seen == (names{"late", "posted behind it"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(after_clear_a_wait_waits_again) {
    // If the event stayed set, a loop that waits for it would spin.
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

BOOST_AUTO_TEST_CASE(clear_after_set_does_not_lose_the_wake_up) {
    // The waiter runs after the caller, when the event is cleared again.
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

BOOST_AUTO_TEST_CASE(an_event_set_while_waits_return_is_not_lost) {
    // Defect 9 of the original: of two waiters that are woken together, the first waits again while
    // the second sets the event again.
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

BOOST_AUTO_TEST_CASE(two_events_that_set_each_other_lose_no_wake_up) {
    // Each coroutine sets an event when it is woken: if one wake-up is lost, both wait for ever.
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

BOOST_AUTO_TEST_CASE(a_coroutine_that_is_woken_may_start_another_wait) {
    // The new wait begins while the event is set and other waits still return.
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

BOOST_AUTO_TEST_CASE(a_wait_for_a_destroyed_event_returns_operation_aborted) {
    // Otherwise the waiter would hang for ever, or use freed memory when it is resumed.
    auto gone = std::make_optional<ice::event>(io.get_executor());
    spawn(waiter(*gone, "a"));
    spawn(waiter(*gone, "b"));
    settle();
    gone.reset();
    settle();
    BOOST_TEST(seen == (names{"a aborted", "b aborted"}), boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(destroying_an_event_after_set_does_not_lose_the_wake_up) {
    // Most owners set their event and are destroyed then.
    auto gone = std::make_optional<ice::event>(io.get_executor());
    spawn(waiter(*gone, "a"));
    settle();
    gone->set();
    gone.reset();
    settle();
    BOOST_TEST(seen == names{"a"}, boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(a_moved_event_keeps_its_waits) {
    // Events are elements of containers; and an event that is assigned to has waits of its own.
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

BOOST_AUTO_TEST_CASE(a_cancelled_wait_ends_and_the_others_continue) {
    // A timeout of Asio around one wait must not affect other waits.
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

BOOST_AUTO_TEST_CASE(an_io_context_destroys_coroutines_that_wait) {
    // A coroutine frame and an event that own each other would leak at every exit.
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
