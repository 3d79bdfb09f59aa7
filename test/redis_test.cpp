// The pool and resp with a real redis-server: its types, its errors, and the ways in which it ends
// connections or delays them.
#include <asio/steady_timer.hpp>
#include <cmath>
#include <ice/protocols/resp.hpp>

#include "redis_server.hpp"
#include "world.hpp"

namespace {

using namespace test;
using ice::errc;
using ice::resp_command;
using ice::resp_type;
using reply = ice::result<ice::resp_value>;

// Each connection speaks RESP3, and is told when a key that it has read changes.
struct tracking : ice::resp {
    tracking() : ice::resp({.version = 3}) {}

    ice::task<ice::error_code> handshake(ice::session<tracking>& peer) {
        const auto track = resp_command("CLIENT", "TRACKING", "ON");
        if (const auto ec = co_await peer.send(track)) co_return ec;
        const auto said = co_await peer.receive();
        co_return said ? logged_in(*said) : said.error();
    }
};

constexpr ice::pool_name<ice::resp> plain{"redis"};

struct fixture : world {
    fixture() { add_plain(3); }

    void add_plain(std::size_t size) {
        pool = &srv.add(ice::tcp_client_action{redis.where(), plain, size});
        wait_until_ready();
    }

    template <class... Words>
    ice::resp_value ask(const Words&... words) {
        reply r = run(pool->request(resp_command(words...), 5s));
        BOOST_TEST_REQUIRE(r.has_value(), r.error().message());
        return *r;
    }

    void wait_until_ready() {
        until([&] { return run(pool->request(resp_command("PING"), 1s)).has_value(); },
              "redis-server");
    }

    // `count` requests, each of which must have its own reply if it has any. Returns how many had.
    int echo(int count, ice::duration timeout = 5s) {
        int replies = 0;
        for (int i = 0; i < count; ++i) {
            const auto mine = fmt::format("echo {}", ++echoes);
            const reply r = run(pool->request(resp_command("ECHO", mine), timeout));
            if (!r) continue;
            BOOST_TEST(r->text() == mine);
            ++replies;
        }
        return replies;
    }

