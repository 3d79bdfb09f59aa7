// server: add(), get(), run(), signals, drain and stop.
#include <sys/wait.h>
#include <unistd.h>

#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <asio/this_coro.hpp>
#include <asio/use_awaitable.hpp>
#include <csignal>
#include <cstdio>
#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <thread>

#include "quiet_server.hpp"
#include "world.hpp"

namespace {

using namespace test;

std::string what(const auto& action) {
    try {
        action();
    } catch (const std::exception& e) { return e.what(); }
    return "nothing was thrown";
}

constexpr ice::pool_name<ice::line> lines{"lines"};

// A server with a loop of its own, which writes no log.
struct own : ice::server {
    own() {
        log().to(
            [this](ice::log_level, std::string_view line) { written += std::string(line) + "\n"; });
    }
    std::string written;
};

// While it lives, the signal does that.
class signal_action {
public:
    signal_action(int number, void (*does)(int))
        : number_(number), before_(std::signal(number, does)) {}
    ~signal_action() { std::signal(number_, before_); }
    signal_action(const signal_action&) = delete;
    signal_action& operator=(const signal_action&) = delete;

private:
    int number_;
    void (*before_)(int);
};

// Whether a program that this one starts ignores it, as proc(5) tells: SigIgn, a bit for each.
bool child_ignores(int number) {
    std::FILE* const child = ::popen("exec grep SigIgn /proc/self/status", "r");
    unsigned long long ignored = 0;
    BOOST_TEST(std::fscanf(child, "SigIgn: %llx", &ignored) == 1);
    ::pclose(child);
    return (ignored >> (number - 1) & 1) != 0;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(server)

BOOST_AUTO_TEST_CASE(an_address_in_use_is_named_in_the_exception) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port});
    const auto again = [&] { w.srv.add(ice::tcp_server_action{l.endpoint()}); };
    BOOST_TEST(what(again) ==
               fmt::format("cannot listen on {}: Address already in use", l.endpoint()));
}

BOOST_AUTO_TEST_CASE(an_address_of_another_host_is_named_in_the_exception) {
    world w;
    const auto add = [&] { w.srv.add(ice::tcp_server_action{ice::address{"192.0.2.1", 0}}); };
    BOOST_TEST(what(add) == "cannot listen on 192.0.2.1:0: Cannot assign requested address");
    const auto name = [&] {
        w.srv.add(ice::tcp_server_action{ice::address{"no.such.invalid", 0}});
    };
    BOOST_TEST(what(name).starts_with("cannot listen on no.such.invalid:0: host not found"));
}

BOOST_AUTO_TEST_CASE(pools_are_found_by_name_and_checked_for_their_protocol) {
    world w;
    auto& p = w.srv.add(ice::tcp_client_action{ice::address{"127.0.0.1", 1}, lines, 1});
    BOOST_TEST(&w.srv.get(lines) == &p);
    BOOST_TEST(&w.srv.get<ice::line>("lines") == &p);
    BOOST_TEST(what([&] { w.srv.get<ice::telnet>("lines"); }) ==
               "pool 'lines' is of another type than its name");
    BOOST_TEST(what([&] { w.srv.get<ice::line>("line"); }) == "there is no pool 'line'");
    BOOST_TEST(what([&] {
                   w.srv.add(ice::tcp_client_action{ice::address{"127.0.0.1", 1}, lines, 1});
               }) == "there is a pool 'lines' already");
    BOOST_TEST(
        what([&] {
            w.srv.add(ice::tcp_client_action<ice::line>{ice::address{"127.0.0.1", 1}, "none", 0});
        }) == "pool 'none': a size of 0");
    BOOST_TEST(what([&] {
                   const ice::pool_name<ice::line, int> numbers{"numbers"};
                   w.srv.add(ice::tcp_client_action{ice::address{"127.0.0.1", 1}, numbers, 1});
               }) ==
               "pool 'numbers': it needs a .logic() to make of a reply what its name "
               "promises");
}

