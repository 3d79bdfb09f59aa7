// descriptor_budget: how listeners and pools of a process share its descriptors: numbers at the
// edge, then virtual time, then real sockets under a low RLIMIT_NOFILE.
#include <arpa/inet.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <ice/detail/descriptor_budget.hpp>
#include <ice/testing/sim.hpp>
#include <thread>

#include "asking.hpp"
#include "world.hpp"

using namespace test;

BOOST_AUTO_TEST_SUITE(descriptor_budget)

BOOST_AUTO_TEST_CASE(listeners_get_what_is_left_and_not_one_more) {
    ice::descriptor_budget b;
    BOOST_TEST(b.allowed(16) == 12U);
    for (int i = 0; i < 12; ++i) BOOST_TEST(b.try_acquire(16));
    BOOST_TEST((!b.has_room(16) && !b.try_acquire(16)));
    BOOST_TEST(b.try_acquire(17));  // a limit that was raised counts at once
    b.release();
    b.release();
    BOOST_TEST((b.has_room(16) && b.try_acquire(16) && !b.try_acquire(16)));
    BOOST_TEST(b.open() == 12U);
}

BOOST_AUTO_TEST_CASE(descriptors_of_pools_are_not_for_listeners) {
    ice::descriptor_budget b;
    b.reserve(3);
    b.reserve(2);
    BOOST_TEST(b.allowed(16) == 7U);
    for (int i = 0; i < 7; ++i) BOOST_TEST(b.try_acquire(16));
    BOOST_TEST(!b.try_acquire(16));
    b.unreserve(2);  // a pool has gone
    BOOST_TEST((b.try_acquire(16) && b.try_acquire(16) && !b.try_acquire(16)));
    b.reserve(5);  // another has come, too late for what is open: nobody is closed for it
    BOOST_TEST((b.open() == 9U && !b.has_room(16)));
}

BOOST_AUTO_TEST_CASE(several_threads_do_not_take_the_same_descriptor) {
    ice::descriptor_budget b;
    std::atomic<int> taken = 0;
    const auto take = [&] {
        for (int i = 0; i < 10'000; ++i) {
            if (b.try_acquire(1064)) ++taken;
        }
    };
    std::thread one(take), other(take);
    one.join();
    other.join();
    BOOST_TEST(taken == 1000);
    BOOST_TEST(b.open() == 1000U);
}

// -- in virtual time

namespace {

const ice::address front{"10.0.0.2", 1}, back{"10.0.0.2", 2};

// A server with two listeners and a pool of three, in a process of so many descriptors; its peers
// and its upstream are other machines.
struct crowded {
    explicit crowded(std::size_t descriptors) {
        sim.faults().descriptors = 1024;
        up.add(ice::tcp_server_action{asking::far}.protocol(ice::line{}));
        sim.faults().descriptors = descriptors;
        srv.log().to([this](ice::log_level, std::string_view line) { log.emplace_back(line); });
        one = &srv.add(ice::tcp_server_action{front}.protocol(ice::line{}));
        two = &srv.add(ice::tcp_server_action{back}.protocol(ice::line{}));
        pool = &srv.add(
            ice::tcp_client_action{asking::far, asking::name, 3}.limits({.preconnect = 0}));
    }
    ~crowded() {
        peers.clear();
        srv.stop();
        up.stop();
        sim.run_for(1min);
    }
    crowded(const crowded&) = delete;
    crowded& operator=(const crowded&) = delete;

    void connect(const ice::address& to, int n) {
        for (int i = 0; i < n; ++i) {
            auto made = sim.run(sim.open<ice::line>(to));
            BOOST_TEST_REQUIRE(!made.error());
            peers.push_back(*std::move(made));
        }
        sim.run_for(10ms);
    }

    ice::testing::simulation sim;
    std::vector<std::string> log;
    quiet_server up{sim.host("10.0.0.1")};
    ice::server srv{sim.host("10.0.0.2")};
    ice::listener<ice::line>*one = nullptr, *two = nullptr;
    ice::pool<ice::line>* pool = nullptr;
    std::vector<std::unique_ptr<ice::session<ice::line>>> peers;
};

}  // namespace

BOOST_AUTO_TEST_CASE(two_listeners_share_the_descriptors_of_the_process) {
    // When each listener counted alone, both together took all descriptors, and the pool could open
    // no connection.
    crowded w(16);  // 4 are kept, and 3 for the pool
    w.connect(front, 5);
    w.connect(back, 3);
    BOOST_TEST((w.one->counters().paused == 0U && w.two->counters().paused == 0U));
    w.connect(back, 1);  // the ninth
    BOOST_TEST((w.one->size() == 5U && w.two->size() == 4U));
    w.connect(front, 4);
    w.connect(back, 4);  // these wait in the backlogs
    BOOST_TEST(w.one->size() + w.two->size() == 9U);
    BOOST_TEST((w.one->counters().paused == 1U && w.two->counters().paused == 1U));
    BOOST_TEST(
        w.log.back().find("5 connections are open, 9 in the process, of 9 that RLIMIT_NOFILE "
                          "leaves to listeners; no more are accepted") != std::string::npos,
        w.log.back());
    for (int i = 0; i < 3; ++i) BOOST_TEST(!w.sim.run(w.pool->request(std::string("x"))).error());
}