    redis_server redis;
    ice::pool<ice::resp>* pool = nullptr;
    int echoes = 0;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(redis, *boost::unit_test::precondition(redis_server::is_installed))

BOOST_FIXTURE_TEST_CASE(replies_have_the_types_that_redis_gives_them, fixture) {
    // Another program's reading of the same specification, which tests of resp alone cannot check.
    BOOST_TEST((ask("SET", "k", "a\r\nb") == ice::resp_simple_string("OK")));
    BOOST_TEST((ask("GET", "k") == ice::resp_bulk_string("a\r\nb")));
    BOOST_TEST((ask("GET", "none") == ice::resp_null_bulk()));
    BOOST_TEST((ask("SET", "empty", "") == ice::resp_simple_string("OK")));
    BOOST_TEST((ask("GET", "empty") == ice::resp_bulk_string("")));
    BOOST_TEST(ask("INCRBY", "n", 42).integer() == 42);
    BOOST_TEST(ask("DECRBY", "n", 50).integer() == -8);
    BOOST_TEST((ask("BLPOP", "none", "0.01") == ice::resp_null_array()));
    BOOST_TEST((ask("LRANGE", "none", 0, -1) == ice::resp_array({})));
    BOOST_TEST((ask("MGET", "k", "none") ==
                ice::resp_array({ice::resp_bulk_string("a\r\nb"), ice::resp_null_bulk()})));
    BOOST_TEST((ask("EVAL", "return {1, {2, {'x', {}}}}", 0) ==
                ice::resp_array({ice::resp_integer(1),
                                 ice::resp_array({ice::resp_integer(2),
                                                  ice::resp_array({ice::resp_bulk_string("x"),
                                                                   ice::resp_array({})})})})));
    BOOST_TEST(ask("COMMAND").size() > 100U, "its largest and deepest reply");
    const std::string large(900'000, 'x');
    ask("SET", "large", large);
    BOOST_TEST((ask("GET", "large").text() == large));
}

BOOST_FIXTURE_TEST_CASE(an_error_is_a_reply_and_the_connection_continues, fixture) {
    // If each "wrong type" closed a connection, a mistake of a client would cause a storm of
    // connections.
    const auto connects = pool->counters().connects;
    BOOST_TEST(ask("NO_SUCH_COMMAND").is_error());
    ask("LPUSH", "list", "x");
    BOOST_TEST(ask("GET", "list").text().starts_with("WRONGTYPE "));
    BOOST_TEST(echo(10) == 10);
    BOOST_TEST(pool->counters().connects == connects);
    BOOST_TEST(pool->counters().discarded == 0U);
}

BOOST_FIXTURE_TEST_CASE(a_transaction_on_a_lease_may_contain_an_error, fixture) {
    // MULTI belongs to its connection: a transaction on two connections is none.
    const auto transact = [](ice::pool<ice::resp>& p) -> ice::task<ice::resp_value> {
        auto lent = co_await p.acquire();
        lent->keep();  // EXEC ends what MULTI has begun
        ice::resp_value last;
        const ice::resp_value talk[] = {resp_command("MULTI"), resp_command("SET", "t", "text"),
                                        resp_command("INCR", "t"), resp_command("GET", "t"),
                                        resp_command("EXEC")};
        for (const auto& command : talk) {
            if (co_await (*lent)->send(command)) co_return ice::resp_error("not sent");
            const auto said = co_await (*lent)->receive();
            if (!said) co_return ice::resp_error("no reply");
            last = *said;
        }
        co_return last;
    };
    const auto all = run(transact(*pool));
    BOOST_TEST_REQUIRE(all.size() == 3U);
    auto each = all.begin();
    BOOST_TEST((*each++ == ice::resp_simple_string("OK")));
    BOOST_TEST((*each++).is_error());
    BOOST_TEST((*each++).text() == "text");
    BOOST_TEST(pool->counters().discarded == 0U);
}

BOOST_FIXTURE_TEST_CASE(select_is_sent_in_the_handshake_of_each_connection, fixture) {
    // A connection that was made later, after a loss, must be in the right database too.
    auto& third =
        srv.add(ice::tcp_client_action{redis.where(), "third", 2, ice::resp({.database = 3})});
    const auto set = resp_command("SET", "where", "in 3");
    BOOST_TEST(run(third.request(set, 5s)).has_value());
    BOOST_TEST(ask("GET", "where").is_null());
    for (int i = 0; i < 3; ++i) {
        ask("CLIENT", "KILL", "TYPE", "normal");  // all but the one that says so
        const reply r = run(third.request(resp_command("GET", "where"), 5s));
        BOOST_TEST_REQUIRE(r.has_value(), r.error().message());
        BOOST_TEST(r->text() == "in 3");
    }
}

BOOST_FIXTURE_TEST_CASE(callers_get_the_error_of_a_handshake_that_redis_refuses, fixture) {
    // There are 16 databases: the pool must not assign a connection in the wrong one.
    auto& none =
        srv.add(ice::tcp_client_action{redis.where(), "none", 1, ice::resp({.database = 99})});
    const auto r = run(none.request(resp_command("PING"), 5s));
    BOOST_TEST((r.error() == errc::handshake_failed), r.error().message());
    BOOST_TEST(r.failure().cause().message() == "ERR DB index is out of range");
    BOOST_TEST(none.counters().requests == 1U);
    BOOST_TEST(none.idle() == 0U);
}

BOOST_AUTO_TEST_CASE(replies_of_resp3_have_the_types_that_redis_gives_them) {
    world w;
    redis_server redis({"--enable-debug-command", "yes"});
    auto& third = w.srv.add(
        ice::tcp_client_action{redis.where(), "third", 1, ice::resp({.name = "n3", .version = 3})});
    w.until([&] { return w.run(third.request(resp_command("PING"), 1s)).has_value(); }, "redis");
    const auto get = [&](const auto&... words) {
        const reply r = w.run(third.request(resp_command(words...), 5s));
        BOOST_TEST_REQUIRE(r.has_value(), r.error().message());
        return *r;
    };
    BOOST_TEST(get("CLIENT", "GETNAME").text() == "n3");
    BOOST_TEST((get("GET", "none") == ice::resp_null()));
    BOOST_TEST((get("BLPOP", "none", "0.01") == ice::resp_null()));
    get("HSET", "h", "f", "v");
    BOOST_TEST((get("HGETALL", "h") ==
                ice::resp_map({{ice::resp_bulk_string("f"), ice::resp_bulk_string("v")}})));
    get("SADD", "s", "x");
    BOOST_TEST((get("SMEMBERS", "s") == ice::resp_set({ice::resp_bulk_string("x")})));
    get("ZADD", "z", "1.5", "a", "-inf", "b");
    BOOST_TEST(get("ZSCORE", "z", "a").number() == 1.5);
    BOOST_TEST((get("ZSCORE", "z", "b") == ice::resp_double(-INFINITY)));
    BOOST_TEST((get("INFO").type() == resp_type::verbatim_string));
    BOOST_TEST(get("INFO").text().starts_with("# Server"));
    // Each type of the protocol, as Redis makes it for tests of clients.
    const std::pair<const char*, resp_type> types[]{{"bignum", resp_type::big_number},
                                                    {"double", resp_type::double_number},
                                                    {"null", resp_type::null},
                                                    {"map", resp_type::map},
                                                    {"set", resp_type::set},
                                                    {"attrib", resp_type::bulk_string},
                                                    {"verbatim", resp_type::verbatim_string},
                                                    {"true", resp_type::boolean},
                                                    {"false", resp_type::boolean},
                                                    {"array", resp_type::array}};
    for (const auto& [name, type] : types)
        BOOST_TEST((get("DEBUG", "PROTOCOL", name).type() == type), name);
    BOOST_TEST(get("DEBUG", "PROTOCOL", "attrib").attributes().size() == 1U);
    BOOST_TEST(get("DEBUG", "PROTOCOL", "attrib").text() ==
               "Some real reply following the attribute");
    BOOST_TEST(get("COMMAND", "DOCS").pairs().size() > 100U, "its largest and deepest reply");
    // A push, and then a reply.
    BOOST_TEST(!get("DEBUG", "PROTOCOL", "push").is_null());
    BOOST_TEST(get("ECHO", "mine").text() == "mine");
    BOOST_TEST(third.counters().discarded == 0U);
    BOOST_TEST(third.counters().stale == 0U);
}

BOOST_FIXTURE_TEST_CASE(invalidations_reach_no_caller, fixture) {
    // Each SET of another client makes Redis push to the connections that have read the key.
    for (const std::size_t pipeline : {1U, 16U}) {
        const auto name = fmt::format("tracks {}", pipeline);
        auto& p = srv.add(ice::tcp_client_action{redis.where(), name, 2, tracking()}.limits(
            {.pipeline = pipeline}));
        for (int i = 0; i < 100; ++i) {
            const auto mine = fmt::format("{} {}", pipeline, i);
            ask("SET", "shared", mine);
            for (int n = 0; n < 2; ++n) {
                const reply r = run(p.request(resp_command("GET", "shared"), 5s));
                BOOST_TEST_REQUIRE(r.has_value(), r.error().message());
                BOOST_TEST(r->text() == mine);
            }
        }
        BOOST_TEST(p.counters().connects <= 2U);
        BOOST_TEST(p.counters().discarded == 0U);
        BOOST_TEST(p.counters().stale == 0U);
    }
    const auto stats = ask("INFO", "stats");
    BOOST_TEST(stats.text().find("tracking_total_keys:1") != std::string_view::npos);
}

BOOST_AUTO_TEST_CASE(connections_log_in_with_a_password_also_after_a_restart) {
    world w;
    redis_server guarded(
        {"--requirepass", "main secret", "--user", "app", "on", ">app secret", "~*", "+@all"});
    int pools = 0;
    const auto add = [&](ice::resp_login login) -> ice::pool<ice::resp>& {
        return w.srv.add(ice::tcp_client_action{guarded.where(), fmt::format("{}", ++pools), 2,
                                                ice::resp(std::move(login))});
    };
    const auto ask = [&](ice::pool<ice::resp>& p, auto... words) {
        return w.run(p.request(resp_command(words...), 5s));
    };
    auto& app = add({.user = "app", .password = "app secret", .database = 3, .version = 3});
    auto& main = add({.password = "main secret"});
    for (int i = 0; i < 3; ++i) {
        w.until([&] { return ask(app, "PING").has_value() && ask(main, "PING").has_value(); },
                "redis-server");
        BOOST_TEST(ask(app, "ACL", "WHOAMI")->text() == "app");
        BOOST_TEST(ask(main, "ACL", "WHOAMI")->text() == "default");
        BOOST_TEST(ask(app, "CLIENT", "INFO")->text().find(" db=3 ") != std::string_view::npos);
        guarded.kill();
        BOOST_TEST(!ask(main, "PING").has_value());
        guarded.start();
    }
    w.until([&] { return ask(main, "PING").has_value(); }, "redis-server");

    const std::string wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    for (const auto& login : {ice::resp_login{.password = "no secret"},
                              ice::resp_login{.user = "app", .password = "no secret"},
                              ice::resp_login{.user = "none", .password = "no secret"}}) {
        const auto r = ask(add(login), "PING");
        BOOST_TEST((r.error() == errc::handshake_failed), r.error().message());
        BOOST_TEST(r.failure().cause().message() == wrong);
        BOOST_TEST(r.failure().text().find("secret") == std::string::npos);
    }
    BOOST_TEST(w.logged(wrong));
    const auto r = ask(add({.database = 1}), "PING");
    BOOST_TEST(r.failure().cause().message() == "NOAUTH Authentication required.");
    BOOST_TEST(!w.logged("secret"));
}

BOOST_FIXTURE_TEST_CASE(connections_that_redis_has_killed_are_not_assigned, fixture) {
    for (int i = 0; i < 10; ++i) {
        ask("CLIENT", "KILL", "TYPE", "normal");
        BOOST_TEST(echo(5) == 5);
    }
    BOOST_TEST(pool->counters().connects > 3U);
}

BOOST_FIXTURE_TEST_CASE(a_connection_killed_during_a_request_fails_only_that_request, fixture) {
    std::optional<reply> waits;
    const auto keep = [](ice::pool<ice::resp>& p, std::optional<reply>& slot) -> ice::task<> {
        slot = co_await p.request(resp_command("BLPOP", "none", 0), 5s);
    };
    ice::spawn(std::make_shared<ice::server_context>(ice::make_socket_transport(io.get_executor())),
               keep(*pool, waits), "waits");
    const auto blocked = [&] {
        return ask("INFO", "clients").text().find("blocked_clients:1") != std::string_view::npos;
    };
    until(blocked, "a blocked client");
    ask("CLIENT", "KILL", "TYPE", "normal");
    until([&] { return waits.has_value(); }, "the end of a request");
    BOOST_TEST((waits->error() == errc::closed), waits->error().message());
    BOOST_TEST((waits->error() != ice::condition::not_executed));
    BOOST_TEST(echo(5) == 5);
}

BOOST_FIXTURE_TEST_CASE(a_reply_after_the_timeout_reaches_no_caller, fixture) {
    // When the pause ends, redis replies at once to all requests that were sent in it.
    BOOST_TEST((ask("CLIENT", "PAUSE", 1000, "ALL") == ice::resp_simple_string("OK")));
    BOOST_TEST(echo(6, 20ms) < 6);
    wait_until_ready();
    BOOST_TEST(echo(20) == 20);
    BOOST_TEST(pool->counters().timeouts > 0U);
}

BOOST_FIXTURE_TEST_CASE(a_restarted_redis_is_used_again, fixture) {
    for (int i = 0; i < 5; ++i) {
        redis.kill();
        BOOST_TEST(echo(5) == 0, "nobody is there to reply");
        redis.start();
        wait_until_ready();
        BOOST_TEST(echo(20) == 20);
    }
}

BOOST_FIXTURE_TEST_CASE(no_caller_gets_the_reply_of_another_while_redis_comes_and_goes, fixture) {
    // 16 callers on 3 connections, some of which leave too early for their reply.
    struct tally {
        int replies = 0, failures = 0, wrong = 0, running = 0;
        bool over = false;
    } t;
    const auto call = [](ice::pool<ice::resp>& p, int id, tally& seen) -> ice::task<> {
        ++seen.running;
        for (int i = 0; !seen.over; ++i) {
            const auto mine = fmt::format("{} of {}", i, id);
            const auto timeout = std::chrono::milliseconds(i % 5 == 0 ? 1 : 1000);
            const reply r = co_await p.request(resp_command("ECHO", mine), timeout);
            if (!r) ++seen.failures;
            else if (r->text() == mine) ++seen.replies;
            else ++seen.wrong;
            const auto executor = co_await asio::this_coro::executor;
            asio::steady_timer pause(executor, std::chrono::milliseconds(1));
            co_await pause.async_wait(asio::use_awaitable);
        }
        --seen.running;
    };
    const auto context =
        std::make_shared<ice::server_context>(ice::make_socket_transport(io.get_executor()));
    for (int id = 0; id < 16; ++id) ice::spawn(context, call(*pool, id, t), "caller");
    for (int i = 0; i < 3; ++i) {
        const int enough = t.replies + 200;
        until([&] { return t.replies >= enough; }, "replies");
        redis.kill();
        const int failed = t.failures;
        until([&] { return t.failures >= failed + 16; }, "failures");
        redis.start();
    }
    const int before = t.replies;
    until([&] { return t.replies >= before + 200; }, "replies after the last restart");
    t.over = true;
    until([&] { return t.running == 0; }, "the end of all callers");
    BOOST_TEST(t.wrong == 0);
    BOOST_TEST(pool->busy() == 0U);
    BOOST_TEST(pool->waiting() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