BOOST_AUTO_TEST_CASE(the_server_does_not_run_an_io_context_of_the_user) {
    world w;
    BOOST_TEST(what([&] { w.srv.run(); }) == "ice: run the io_context that this server was given");
}

BOOST_AUTO_TEST_CASE(an_io_context_of_the_user_runs_out_of_work_after_a_drain) {
    // Otherwise the user's io.run() would never return.
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port});
    w.srv.add(ice::tcp_client_action{l.endpoint(), lines, 2});
    auto p = w.connect(l.endpoint());
    w.until([&] { return l.size() == 3; });
    w.srv.drain(5s);
    p.read_to_end();
    p.close();
    w.until([&] { return l.size() == 0; });
    w.io.restart();
    w.io.run();
}

BOOST_AUTO_TEST_CASE(a_server_destroyed_before_the_io_context_of_the_user_leaves_no_work) {
    asio::io_context io;
    bool answered = false;
    auto slow = [&](std::string_view, ice::session<ice::line>& peer) -> ice::task<std::string> {
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        co_await peer.sleep(20ms);
        answered = true;
        co_return "late";
    };
    tcp::socket client(io);
    {
        quiet_server srv(io);
        auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(slow));
        srv.add(ice::tcp_client_action{l.endpoint(), lines, 1});
        client.connect(endpoint_of(l.endpoint()));
        asio::write(client, asio::buffer(std::string_view("x\r\n")));
        while (l.counters().messages == 0) io.run_one();
    }
    io.restart();
    io.run();
    BOOST_TEST(answered);
}

BOOST_AUTO_TEST_CASE(a_handshake_with_a_silent_upstream_does_not_hold_a_stopped_loop) {
    // The transport must not stop its timer before this handshake has ended.
    struct shy : ice::line {
        ice::task<bool> handshake(ice::session<shy>& peer) {
            const auto hello = co_await peer.receive();
            co_return hello.has_value();
        }
    };
    world w;
    tcp::acceptor silent(w.io, {asio::ip::address_v4::loopback(), 0});
    constexpr ice::pool_name<shy> name{"shy"};
    auto& p = w.srv.add(
        ice::tcp_client_action{ice::address{"127.0.0.1", silent.local_endpoint().port()}, name, 2});
    w.until([&] { return p.counters().connects == 2; });
    w.settle();
    w.srv.stop();
    w.io.restart();
    w.io.run_for(2s);  // the first timer of a connection would fire after 5 s
    BOOST_TEST(w.io.stopped());
    BOOST_TEST(p.idle() == 0U);
}

BOOST_AUTO_TEST_CASE(sigterm_drains_and_run_returns) {
    own srv;
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
    asio::post(srv.executor(), [] { std::raise(SIGTERM); });
    srv.run();
    BOOST_TEST(srv.written.find("draining 0 connections") != std::string::npos);
    BOOST_TEST(l.size() == 0U);
    srv.run();  // returns at once
}

