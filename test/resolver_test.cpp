// Lookups on real threads, with a getaddrinfo(3) of the test, in which some names hang until the
// test releases them. A lookup that hangs must delay no other name, no loop, and not the exit.
#include <dlfcn.h>
#include <netdb.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/co_spawn.hpp>
#include <condition_variable>
#include <cstdlib>
#include <map>
#include <mutex>

#include "world.hpp"

namespace {

struct name_server {
    std::mutex mutex;
    std::condition_variable changed;
    int releases = 0;
    std::map<std::string, int> lookups;

    int asked(const std::string& name) {
        const std::lock_guard lock(mutex);
        return lookups[name];
    }
    void release() {
        const std::lock_guard lock(mutex);
        ++releases;
        changed.notify_all();
    }
};
name_server& names() {  // never destroyed: its users may hang until the process ends
    static auto* const made = new name_server;
    return *made;
}

}  // namespace

extern "C" int getaddrinfo(const char* node, const char* service, const addrinfo* hints,
                           addrinfo** found) {
    static const auto real =
        reinterpret_cast<decltype(&getaddrinfo)>(::dlsym(RTLD_NEXT, "getaddrinfo"));
    const std::string name = node ? node : "";
    {
        std::unique_lock lock(names().mutex);
        ++names().lookups[name];
        if (name.starts_with("hangs"))
            names().changed.wait(lock, [n = names().releases] { return names().releases != n; });
    }
    if (name.ends_with(".again")) return EAI_AGAIN;
    if (name.ends_with(".broken")) return EAI_FAIL;
    if (name.ends_with(".none")) return EAI_NONAME;
    if (name.ends_with(".test")) return real("127.0.0.1", service, hints, found);
    return real(node, service, hints, found);
}

namespace {

using namespace test;
using ice::errc;

using io_status = std::shared_ptr<std::optional<ice::error_code>>;

ice::task<> attempt(std::shared_ptr<ice::transport> net, ice::address to, ice::time_point until,
                    io_status ended = std::make_shared<io_status::element_type>()) {
    const auto r = co_await net->connect(to, until);
    *ended = r.error();
}

struct fixture : world {
    fixture() {
        const std::lock_guard lock(names().mutex);
        names().lookups.clear();
    }
    ~fixture() { names().release(); }  // no thread of this test is left to wait in the next

    // An attempt beside everything else. Its error, when it has ended.
    io_status begin(const std::string& host, ice::time_point until = ice::never) {
        auto ended = std::make_shared<io_status::element_type>();
        asio::co_spawn(io, attempt(net, {host, port}, until, ended), [](auto) {});
        return ended;
    }
    ice::error_code connect(const std::string& host) {
        const auto ended = begin(host);
        until([&] { return ended->has_value(); }, host.c_str());
        return ended->value();
    }
    // Another in each test: lookups of the test before may not have ended yet.
    std::string hanging(int i = 0) const { return fmt::format("hangs{}.{}.test", i, test_); }
    void hang(const std::string& name) {
        begin(name);
        until([&] { return names().asked(name) == 1; }, name.c_str());
    }

