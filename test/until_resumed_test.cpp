// until_resumed: a coroutine waits until another one resumes it, in place or in a turn of the loop.
#include <asio/co_spawn.hpp>
#include <asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <exception>
#include <ice/detail/until_resumed.hpp>
#include <stdexcept>

namespace {

struct fixture {
    void start() {
        const auto rethrows = [](const std::exception_ptr& e) {
            if (e) std::rethrow_exception(e);
        };
        asio::co_spawn(loop, waits(), rethrows);
        loop.poll();
    }
    ice::task<> waits() {
        struct on_end {
            int& n;
            ~on_end() { ++n; }
        } const counts{ended};
        co_await ice::until_resumed(at);
        ++resumed;
        if (throws) throw std::runtime_error("no luck");
    }

    int resumed = 0, ended = 0;
    bool throws = false;
    std::optional<ice::resumption> at;
    asio::io_context loop;
};

BOOST_FIXTURE_TEST_SUITE(until_resumed, fixture)

BOOST_AUTO_TEST_CASE(resume_returns_when_the_coroutine_has_run) {
    start();
    BOOST_TEST(resumed == 0);
    ice::resume(at);
    BOOST_TEST(resumed == 1);
    BOOST_TEST(!at.has_value());
    loop.restart();
    loop.run();
    BOOST_TEST(ended == 1);
}

BOOST_AUTO_TEST_CASE(the_loop_throws_what_the_users_handler_throws) {
    throws = true;
    start();
    bool is_past = false;
    asio::post(loop, [&] {
        ice::resume(at);
        is_past = true;
    });
    loop.restart();
    BOOST_CHECK_THROW(loop.run(), std::runtime_error);
    BOOST_TEST(is_past);
}

BOOST_AUTO_TEST_CASE(resume_later_leaves_it_to_the_loop) {
    start();
    ice::resume_later(at, loop.get_executor());
    BOOST_TEST(resumed == 0);
    loop.restart();
    loop.run();
    BOOST_TEST(resumed == 1);
    ice::resume_later(at, loop.get_executor());  // nobody waits
}

BOOST_AUTO_TEST_CASE(the_loop_destroys_what_waits_if_the_place_where_it_waits_is_destroyed) {
    start();
    at.reset();
    loop.restart();
    loop.run();
    BOOST_TEST(ended == 1);
    BOOST_TEST(resumed == 0);
}

BOOST_AUTO_TEST_SUITE_END()

}  // namespace