BOOST_AUTO_TEST_CASE(sigusr1_writes_a_report_and_the_server_continues) {
    own srv;
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
    constexpr ice::pool_name<ice::line> name{"up"};
    srv.add(ice::tcp_client_action{l.endpoint(), name, 1});
    asio::steady_timer tick(srv.executor());
    bool raised = false;
    std::function<void(std::error_code)> look = [&](std::error_code) {
        if (!raised && l.size() == 1) raised = true, std::raise(SIGUSR1);
        if (srv.written.find("pool 'up'") != std::string::npos) return srv.stop();
        tick.expires_after(1ms);
        tick.async_wait(look);
    };
    look({});
    srv.run();
    BOOST_TEST(srv.written.find(fmt::format("listener {}: 1 of ", l.endpoint())) !=
               std::string::npos);
    BOOST_TEST(srv.written.find("session #") != std::string::npos);
    BOOST_TEST(srv.written.find(" s old, waits for a message or its logic, 0 bytes to send") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_second_signal_ends_a_drain_that_waits) {
    own srv;
    auto endless = [](std::string_view, ice::session<ice::line>& peer) -> ice::task<> {
        co_await peer.sleep(std::chrono::hours(1));
    };
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(endless));
    asio::io_context other;
    tcp::socket client(other);
    client.connect(endpoint_of(l.endpoint()));
    asio::write(client, asio::buffer(std::string_view("x\r\n")));
    // The first signal comes when the logic is busy, the second when the drain has begun.
    asio::steady_timer tick(srv.executor());
    int raised = 0;
    std::function<void(std::error_code)> look = [&](std::error_code) {
        if (raised == 0 && l.counters().messages == 1) ++raised, std::raise(SIGTERM);
        else if (raised == 1 && srv.written.find("draining 1") != std::string::npos)
            ++raised, std::raise(SIGTERM);
        if (raised == 2) return;
        tick.expires_after(1ms);
        tick.async_wait(look);
    };
    look({});
    srv.run();
    BOOST_TEST(raised == 2);
    BOOST_TEST(l.size() == 0U);  // its logic, which still slept, was destroyed
}

BOOST_AUTO_TEST_CASE(a_drain_ends_with_its_grace_period) {
    own srv;
    srv.drain_timeout = 30ms;
    auto endless = [](std::string_view, ice::session<ice::line>& peer) -> ice::task<> {
        co_await peer.sleep(std::chrono::hours(1));
    };
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(endless));
    asio::io_context other;
    tcp::socket client(other);
    client.connect(endpoint_of(l.endpoint()));
    asio::write(client, asio::buffer(std::string_view("x\r\n")));
    asio::steady_timer tick(srv.executor());
    std::function<void(std::error_code)> look = [&](std::error_code) {
        if (l.counters().messages == 1) return srv.drain();
        tick.expires_after(1ms);
        tick.async_wait(look);
    };
    look({});
    srv.run();
    BOOST_TEST(srv.written.find("the drain's time is over: closing 1 connections") !=
               std::string::npos);
}

BOOST_AUTO_TEST_CASE(stop_from_within_a_logic_ends_run) {
    own srv;
    auto bye = [&](std::string_view) { srv.stop(); };
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(bye));
    asio::io_context other;
    tcp::socket client(other);
    client.connect(endpoint_of(l.endpoint()));
    asio::write(client, asio::buffer(std::string_view("x\r\n")));
    srv.run();
    BOOST_TEST(l.size() == 0U);
}

BOOST_AUTO_TEST_CASE(a_lack_of_memory_in_the_loop_does_not_end_run) {
    // The danger: memory runs out at the end of one coroutine, and all others end with the process.
    own srv;
    auto bye = [&](std::string_view) { srv.stop(); };
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(bye));
    asio::post(srv.executor(), [] { throw std::bad_alloc(); });
    asio::io_context other;
    tcp::socket client(other);
    client.connect(endpoint_of(l.endpoint()));
    asio::write(client, asio::buffer(std::string_view("x\r\n")));
    srv.run();
    BOOST_TEST(l.counters().messages == 1U);
    own broken;
    broken.add(ice::tcp_server_action{any_port});
    asio::post(broken.executor(), [] { throw std::runtime_error("mine"); });
    BOOST_CHECK_THROW(broken.run(), std::runtime_error);
}

BOOST_AUTO_TEST_CASE(a_server_that_never_ran_is_destroyed_cleanly) {
    own srv;
    auto& l = srv.add(ice::tcp_server_action{any_port});
    srv.add(ice::tcp_client_action{l.endpoint(), lines, 3});
}

BOOST_AUTO_TEST_CASE(child_processes_do_not_inherit_the_action_of_sigpipe) {
    // The danger: SIG_IGN stays across exec(2), and `yes | head` never ends in a child process.
    const signal_action sigpipe(SIGPIPE, SIG_DFL);
    BOOST_TEST(!child_ignores(SIGPIPE));
    {
        own srv;
        srv.add(ice::tcp_server_action{any_port});
        std::raise(SIGPIPE);  // does not end this program
        BOOST_TEST(!child_ignores(SIGPIPE));
    }
    BOOST_TEST((std::signal(SIGPIPE, SIG_DFL) == SIG_DFL), "it is as before");
}

