// fork(2): a child that notifies its io_context (notify_fork() of Asio) serves, and leaves every
// connection to its parent.
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <ice/ice.hpp>
#include <iterator>

#include "world.hpp"

using namespace test;

namespace {

std::string same(std::string_view line) { return std::string(line); }

constexpr ice::pool_name<ice::line> upstream{"upstream"};

// Asks the pool once more for each line: the answer is its reply.
struct gateway {
    ice::server& srv;
    ice::task<std::string> operator()(std::string_view line) {
        const std::string question(line);
        const auto reply = co_await srv.get(upstream).request(std::string_view(question));
        if (!reply) co_return reply.error().message();
        co_return *reply;
    }
};

// Runs `child` in a forked process, which ends without anybody's destructors; its exit code.
template <class Child>
pid_t forked(world& w, Child child) {
    w.io.notify_fork(asio::io_context::fork_prepare);
    const pid_t pid = ::fork();
    if (pid != 0) {
        w.io.notify_fork(asio::io_context::fork_parent);
        return pid;
    }
    int failed = 1;
    try {
        w.io.notify_fork(asio::io_context::fork_child);
        failed = child() ? 0 : 1;
    } catch (...) { failed = 2; }
    ::_exit(failed);
}

auto descriptors() {
    using files = std::filesystem::directory_iterator;
    return std::distance(files("/proc/self/fd"), files());
}

int exit_code(pid_t pid) {
    int status = 0;
    BOOST_TEST_REQUIRE(::waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(fork_of_a_server)

// A prefork server: the shared epoll of the parent reported sockets to the child by pointers of the
// parent.
BOOST_AUTO_TEST_CASE(parent_and_child_serve_on_one_port) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(same));
    auto before = w.connect(l.endpoint());
    before.send("before\r\n");
    BOOST_TEST(before.read_line() == "before");
    const pid_t child = forked(w, [&] {
        w.until([&] { return l.size() == 0; });  // the parent's connection
        auto p = w.connect(l.endpoint());
        p.send("in the child\r\n");
        return p.read_line() == "in the child";
    });
    BOOST_TEST(exit_code(child) == 0);  // the parent does not run: the child alone accepts
    before.send("after\r\n");
    BOOST_TEST(before.read_line() == "after");
    auto p = w.connect(l.endpoint());
    p.send("in the parent\r\n");
    BOOST_TEST(p.read_line() == "in the parent");
}

// Two processes that share a connection to an upstream take each other's replies.
BOOST_AUTO_TEST_CASE(the_child_makes_its_own_connections_to_upstreams) {
    world w;
    auto& up = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(same));
    auto& pool = w.srv.add(ice::tcp_client_action{up.endpoint(), upstream, 1});
    auto& l =
        w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(gateway{w.srv}));
    w.until([&] { return pool.idle() == 1 && up.size() == 1; }, "a connection");
    const pid_t child = forked(w, [&] {
        auto p = w.connect(l.endpoint());
        p.send("who\r\n");
        return p.read_line() == "who" && pool.counters().connects == 2 &&
               pool.counters().stale == 1;
    });
    BOOST_TEST(exit_code(child) == 0);
    auto p = w.connect(l.endpoint());
    p.send("I\r\n");
    BOOST_TEST(p.read_line() == "I");
    BOOST_TEST(pool.counters().connects == 1u);
    BOOST_TEST(pool.counters().stale == 0u);
}

// A connect that began before the fork would belong to both processes.
BOOST_AUTO_TEST_CASE(a_connect_in_flight_stays_with_the_parent) {
    world w;
    auto& up = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(same));
    const auto net = ice::make_socket_transport(w.io.get_executor());
    std::optional<ice::error_code> why;
    const auto dial = [&]() -> ice::task<> {
        const auto connected = co_await net->connect(up.endpoint(), net->now() + 10s);
        why = connected.error();
    };
    const auto before = descriptors();
    ice::spawn(std::make_shared<ice::server_context>(net), dial(), "test");
    while (!why && descriptors() == before) w.io.run_one();  // until it has a socket
    BOOST_TEST(!why.has_value());
    const pid_t child = forked(w, [&] {
        w.until([&] { return why.has_value(); });
        return *why == std::errc::connection_aborted;
    });
    BOOST_TEST(exit_code(child) == 0);
    w.until([&] { return why.has_value(); });
    BOOST_TEST(!*why);
}

// The child must neither answer nor end a session that is open in the parent.
BOOST_AUTO_TEST_CASE(open_sessions_continue_in_the_parent_only) {
    world w;
    ice::event go(w.io.get_executor());
    const auto wait = [](ice::event& until) -> ice::task<std::string> {
        co_await until.wait();
        co_return "answer";
    };
    auto& l = w.srv.add(
        ice::tcp_server_action{any_port}.protocol(ice::line{}).logic([&](std::string_view) {
            return wait(go);
        }));
    auto p = w.connect(l.endpoint());
    p.send("question\r\n");
    w.until([&] { return l.counters().messages == 1; }, "a message");
    const pid_t child = forked(w, [&] {
        go.set();
        w.until([&] { return l.size() == 0; });
        return true;
    });
    BOOST_TEST(exit_code(child) == 0);
    BOOST_TEST(!p.poll());
    BOOST_TEST(p.got == "");
    go.set();
    BOOST_TEST(p.read_line() == "answer");
    BOOST_TEST(l.size() == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
