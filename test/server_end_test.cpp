// How run() ends: after it no coroutine uses objects that were made after the server.
#include <asio/co_spawn.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <ice/server.hpp>
#include <memory>

#include "quiet_server.hpp"
#include "world.hpp"

namespace {

using namespace test;

constexpr ice::pool_name<ice::line> lines{"lines"};

// An object that is made after the server, as it needs its executor. Counts its users.
struct database {
    explicit database(const asio::any_io_executor& e) : timer(e) {}
    ~database() { BOOST_TEST(users == 0, users << " coroutines would use it when it is gone"); }
    database(const database&) = delete;
    database& operator=(const database&) = delete;

    asio::steady_timer timer;
    int users = 0;
};

struct user {
    explicit user(database& d) : db(d) { ++db.users; }
    ~user() { --db.users; }
    user(const user&) = delete;
    user& operator=(const user&) = delete;
    database& db;
};

ice::task<> wait_for_ever(database& db) {
    const user here(db);
    db.timer.expires_after(std::chrono::hours(1));
    try {
        co_await db.timer.async_wait(asio::use_awaitable);
    } catch (const std::exception&) {}  // so it is not ended by an error
    asio::steady_timer own(db.timer.get_executor(), std::chrono::hours(1));
    co_await own.async_wait(asio::use_awaitable);
}

auto uses(std::unique_ptr<database>& db) {
    return [&db](std::string_view) -> ice::task<> { return wait_for_ever(*db); };
}

// A client that has sent a line, which the server reads as soon as it runs.
struct asking {
    explicit asking(ice::listener_base& l) : socket(io) {
        socket.connect(endpoint_of(l.endpoint()));
        asio::write(socket, asio::buffer(std::string_view("x\r\n")));
    }
    asio::io_context io;
    tcp::socket socket;
};

// Does it once that is true, looking each millisecond.
class when {
public:
    when(ice::server& srv, std::function<bool()> is, std::function<void()> act)
        : timer_(srv.executor()), is_(std::move(is)), act_(std::move(act)) {
        look();
    }

private:
    void look() {
        if (is_()) return act_();
        timer_.expires_after(1ms);
        timer_.async_wait([this](std::error_code ec) {
            if (!ec) look();
        });
    }
    asio::steady_timer timer_;
    std::function<bool()> is_;
    std::function<void()> act_;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(server_end)

BOOST_AUTO_TEST_CASE(a_logic_that_still_waits_ends_within_run) {
    // The danger: ~server destroys the logic, whose locals use objects that are gone.
    quiet_server srv;
    std::unique_ptr<database> db;
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(uses(db)));
    db = std::make_unique<database>(srv.executor());
    const asking client(l);
    const when stop(
        srv, [&] { return db->users == 1; }, [&] { srv.stop(); });
    srv.run();
    BOOST_TEST(db->users == 0);
    BOOST_TEST(l.size() == 0U);
    BOOST_TEST(l.counters().messages == 1U);
}

BOOST_AUTO_TEST_CASE(the_end_of_a_drain_ends_a_logic_that_still_waits) {
    quiet_server srv;
    std::unique_ptr<database> db;
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(uses(db)));
    db = std::make_unique<database>(srv.executor());
    const asking client(l);
    const when drain(
        srv, [&] { return db->users == 1; }, [&] { srv.drain(1ms); });
    srv.run();
    BOOST_TEST(db->users == 0);
}

BOOST_AUTO_TEST_CASE(coroutines_that_the_user_spawned_end_within_run) {
    // The coroutine belongs to no session, so stop() does not reach it.
    quiet_server srv;
    srv.add(ice::tcp_server_action{any_port});
    auto db = std::make_unique<database>(srv.executor());
    bool told = false;
    asio::co_spawn(srv.executor(), wait_for_ever(*db), [&](std::exception_ptr) { told = true; });
    const when stop(
        srv, [&] { return db->users == 1; }, [&] { srv.stop(); });
    srv.run();
    BOOST_TEST(db->users == 0);
    BOOST_TEST(!told, "it was destroyed, and did not end");
}

