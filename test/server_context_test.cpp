// server_context: it logs exceptions of spawned coroutines, by the clock of the transport.
#include <ice/detail/server_context.hpp>
#include <stdexcept>

#include "conversation.hpp"

using namespace test;

namespace {

ice::task<> throws_at_once() {
    throw std::runtime_error("no luck");
    co_return;
}
ice::task<> throws_later(memory_transport& net) {
    co_await net.sleep(1s);
    throw std::runtime_error("no luck later");
}
ice::task<> throws_a_number() {
    throw 42;
    co_return;
}
ice::task<> sets(bool& done) {
    done = true;
    co_return;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(server_context)

// asio::detached would end the process or lose the exception: it must be one line of the log.
BOOST_AUTO_TEST_CASE(an_exception_of_a_spawned_coroutine_is_logged_with_its_name) {
    memory_world w;
    ice::spawn(w.context, throws_at_once(), "the first one");
    w.settle();
    BOOST_TEST_REQUIRE(w.log.size() == 1u);
    BOOST_TEST(w.log[0] == "the first one: no luck");
}

// After a wait the exception leaves from another place: the loop itself.
BOOST_AUTO_TEST_CASE(an_exception_after_a_wait_is_logged_too) {
    memory_world w;
    ice::spawn(w.context, throws_later(*w.net), "the second one");
    w.settle();
    BOOST_TEST(w.log.empty());
    w.advance(1s);
    BOOST_TEST_REQUIRE(w.log.size() == 1u);
    BOOST_TEST(w.log[0] == "the second one: no luck later");
}

// Code of the user may throw a value of any type.
BOOST_AUTO_TEST_CASE(a_thrown_value_that_is_no_exception_is_logged) {
    memory_world w;
    ice::spawn(w.context, throws_a_number(), "the third one");
    w.settle();
    BOOST_TEST_REQUIRE(w.log.size() == 1u);
    BOOST_TEST(w.log[0] == "the third one: something that is not a std::exception");
}

// The end of one coroutine must not end another.
BOOST_AUTO_TEST_CASE(other_coroutines_continue_after_an_exception) {
    memory_world w;
    bool done = false;
    ice::spawn(w.context, throws_at_once(), "the first one");
    ice::spawn(w.context, sets(done), "another");
    w.settle();
    BOOST_TEST(done);
    BOOST_TEST(w.log.size() == 1u);
}

// The name may be a temporary string that is gone when the exception comes.
BOOST_AUTO_TEST_CASE(the_name_of_a_coroutine_is_kept) {
    memory_world w;
    {
        const std::string name(100, 'n');
        ice::spawn(w.context, throws_later(*w.net), name);
    }
    w.settle();
    w.advance(1s);
    BOOST_TEST_REQUIRE(w.log.size() == 1u);
    BOOST_TEST(w.log[0] == std::string(100, 'n') + ": no luck later");
}

// The log writes ten lines a second: seconds of the transport's clock.
BOOST_AUTO_TEST_CASE(the_log_uses_the_clock_of_the_transport) {
    memory_world w;
    const auto write = [&] { w.context->write(ice::log_level::info, "kind", "text"); };
    for (int i = 0; i < 20; ++i) write();
    BOOST_TEST(w.log.size() == 10u);
    w.advance(1s);
    write();
    BOOST_TEST(w.log.size() == 11u);
}

// A coroutine may outlive the object that spawned it: its context must live until its end.
BOOST_AUTO_TEST_CASE(a_spawned_coroutine_keeps_its_context_alive) {
    memory_world w;
    auto context = std::make_shared<ice::server_context>(w.net);
    const std::weak_ptr<ice::server_context> watched = context;
    std::string line;
    context->log.to([&](ice::log_level, std::string_view text) { line = text; });
    ice::spawn(context, throws_later(*w.net), "late");
    context.reset();
    w.settle();
    BOOST_TEST(!watched.expired());
    w.advance(1s);
    BOOST_TEST(line == "late: no luck later");
    BOOST_TEST(watched.expired());
}

// By default the transport is one of real sockets, on the given loop.
BOOST_AUTO_TEST_CASE(the_socket_transport_runs_on_the_given_loop) {
    asio::io_context loop;
    const auto net = ice::make_socket_transport(loop.get_executor());
    BOOST_TEST((net->executor() == asio::any_io_executor(loop.get_executor())));
    BOOST_TEST(net->descriptors() > 0u);
    const auto before = net->now();
    BOOST_TEST((net->now() >= before));
}

BOOST_AUTO_TEST_SUITE_END()