BOOST_AUTO_TEST_CASE(an_action_that_the_program_set_for_sigpipe_stays) {
    for (void (*mine)(int) : {SIG_IGN, +[](int) {}}) {
        const signal_action sigpipe(SIGPIPE, mine);
        own srv;
        srv.add(ice::tcp_server_action{any_port});
        BOOST_TEST((std::signal(SIGPIPE, mine) == mine));
    }
}

BOOST_AUTO_TEST_CASE(a_signal_that_is_ignored_at_the_start_stays_ignored) {
    // The danger: Ctrl-C in a script's terminal ends the server that it has started with `&`.
    for (const int number : {SIGINT, SIGTERM, SIGUSR1}) {
        const signal_action ignored(number, SIG_IGN);
        own srv;
        srv.add(ice::tcp_server_action{any_port});
        BOOST_TEST((std::signal(number, SIG_IGN) == SIG_IGN));
        std::raise(number);
        asio::steady_timer soon(srv.executor(), 1ms);
        soon.async_wait([&](std::error_code) {
            BOOST_TEST(srv.written.find("draining") == std::string::npos);
            srv.stop();
        });
        srv.run();
        BOOST_TEST((std::signal(number, SIG_IGN) == SIG_IGN));
    }
}

// -- spawn()

namespace {

struct counts {
    int begun = 0, steps = 0, ended = 0;
};

// The usual background coroutine: a step each second, for ever.
ice::task<> ticks(ice::server& srv, counts& c) {
    ++c.begun;
    struct end {
        int& n;
        ~end() { ++n; }
    } const told{c.ended};
    for (;;) {
        co_await srv.sleep(1s);
        ++c.steps;
    }
}

// Of Asio's own, as a user would wait without ice.
ice::task<> waits_for_asio(ice::server& srv, counts& c, ice::error_code& why) {
    ++c.begun;
    asio::steady_timer timer(srv.executor(), 1h);
    try {
        co_await timer.async_wait(asio::use_awaitable);
    } catch (const std::system_error& e) { why = e.code(); }
    ++c.ended;
}

ice::task<> throws(ice::server& srv) {
    co_await srv.sleep(1s);
    throw std::runtime_error("no luck");
}

struct simulated : ice::server {
    explicit simulated(ice::testing::simulation& sim) : ice::server(sim.net()) {
        log().to([this](ice::log_level, std::string_view line) { lines.emplace_back(line); });
    }
    std::vector<std::string> lines;
};

const ice::address SERVER{"127.0.0.1", 9999};

}  // namespace

BOOST_AUTO_TEST_CASE(a_spawned_coroutine_uses_the_clock_of_the_server) {
    ice::testing::simulation sim;
    simulated srv(sim);
    counts c;
    const auto began = srv.now();
    srv.spawn(ticks(srv, c), "ticks");
    BOOST_TEST(c.begun == 0);
    sim.run_for(10s + 1ms);
    BOOST_TEST(c.steps == 10);
    BOOST_TEST((srv.now() - began == 10s + 1ms));
    BOOST_TEST(&srv.transport() == sim.net().get());
    srv.stop();
    sim.run_for(1ms);
    BOOST_TEST(c.ended == 1, "at once, and not when the time of logics is over");
    BOOST_TEST(c.steps == 10);
    BOOST_TEST(srv.lines.empty(), "being cancelled is no failure");
}

BOOST_AUTO_TEST_CASE(an_exception_of_a_spawned_coroutine_is_one_line_of_the_log) {
    ice::testing::simulation sim;
    simulated srv(sim);
    srv.spawn(throws(srv), std::string("refresh"));
    sim.run_for(1min);
    BOOST_TEST_REQUIRE(srv.lines.size() == 1u);
    BOOST_TEST(srv.lines[0] == "refresh: no luck");
}