    std::shared_ptr<ice::transport> net = ice::make_socket_transport(io.get_executor());
    std::unique_ptr<ice::acceptor> listening = net->listen(any_port);
    std::uint16_t port = listening->local().port();
    static inline int tests = 0;
    const int test_ = ++tests;
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(resolver, fixture)

BOOST_AUTO_TEST_CASE(a_hanging_name_does_not_delay_other_names) {
    // With one thread for all names, the pools of other names had no connection for 40 s.
    hang(hanging());
    BOOST_TEST(!connect("ok.test"));
}

BOOST_AUTO_TEST_CASE(numeric_addresses_and_localhost_need_no_lookup) {
    // They work while every thread hangs.
    for (int i = 0; i < 16; ++i) hang(hanging(i));
    const auto before = names().lookups.size();
    BOOST_TEST(!connect("127.0.0.1"));
    for (const char* host : {"localhost", "LocalHost", "localhost.", "a.localhost"})
        BOOST_TEST(!connect(host), host);
    const std::lock_guard lock(names().mutex);
    BOOST_TEST(names().lookups.size() == before);
}

BOOST_AUTO_TEST_CASE(callers_of_one_name_share_a_lookup) {
    // A pool of a hundred connections made a hundred lookups, one after the other.
    std::vector<io_status> all;
    for (int i = 0; i < 100; ++i) all.push_back(begin(hanging()));
    settle();
    until([&] { return names().asked(hanging()) != 0; });
    names().release();
    for (const auto& ended : all) {
        until([&] { return ended->has_value(); }, "a caller");
        BOOST_TEST(!ended->value());
    }
    BOOST_TEST(names().asked(hanging()) == 1);
}

BOOST_AUTO_TEST_CASE(no_more_than_sixteen_lookups_run_at_once) {
    // 15 hanging lookups leave a thread for another; behind 16 it has to wait.
    for (int i = 0; i < 15; ++i) hang(hanging(i));
    BOOST_TEST(!connect("ok.test"));
    hang(hanging(15));
    const auto late = begin("ok2.test", net->now() + 50ms);
    until([&] { return late->has_value(); });
    BOOST_TEST(late->value() == errc::connect_timeout);
    BOOST_TEST(names().asked("ok2.test") == 0);
    const auto waits = begin("ok3.test");
    settle();
    names().release();
    until([&] { return waits->has_value(); });
    BOOST_TEST(!waits->value());
    BOOST_TEST(names().asked("ok2.test") == 0);  // nobody waited for it any more
}

BOOST_AUTO_TEST_CASE(a_failing_name_server_and_an_unknown_name_are_different_errors) {
    BOOST_TEST(connect("x.again") == errc::name_resolution_failed);
    BOOST_TEST(connect("x.broken") == errc::name_resolution_failed);
    BOOST_TEST(connect("x.none") == errc::host_not_found);
}

BOOST_AUTO_TEST_CASE(a_lookup_that_hangs_does_not_hold_the_loop) {
    // A lookup that ends after the transport must not use it: the sanitizers check that.
    asio::io_context own;
    auto short_lived = ice::make_socket_transport(own.get_executor());
    const auto ended = std::make_shared<io_status::element_type>();
    const ice::time_point soon = short_lived->now() + 20ms;
    short_lived->release();  // or its timer holds the loop
    asio::co_spawn(own, attempt(short_lived, {hanging(), 1}, soon, ended), [](auto) {});
    own.run();
    BOOST_TEST_REQUIRE(ended->has_value());
    BOOST_TEST(ended->value() == errc::connect_timeout);
}

BOOST_AUTO_TEST_CASE(a_loop_that_ends_destroys_coroutines_that_still_wait) {
    {
        asio::io_context own;
        auto short_lived = ice::make_socket_transport(own.get_executor());
        asio::co_spawn(own, attempt(std::move(short_lived), {hanging(), 1}, ice::never),
                       [](auto) {});
        while (names().asked(hanging()) == 0) own.run_one_for(1ms);
    }
    names().release();
    BOOST_TEST(!connect("ok.test"));
}

BOOST_AUTO_TEST_CASE(the_exit_of_the_process_waits_for_no_lookup) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(20);  // in vain
        asio::io_context own;
        const auto in_child = ice::make_socket_transport(own.get_executor());
        asio::co_spawn(own, attempt(in_child, {hanging(), 1}, ice::never), [](auto) {});
        while (names().asked(hanging()) == 0) own.run_for(1ms);
        std::exit(7);
    }
    int status = 0;
    BOOST_TEST(::waitpid(child, &status, 0) == child);
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == 7);
}

BOOST_AUTO_TEST_CASE(the_child_of_a_fork_looks_names_up) {
    // The threads stay with the parent: the child would wait for them for ever.
    const auto ended = begin(hanging());
    until([&] { return names().asked(hanging()) == 1; });
    io.notify_fork(asio::execution_context::fork_prepare);
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(20);
        io.notify_fork(asio::execution_context::fork_child);
        while (names().asked(hanging()) == 1) io.run_one_for(1ms);  // by its own thread
        names().release();
        while (!ended->has_value()) io.run_one_for(1ms);
        ::_exit(ended->value() ? 1 : 0);
    }
    io.notify_fork(asio::execution_context::fork_parent);
    int status = 0;
    BOOST_TEST(::waitpid(child, &status, 0) == child);
    BOOST_TEST(WIFEXITED(status));
    BOOST_TEST(WEXITSTATUS(status) == 0);
    names().release();
    until([&] { return ended->has_value(); });
    BOOST_TEST(!ended->value());
}

BOOST_AUTO_TEST_SUITE_END()
