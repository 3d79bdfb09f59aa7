// task and the clock: a task is an asio::awaitable.
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <asio/use_future.hpp>
#include <boost/test/unit_test.hpp>
#include <concepts>
#include <future>
#include <ice/task.hpp>
#include <stdexcept>
#include <string>

namespace {

// The loop ends when nothing is left to do, so the future is ready: get() never waits.
template <class T>
T run(ice::task<T> work) {
    asio::io_context io;
    std::future<T> made = asio::co_spawn(io, std::move(work), asio::use_future);
    io.run();
    return made.get();
}

ice::task<int> number(int n, int& begun) {
    ++begun;
    co_return n;
}

ice::task<std::string> sum(int& begun) {
    const int a = co_await number(1, begun);
    const int b = co_await number(2, begun);
    co_return std::to_string(a + b);
}

ice::task<> fails() {
    throw std::runtime_error("as meant");
    co_return;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(task)

BOOST_AUTO_TEST_CASE(a_task_is_an_awaitable_of_asio) {
    // A separate type could not await what Asio's documentation awaits.
    static_assert(std::same_as<ice::task<int>, asio::awaitable<int>>);
    static_assert(std::same_as<ice::task<>, asio::awaitable<void>>);
}

BOOST_AUTO_TEST_CASE(the_clock_is_steady) {
    // With the system clock, a change of the date would fire every timeout at once, or never.
    static_assert(std::derived_from<ice::duration, std::chrono::steady_clock::duration>);
    static_assert(std::same_as<ice::time_point, std::chrono::steady_clock::time_point>);
    static_assert(ice::never == std::chrono::steady_clock::time_point::max());
    static_assert(ice::time_point{} < ice::never);
}

BOOST_AUTO_TEST_CASE(a_task_starts_when_it_is_awaited_and_not_before) {
    // An eager coroutine would run before its caller has stored what it refers to.
    int begun = 0;
    {
        const auto unused = sum(begun);
        BOOST_TEST(begun == 0);
    }
    BOOST_TEST(run(sum(begun)) == "3");
    BOOST_TEST(begun == 2);
}

BOOST_AUTO_TEST_CASE(an_exception_is_thrown_where_the_task_is_awaited) {
    // If the exception were lost, the caller would wait for ever.
    BOOST_CHECK_EXCEPTION(run(fails()), std::runtime_error, [](const std::runtime_error& e) {
        return std::string(e.what()) == "as meant";
    });
}

BOOST_AUTO_TEST_SUITE_END()
