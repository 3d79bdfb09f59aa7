// task_group: its coroutines can be cancelled and awaited, and their exceptions are reported.
#include <asio/steady_timer.hpp>
#include <asio/use_awaitable.hpp>
#include <ice/detail/task_group.hpp>
#include <stdexcept>

#include "conversation.hpp"

using namespace test;

namespace {

struct fixture : memory_world {
    int begun = 0, ended = 0, empty = 0;
    std::vector<std::string> thrown;
    std::optional<ice::task_group> group{std::in_place, loop.get_executor(), [this] { ++empty; }};

    void run(ice::task<> work) {
        group->spawn(std::move(work), [this](std::exception_ptr e) {
            thrown.push_back(ice::detail::what_of(std::move(e)));
        });
    }
    ice::task<> sleeps(ice::duration span) {
        ++begun;
        struct end {
            int& n;
            ~end() { ++n; }
        } const counts{ended};
        co_await net->sleep(span);
    }
    // An operation of Asio's own.
    ice::task<> waits() {
        ++begun;
        asio::steady_timer timer(loop, std::chrono::hours(1));
        try {
            co_await timer.async_wait(asio::use_awaitable);
        } catch (const std::system_error& e) {
            if (e.code() == asio::error::operation_aborted) ++ended;
            throw;
        }
    }
    // Goes on after its first wait was cancelled: the second one ends it.
    ice::task<> insists() {
        ++begun;
        try {
            co_await net->sleep(1h);
        } catch (const std::system_error&) {}
        ++ended;
        co_await net->sleep(1h);
        ended += 100;
    }
    ice::task<> throws() {
        co_await net->sleep(1s);
        throw std::runtime_error("no luck");
    }
    ice::task<> aborts() {
        co_await net->sleep(1s);
        throw std::system_error(asio::error::make_error_code(asio::error::operation_aborted));
    }
    ice::task<> joins(bool& done) {
        co_await group->join();
        done = true;
    }
    ice::task<> cancels_all() {
        ++begun;
        group->cancel();
        ++ended;
        co_await net->sleep(1h);
        ended += 100;
    }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(task_group, fixture)

// Asio begins a coroutine that is spawned on the loop at once, within its caller, whose state may
// be incomplete.
BOOST_AUTO_TEST_CASE(a_coroutine_begins_after_its_caller_has_returned_to_the_loop) {
    int seen = -1;
    asio::post(loop, [&] {
        run(sleeps(1s));
        seen = begun;
    });
    settle();
    BOOST_TEST(seen == 0);
    BOOST_TEST(begun == 1);
    BOOST_TEST(group->size() == 1u);
    advance(1s);
    BOOST_TEST(ended == 1);
    BOOST_TEST(group->size() == 0u);
    BOOST_TEST(empty == 1);
}

BOOST_AUTO_TEST_CASE(cancel_ends_waits_for_ice_and_for_asio) {
    run(sleeps(1h));
    run(waits());
    run(insists());
    settle();
    group->cancel();
    settle();
    BOOST_TEST(begun == 3);
    BOOST_TEST(ended == 3);
    BOOST_TEST(group->size() == 0u);
    BOOST_TEST(empty == 1);
    BOOST_TEST(thrown.empty(), "being cancelled is no failure");
}

BOOST_AUTO_TEST_CASE(a_coroutine_cancelled_before_it_begins_never_begins) {
    run(sleeps(1s));
    group->cancel();
    run(sleeps(1s));
    settle();
    BOOST_TEST(begun == 0);
    BOOST_TEST(group->size() == 0u);
}

// The cancellation also reaches the coroutine that calls cancel(), which runs and waits for
// nothing.
BOOST_AUTO_TEST_CASE(a_coroutine_may_cancel_its_own_group) {
    run(sleeps(1h));
    run(cancels_all());
    settle();
    BOOST_TEST(begun == 2);
    BOOST_TEST(ended == 2);
    BOOST_TEST(group->size() == 0u);
}

BOOST_AUTO_TEST_CASE(an_exception_is_passed_to_the_callback) {
    run(throws());
    run(aborts());
    settle();
    advance(1s);
    BOOST_TEST_REQUIRE(thrown.size() == 2u, "operation_aborted is an error if nobody cancelled");
    BOOST_TEST(thrown[0] == "no luck");
    group->cancel();
    BOOST_TEST(empty == 1);
}

BOOST_AUTO_TEST_CASE(join_waits_for_the_last_coroutine) {
    bool first = false, second = false;
    spawn(joins(first));
    settle();
    BOOST_TEST(first, "there is none");
    run(sleeps(1s));
    run(sleeps(2s));
    spawn(joins(second));
    settle();
    advance(1s);
    BOOST_TEST(!second);
    advance(1s);
    BOOST_TEST(second);
}

// The owner is gone: the coroutines end later, and do not call when_empty.
BOOST_AUTO_TEST_CASE(a_group_may_end_before_its_coroutines) {
    run(sleeps(1h));
    settle();
    group.reset();
    BOOST_TEST(ended == 0);
    settle();
    BOOST_TEST(ended == 1);
    BOOST_TEST(empty == 0);
}

// As the end of a loop does: no coroutine may use an object that is gone, which the sanitizers
// check.
BOOST_AUTO_TEST_CASE(a_coroutine_may_be_destroyed_where_it_waits) {
    asio::io_context io;
    ice::task_group own(io.get_executor());
    const auto wait = [](asio::io_context& on) -> ice::task<> {
        asio::steady_timer timer(on, std::chrono::hours(1));
        co_await timer.async_wait(asio::use_awaitable);
    };
    {
        asio::io_context short_lived;
        ice::task_group outlives(short_lived.get_executor());
        outlives.spawn(wait(short_lived), [](std::exception_ptr) {});
        short_lived.poll_one();
        short_lived.poll_one();
        outlives.cancel();
    }
    own.spawn(wait(io), [](std::exception_ptr) {});
    io.run_one();
    BOOST_TEST(own.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