// A drain does not wait for a coroutine that never ends, but coroutines run as long as logics may
// use them.
BOOST_AUTO_TEST_CASE(a_drain_cancels_spawned_coroutines_when_listeners_and_pools_have_finished) {
    ice::testing::simulation sim;
    simulated srv(sim);
    counts c;
    auto slow = [](std::string_view, ice::session<ice::line>& peer) -> ice::task<std::string> {
        co_await peer.sleep(5s);
        co_return "done";
    };
    auto& l = srv.add(ice::tcp_server_action{SERVER}.protocol(ice::line{}).logic(slow));
    srv.spawn(ticks(srv, c), "ticks");
    auto drain = [&]() -> ice::task<> {
        co_await sim.net()->sleep(1s);
        srv.drain(ice::no_timeout);
    };
    sim.spawn(drain());
    BOOST_TEST(sim.run(sim.ask<ice::line>(SERVER, "x")).value() == "done");
    BOOST_TEST(c.steps >= 4, "it went on in the drain");
    sim.run_until([&] { return sim.quiescent(); });
    BOOST_TEST(c.ended == 1);
    BOOST_TEST(c.steps <= 5);
    BOOST_TEST(l.size() == 0u);
}

BOOST_AUTO_TEST_CASE(run_returns_when_a_spawned_coroutine_has_ended_after_stop) {
    own srv;
    counts c;
    ice::error_code why;
    srv.add(ice::tcp_server_action{any_port});
    srv.spawn(ticks(srv, c), "ticks");
    srv.spawn(waits_for_asio(srv, c, why), "waits");
    asio::post(srv.executor(), [&] { asio::post(srv.executor(), [&] { srv.stop(); }); });
    srv.run();
    BOOST_TEST(c.begun == c.ended);
    BOOST_TEST(c.begun == 2);
    BOOST_TEST(why == asio::error::operation_aborted);
    srv.spawn(ticks(srv, c), "too late");
    BOOST_TEST(c.begun == 2);
}

BOOST_AUTO_TEST_CASE(a_spawned_coroutine_may_drain_its_server) {
    // The coroutine runs while it is cancelled, as the drain ends within drain().
    own srv;
    const auto ends = [](ice::server& s) -> ice::task<> {
        co_await s.sleep(1ms);
        s.drain(1h);
        co_await s.sleep(1h);
    };
    srv.spawn(ends(srv), "ends");
    srv.run();
    BOOST_TEST(srv.written.find("threw") == std::string::npos, srv.written);
}

BOOST_AUTO_TEST_CASE(a_spawned_coroutine_that_does_not_end_is_destroyed) {
    // A drain and a stop end, whatever code of users does.
    own srv;
    counts c;
    const auto stays = [](ice::server& s, counts& n) -> ice::task<> {
        ++n.begun;
        struct end {
            int& ended;
            ~end() { ++ended; }
        } const told{n.ended};
        co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
        s.drain(1h);
        co_await s.sleep(1h);
    };
    srv.spawn(stays(srv, c), "stays");
    srv.run();
    BOOST_TEST(c.begun == 1);
    BOOST_TEST(c.ended == 1);
}

BOOST_AUTO_TEST_CASE(coroutines_spawned_on_a_server_that_never_ran_are_destroyed) {
    counts c;
    {
        own srv;
        srv.spawn(ticks(srv, c), "never");
    }
    BOOST_TEST(c.begun == 0);
    ice::testing::simulation sim;
    {
        simulated srv(sim);
        srv.spawn(ticks(srv, c), "ended");
        sim.run_for(1s);
    }  // on a loop of others: it ends there, and its parameters must live as long
    BOOST_TEST(c.begun == 1);
    sim.run_for(1s);
    BOOST_TEST(c.ended == 1);
}

BOOST_AUTO_TEST_SUITE_END()