BOOST_AUTO_TEST_CASE(a_connection_that_ends_makes_room_at_any_listener) {
    crowded w(16);
    w.connect(front, 9);
    BOOST_TEST(w.one->size() == 9U);
    w.connect(back, 2);
    BOOST_TEST(w.two->size() == 0U);
    w.peers.erase(w.peers.begin(), w.peers.begin() + 2);  // two of the first listener
    w.sim.run_for(10ms);  // far less than the time after which it would look again
    BOOST_TEST((w.one->size() == 7U && w.two->size() == 2U));
}

BOOST_AUTO_TEST_CASE(another_server_of_the_process_finds_free_descriptors_in_time) {
    crowded w(16);
    quiet_server other(w.sim.host("10.0.0.2"));
    const ice::address third{"10.0.0.2", 3};
    auto& l = other.add(ice::tcp_server_action{third}.protocol(ice::line{}));
    w.connect(front, 9);
    w.connect(third, 1);
    BOOST_TEST(l.size() == 0U);
    BOOST_TEST(l.counters().paused == 1U);
    w.peers.erase(w.peers.begin());
    w.sim.run_for(200ms);
    BOOST_TEST((l.size() == 1U && w.one->size() == 8U));
    BOOST_TEST(l.counters().paused == 2U);  // when it had it; not each time that it looked
    other.stop();
    w.sim.run_for(1min);
}

BOOST_AUTO_TEST_CASE(a_listener_that_waits_for_room_drains_and_stops) {
    for (const bool drains : {true, false}) {
        crowded w(16);
        w.connect(front, 9);
        w.connect(back, 1);
        if (drains) w.srv.drain(1h);
        else w.srv.stop();
        w.sim.run_for(1min);
        BOOST_TEST((w.one->size() == 0U && w.two->size() == 0U));
    }
}

BOOST_AUTO_TEST_CASE(a_pool_larger_than_the_limit_of_the_process_leaves_half_to_peers) {
    crowded w(16);
    constexpr ice::pool_name<ice::line> name{"large"};
    w.srv.add(ice::tcp_client_action{asking::far, name, 100});
    BOOST_TEST(w.log.back().find("pool 'large': the process may open 16 descriptors; 6 are kept "
                                 "for pools, and they may want 103") != std::string::npos,
               w.log.back());
    BOOST_TEST(w.one->allowed() == 6U);
    w.connect(front, 7);
    BOOST_TEST(w.one->size() == 6U);
}

// -- with real sockets

namespace {

// A process of its own that brings `crowd` connections to each of two ports, and then is an echo
// for whoever connects to it. It ends with this object.
class outside {
public:
    outside(int upstream, std::uint16_t one, std::uint16_t two, int crowd) : child_(::fork()) {
        if (child_ == 0) run(upstream, one, two, crowd);
    }
    ~outside() {
        ::kill(child_, SIGKILL);
        ::waitpid(child_, nullptr, 0);
    }
    outside(const outside&) = delete;
    outside& operator=(const outside&) = delete;

private:
    [[noreturn]] static void run(int upstream, std::uint16_t one, std::uint16_t two, int crowd) {
        rlimit all{};
        ::getrlimit(RLIMIT_NOFILE, &all);
        all.rlim_cur = all.rlim_max;
        ::setrlimit(RLIMIT_NOFILE, &all);
        for (int i = 0; i < crowd; ++i) {
            if (!connect(one) || !connect(two)) ::_exit(1);
        }
        std::vector<int> served;
        for (;;) {
            const int fd = ::accept(upstream, nullptr, nullptr);
            char bytes[100];
            const ssize_t n = ::read(fd, bytes, sizeof bytes);
            if (n <= 0 || ::write(fd, bytes, static_cast<std::size_t>(n)) != n) ::_exit(2);
            served.push_back(fd);
        }
    }
    static bool connect(std::uint16_t port) {
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
        return ::connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
    }

    pid_t child_;
};

ice::task<bool> hold_all(ice::pool<ice::line>& p, std::size_t n) {
    std::vector<ice::lease<ice::line>> held;
    for (std::size_t i = 0; i < n; ++i) {
        auto lease = co_await p.acquire(5s);
        if (!lease) co_return false;
        const ice::error_code unsent = co_await (*lease)->send(std::string("x"));
        if (unsent) co_return false;
        const auto reply = co_await (*lease)->receive();
        if (!reply) co_return false;
        held.push_back(*std::move(lease));
    }
    co_return true;
}

}  // namespace

BOOST_AUTO_TEST_CASE(with_64_descriptors_two_full_servers_leave_a_pool_its_connections) {
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    const rlimit few{64, before.rlim_max};
    BOOST_TEST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
    {
        world w;
        quiet_server other{w.io};
        auto& one = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
        auto& two = other.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
        tcp::acceptor upstream(w.io, {asio::ip::address_v4::loopback(), 0});
        const ice::address there("127.0.0.1", upstream.local_endpoint().port());
        constexpr std::size_t size = 20;
        auto& p =
            w.srv.add(ice::tcp_client_action{there, asking::name, size}.limits({.preconnect = 0}));
        const outside crowd(upstream.native_handle(), one.endpoint().port(), two.endpoint().port(),
                            60);
        w.until([&] { return one.counters().paused != 0 && two.counters().paused != 0; },
                "both to be full");
        BOOST_TEST(one.size() + two.size() == 64 - 16 - size);
        BOOST_TEST(w.run(hold_all(p, size)));
        BOOST_TEST(p.counters().connect_failures == 0U);
        BOOST_TEST(one.counters().accept_errors + two.counters().accept_errors == 0U);
        w.srv.stop();
        other.stop();
        w.until([&] { return one.size() + two.size() == 0; }, "the end");
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
}

BOOST_AUTO_TEST_SUITE_END()