BOOST_AUTO_TEST_CASE(callers_of_a_pool_end_within_run) {
    // They get errc::stopped while all objects still exist.
    quiet_server srv;
    asio::io_context other;
    tcp::acceptor silent(other, {asio::ip::address_v4::loopback(), 0});
    auto& pool = srv.add(ice::tcp_client_action{
        ice::address{"127.0.0.1", silent.local_endpoint().port()}, lines, 1});
    auto db = std::make_unique<database>(srv.executor());
    ice::error_code why;
    const auto ask = [](ice::pool<ice::line>& p, database& d,
                        ice::error_code& ended) -> ice::task<> {
        const user here(d);
        const auto reply = co_await p.request("x");
        if (!reply) ended = reply.error();
    };
    asio::co_spawn(srv.executor(), ask(pool, *db, why), [](std::exception_ptr) {});
    const when stop(
        srv, [&] { return pool.busy() == 1; }, [&] { srv.stop(); });
    srv.run();
    BOOST_TEST(db->users == 0);
    BOOST_TEST(why == ice::errc::stopped);
}

BOOST_AUTO_TEST_CASE(an_exception_leaves_run_after_all_coroutines_have_ended) {
    // The danger: unwinding destroys objects that logics use before the server with its logics.
    quiet_server srv;
    std::unique_ptr<database> db;
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(uses(db)));
    db = std::make_unique<database>(srv.executor());
    const asking client(l);
    const when fail(
        srv, [&] { return db->users == 1; },
        [&] {
            asio::post(srv.executor(), [] { throw std::logic_error("behind it"); });
            throw std::runtime_error("mine");
        });
    BOOST_CHECK_EXCEPTION(srv.run(), std::runtime_error,
                          [](const auto& e) { return std::string_view(e.what()) == "mine"; });
    BOOST_TEST(db->users == 0);
    srv.run();  // it has ended: returns at once
    asio::io_context other;
    tcp::socket late(other);
    asio::error_code refused;
    late.connect(endpoint_of(l.endpoint()), refused);
    BOOST_TEST(refused == asio::error::connection_refused);
}

BOOST_AUTO_TEST_CASE(coroutines_of_a_server_that_never_ran_do_not_begin) {
    // The danger: the end of the server runs coroutines whose objects are gone.
    int began = 0;
    {
        quiet_server srv;
        auto& l = srv.add(ice::tcp_server_action{any_port});
        srv.add(ice::tcp_client_action{l.endpoint(), lines, 3});
        auto db = std::make_unique<database>(srv.executor());
        const auto work = [](database& d, int& n) -> ice::task<> {
            ++n;
            co_await wait_for_ever(d);
        };
        asio::co_spawn(srv.executor(), work(*db, began), [](std::exception_ptr) {});
        asio::post(srv.executor(), [&] { ++began; });
    }
    BOOST_TEST(began == 0);
}

BOOST_AUTO_TEST_CASE(work_that_is_posted_after_run_never_begins) {
    // Timers and sockets of the user must still find their io_context.
    auto held = std::make_shared<int>(0);
    quiet_server srv;
    auto& l = srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
    auto& pool = srv.add(ice::tcp_client_action{l.endpoint(), lines, 2});
    asio::steady_timer timer(srv.executor(), std::chrono::hours(1));
    timer.async_wait([held](std::error_code) {});
    tcp::acceptor acceptor(srv.executor(), {asio::ip::address_v4::loopback(), 0});
    acceptor.async_accept([held](std::error_code, tcp::socket) {});
    const when stop(
        srv, [&] { return pool.idle() == 2; }, [&] { srv.stop(); });
    srv.run();
    BOOST_TEST(held.use_count() == 1, "what waited was destroyed");
    bool ran = false;
    asio::post(srv.executor(), [&ran, held] { ran = true; });
    timer.expires_after(0ms);
    timer.async_wait([&ran, held](std::error_code) { ran = true; });
    acceptor.close();
    srv.stop();
    srv.drain();
    srv.report();
    BOOST_TEST(l.size() == 0U);
    BOOST_TEST(pool.idle() == 0U);
    srv.run();
    BOOST_TEST(!ran);
}

BOOST_AUTO_TEST_CASE(handlers_that_post_themselves_for_ever_do_not_hold_run) {
    // At its end run() runs handlers that are ready, but a bounded number.
    quiet_server srv;
    std::size_t times = 0;
    std::function<void()> again = [&] {
        if (++times == 1) srv.stop();
        asio::post(srv.executor(), again);
    };
    asio::post(srv.executor(), again);
    srv.run();
    BOOST_TEST(times > 1U);
}

BOOST_AUTO_TEST_SUITE_END()
