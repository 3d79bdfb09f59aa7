// The pool and memcached with a real memcached: its replies to each command, its errors, large
// items, and many callers while it is killed, stopped and restarted.
#include <asio/steady_timer.hpp>
#include <ice/protocols/memcached.hpp>

#include "memcached_server.hpp"
#include "world.hpp"

namespace {

using namespace test;
using ice::errc;
using ice::memcached_type;
using reply = ice::result<ice::memcached_reply>;

constexpr std::size_t mib = 1024 * 1024;

struct fixture : world {
    explicit fixture(const char* largest_item = "1m", std::size_t limit = 2 * mib,
                     std::size_t pipeline = 1)
        : server(largest_item) {
        pool = &srv.add(
            ice::tcp_client_action{server.where(), "memcached", 3, ice::memcached(limit)}.limits(
                {.message = limit, .outbox = limit, .pipeline = pipeline}));
        wait_until_ready();
    }

    ice::memcached_reply ask(const ice::memcached_command& command) {
        reply r = run(pool->request(command, 5s));
        BOOST_TEST_REQUIRE(r.has_value(), r.error().message());
        return *r;
    }
    memcached_type type(const ice::memcached_command& command) { return ask(command).type(); }

    void wait_until_ready() {
        until([&] { return run(pool->request(ice::memcached_mn(), 1s)).has_value(); }, "memcached");
    }

    // `count` requests, each of which must have its own reply if it has any. Returns how many had.
    int echo(int count, ice::duration timeout = 5s) {
        int replies = 0;
        for (int i = 0; i < count; ++i) {
            const auto mine = fmt::format("O{}", ++echoes);
            const reply r = run(pool->request(ice::memcached_md("none", mine), timeout));
            if (!r) continue;
            BOOST_TEST((r->flag('O') == mine.substr(1)), r->bytes());
            ++replies;
        }
        return replies;
    }

    memcached_server server;
    ice::pool<ice::memcached>* pool = nullptr;
    int echoes = 0;
};

struct pipelined : fixture {
    pipelined() : fixture("1m", 2 * mib, 16) {}
};

// Callers that each use an item of their own, and look at all that they get.
struct crowd {
    int replies = 0, failures = 0, wrong = 0, running = 0;
    bool over = false;

    static ice::task<> call(ice::pool<ice::memcached>& p, int id, crowd& all) {
        ++all.running;
        const auto key = fmt::format("item-{}", id);
        for (int i = 0; !all.over; ++i) {
            // A set that timed out may be done later, so a value has only its caller's number.
            const auto mine = fmt::format("{} {}\r\nEND\r\n", id,
                                          std::string(static_cast<std::size_t>(i % 50), 'x'));
            const auto timeout = std::chrono::milliseconds(i % 7 == 0 ? 1 : 1000);
            reply r;
            if (i % 3 == 0) {
                const auto set = ice::memcached_set(key, mine, 1h);
                r = co_await p.request(set, timeout);
                all.count(r, r && r->type() == memcached_type::stored);
            } else if (i % 3 == 1) {
                const auto get = ice::memcached_get(key, "none");
                r = co_await p.request(get, timeout);
                const auto begin = fmt::format("{} ", id);
                all.count(r, r && r->type() == memcached_type::values &&
                                 (!r->is_hit() ||
                                  (r->value().starts_with(begin) && r->begin()->key == key)));
            } else {
                const auto opaque = fmt::format("O{}-{}", id, i);
                const auto mg = ice::memcached_ma("none", opaque);
                r = co_await p.request(mg, timeout);
                all.count(r, r && r->flag('O') == opaque.substr(1));
            }
            const auto executor = co_await asio::this_coro::executor;
            asio::steady_timer pause(executor, std::chrono::milliseconds(i % 2));
            co_await pause.async_wait(asio::use_awaitable);
        }
        --all.running;
    }

    void count(const reply& r, bool is_right) {
        if (!r) ++failures;
        else if (is_right) ++replies;
        else ++wrong;
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(real_memcached,
                      *boost::unit_test::precondition(memcached_server::is_installed))

BOOST_FIXTURE_TEST_CASE(each_command_has_the_reply_that_the_protocol_says, fixture) {
    // Another program's reading of the same specification, which tests of the parser cannot check.
    BOOST_TEST((type(ice::memcached_get("k")) == memcached_type::values));
    BOOST_TEST((type(ice::memcached_replace("k", "x")) == memcached_type::not_stored));
    BOOST_TEST((type(ice::memcached_add("k", "a\r\nb", 1h, 7)) == memcached_type::stored));
    BOOST_TEST((type(ice::memcached_add("k", "x")) == memcached_type::not_stored));
    BOOST_TEST((type(ice::memcached_append("k", ">")) == memcached_type::stored));
    BOOST_TEST((type(ice::memcached_prepend("k", "<")) == memcached_type::stored));
    BOOST_TEST((type(ice::memcached_append("none", "x")) == memcached_type::not_stored));
    const auto got = ask(ice::memcached_gets("none", "k"));
    BOOST_TEST(got.value() == "<a\r\nb>");
    BOOST_TEST(got.begin()->key == "k");
    BOOST_TEST(got.begin()->flags == 7U);
    const auto cas = got.begin()->cas;
    BOOST_TEST(cas != 0U);
    BOOST_TEST((type(ice::memcached_cas("k", "1", cas + 1)) == memcached_type::exists));
    BOOST_TEST((type(ice::memcached_cas("k", "1", cas)) == memcached_type::stored));
    BOOST_TEST((type(ice::memcached_cas("none", "1", cas)) == memcached_type::not_found));
    BOOST_TEST(ask(ice::memcached_incr("k", 41)).number() == 42U);
    BOOST_TEST(ask(ice::memcached_decr("k", 50)).number() == 0U);
    BOOST_TEST((type(ice::memcached_incr("none", 1)) == memcached_type::not_found));
    BOOST_TEST((type(ice::memcached_touch("k", 1h)) == memcached_type::touched));
    BOOST_TEST((type(ice::memcached_touch("none", 1h)) == memcached_type::not_found));
    BOOST_TEST(ask(ice::memcached_gat(1h, "none", "k")).is_hit());
    BOOST_TEST(ask(ice::memcached_gats(1h, "k")).begin()->cas > cas);
    BOOST_TEST((type(ice::memcached_touch("k", 0s)) == memcached_type::touched));
    BOOST_TEST(!ask(ice::memcached_get("k")).is_hit(), "it has expired");
    BOOST_TEST((type(ice::memcached_set("k", "")) == memcached_type::stored));
    BOOST_TEST(ask(ice::memcached_get("k")).is_hit(), "an empty value");
    BOOST_TEST((type(ice::memcached_delete("k")) == memcached_type::deleted));
    BOOST_TEST((type(ice::memcached_delete("k")) == memcached_type::not_found));
    BOOST_TEST((type(ice::memcached_flush_all(60s)) == memcached_type::ok));
    BOOST_TEST((type(ice::memcached_flush_all()) == memcached_type::ok));
    BOOST_TEST(ask(ice::memcached_version()).text().starts_with("1."));
    BOOST_TEST(pool->counters().discarded == 0U);
}

BOOST_FIXTURE_TEST_CASE(each_meta_command_has_the_reply_that_the_protocol_says, fixture) {
    BOOST_TEST((type(ice::memcached_mn()) == memcached_type::meta_noop));
    BOOST_TEST((type(ice::memcached_mg("k", "v")) == memcached_type::meta_miss));
    BOOST_TEST((type(ice::memcached_md("k")) == memcached_type::not_found));
    BOOST_TEST((type(ice::memcached_ms("k", "x", "MR")) == memcached_type::not_stored));
    const auto set = ask(ice::memcached_ms("k", "a\r\nb", "T60", "F9", "c", "Oabc"));
    BOOST_TEST((set.type() == memcached_type::meta_success));
    BOOST_TEST((set.flag('O') == "abc"));
    const std::string cas(set.flag('c').value_or(""));
    const auto got = ask(ice::memcached_mg("k", "v", "t", "f", "c", "k", "Oxyz"));
    BOOST_TEST(got.value() == "a\r\nb");
    BOOST_TEST((got.flag('f') == "9"));
    BOOST_TEST((got.flag('k') == "k"));
    BOOST_TEST((got.flag('c') == cas));
    BOOST_TEST((got.flag('O') == "xyz"));
    BOOST_TEST((ask(ice::memcached_mg("k")).type() == memcached_type::meta_success));
    BOOST_TEST((type(ice::memcached_ms("k", "x", "C999")) == memcached_type::exists));
    BOOST_TEST((type(ice::memcached_ms("none", "x", "C999")) == memcached_type::not_found));
    BOOST_TEST((type(ice::memcached_md("k", "I", "T30")) == memcached_type::meta_success));
    const auto stale = ask(ice::memcached_mg("k", "v"));
    BOOST_TEST(stale.flag('X').has_value(), stale.bytes());
    BOOST_TEST(stale.flag('W').has_value(), stale.bytes());
    BOOST_TEST(ask(ice::memcached_mg("k", "v")).flag('Z').has_value());
    BOOST_TEST((type(ice::memcached_md("k")) == memcached_type::meta_success));
    BOOST_TEST(ask(ice::memcached_ma("n", "N0", "J13", "v")).value() == "13");
    BOOST_TEST(ask(ice::memcached_ma("n", "MD", "D10", "v")).value() == "3");
    BOOST_TEST((type(ice::memcached_ma("n")) == memcached_type::meta_success));
    BOOST_TEST((type(ice::memcached_mg("a2V5", "b", "v")) == memcached_type::meta_miss));
    BOOST_TEST(pool->counters().discarded == 0U);
}

BOOST_FIXTURE_TEST_CASE(an_error_is_a_reply_and_the_connection_continues, fixture) {
    const auto connects = pool->counters().connects;
    ask(ice::memcached_set("k", "no number"));
    const auto said = ask(ice::memcached_incr("k", 1));
    BOOST_TEST((said.type() == memcached_type::client_error));
    BOOST_TEST(said.text() == "cannot increment or decrement non-numeric value");
    BOOST_TEST(ask(ice::memcached_mg("k", "v", "v")).text() == "duplicate flag");
    BOOST_TEST(ask(ice::memcached_ms("k", "flush_all", "MX")).is_error());
    BOOST_TEST(ask(ice::memcached_ms("!", "flush_all", "b")).text() == "error decoding key");
    BOOST_TEST(ask(ice::memcached_get("k")).value() == "no number", "no value became a command");
    BOOST_TEST(ask(ice::memcached_set("k", std::string(mib + 1, 'x'))).text() ==
               "object too large for cache");
    BOOST_TEST(echo(10) == 10);
    BOOST_TEST(pool->counters().connects == connects);
    BOOST_TEST(pool->counters().discarded == 0U);
}

BOOST_FIXTURE_TEST_CASE(no_key_and_no_flag_makes_memcached_execute_a_value, pipelined) {
    // Keys and flags at the limits of packet(): behind a line that it cannot read, memcached takes
    // the value for commands. Each value here would delete the item.
    ask(ice::memcached_set("k", "here"));
    const auto connects = pool->counters().connects;
    const std::string key(250, 'x'), evil = "delete k\r\nmn\r\nflush_all";
    const std::string opaque = "O" + std::string(31, 'o'), path(1700, 'p');
    const char* const c = "c";
    for (const auto& command :
         {ice::memcached_set(key, evil, 24h * 30, UINT32_MAX),
          ice::memcached_set("\x80\xff", evil, 0s),
          ice::memcached_set("s", evil, std::chrono::sys_seconds(std::chrono::seconds(INT32_MAX))),
          ice::memcached_cas(key, evil, UINT64_MAX, {}, UINT32_MAX),
          ice::memcached_append(key, evil), ice::memcached_ms(key, evil, opaque, "L" + path),
          ice::memcached_ms("s", evil, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c, c),
          ice::memcached_ms("s", evil, "C-1"), ice::memcached_ms("s", evil, "Tx"),
          ice::memcached_ms("s", evil, "F99999999999"), ice::memcached_ms("s", evil, "Z")}) {
        BOOST_TEST(command.is_encodable());
        static_cast<void>(ask(command));
        BOOST_TEST(ask(ice::memcached_get("k")).value() == "here", command.bytes().substr(0, 300));
        BOOST_TEST(echo(2) == 2, command.bytes().substr(0, 300));
    }
    for (const auto& command :
         {ice::memcached_set("a b", evil), ice::memcached_set("a\r\nflush_all", evil),
          ice::memcached_set(key + "x", evil), ice::memcached_get("")}) {
        const reply r = run(pool->request(command, 5s));
        BOOST_TEST((r.error() == errc::unencodable), r.error().message());
    }
    BOOST_TEST(pool->counters().connects == connects);
}

BOOST_FIXTURE_TEST_CASE(a_get_of_many_keys_has_all_items, fixture) {
    std::vector<std::string> keys;
    for (int i = 0; i < 1000; ++i) {
        keys.push_back(fmt::format("key-{}", i));
        if (i % 2 == 0) ask(ice::memcached_set(keys.back(), fmt::format("\r\nEND\r\n{}", i)));
    }
    const auto all = ask(ice::memcached_get(keys));
    int at = 0;
    for (const ice::memcached_item& item : all) {
        BOOST_TEST_REQUIRE(item.key == fmt::format("key-{}", at));
        BOOST_TEST_REQUIRE(item.value == fmt::format("\r\nEND\r\n{}", at));
        at += 2;
    }
    BOOST_TEST(at == 1000);
}

BOOST_AUTO_TEST_CASE(an_item_of_1_mib_and_one_of_8_mib_come_back) {
    for (const auto& [option, size] : {std::pair{"2m", mib}, std::pair{"9m", 8 * mib}}) {
        fixture f(option, size + 1000);
        std::string value(size, ' ');
        for (std::size_t i = 0; i < size; ++i) value[i] = static_cast<char>(i * i + i / 251);
        BOOST_TEST((f.type(ice::memcached_set("large", value)) == memcached_type::stored));
        BOOST_TEST((f.ask(ice::memcached_get("large")).value() == value));
        BOOST_TEST((f.ask(ice::memcached_mg("large", "v")).value() == value));
        BOOST_TEST(f.echo(3) == 3);
    }
}

BOOST_AUTO_TEST_CASE(a_reply_beyond_the_limit_is_an_error_of_its_request_alone) {
    fixture f("2m", 100'000);
    auto& more = f.srv.add(
        ice::tcp_client_action{f.server.where(), "more", 1, ice::memcached(2 * mib)}.limits(
            {.message = 2 * mib, .outbox = 2 * mib}));
    const auto set = ice::memcached_set("large", std::string(mib, 'x'));
    BOOST_TEST(f.run(more.request(set, 5s)).has_value());
    const reply small = f.run(f.pool->request(set, 5s));
    BOOST_TEST((small.error() == errc::message_too_large), small.error().message());
    const reply r = f.run(f.pool->request(ice::memcached_get("large"), 5s));
    BOOST_TEST((r.error() == errc::message_too_large), r.error().message());
    BOOST_TEST(f.echo(5) == 5);
}

BOOST_FIXTURE_TEST_CASE(a_restarted_memcached_is_used_again, fixture) {
    for (int i = 0; i < 5; ++i) {
        server.kill();
        BOOST_TEST(echo(5) == 0, "nobody is there to reply");
        server.start();
        wait_until_ready();
        BOOST_TEST(echo(20) == 20);
    }
}

BOOST_FIXTURE_TEST_CASE(a_reply_after_the_timeout_reaches_no_caller, fixture) {
    // When it continues, memcached replies at once to all requests that were sent meanwhile.
    for (int i = 0; i < 3; ++i) {
        server.stop();
        BOOST_TEST(echo(6, 20ms) == 0);
        server.resume();
        wait_until_ready();
        BOOST_TEST(echo(20) == 20);
    }
    BOOST_TEST(pool->counters().timeouts > 0U);
}

BOOST_FIXTURE_TEST_CASE(no_caller_gets_the_reply_of_another_on_a_shared_connection, pipelined) {
    // 40 callers on 3 connections of 16 requests each, some of which leave too early for their
    // reply, while memcached is stopped, continued, killed and restarted.
    crowd all;
    const auto context =
        std::make_shared<ice::server_context>(ice::make_socket_transport(io.get_executor()));
    for (int id = 0; id < 40; ++id) ice::spawn(context, crowd::call(*pool, id, all), "caller");
    for (int i = 0; i < 3; ++i) {
        const int enough = all.replies + 500;
        until([&] { return all.replies >= enough; }, "replies");
        server.stop();
        const int timed_out = all.failures;
        until([&] { return all.failures >= timed_out + 10; }, "timeouts");
        server.resume();
        const int again = all.replies + 500;
        until([&] { return all.replies >= again; }, "replies after the stop");
        server.kill();
        const int failed = all.failures;
        until([&] { return all.failures >= failed + 40; }, "failures");
        server.start();
    }
    const int before = all.replies;
    until([&] { return all.replies >= before + 500; }, "replies after the last restart");
    all.over = true;
    until([&] { return all.running == 0; }, "the end of all callers");
    BOOST_TEST(all.wrong == 0);
    BOOST_TEST(pool->busy() == 0U);
    BOOST_TEST(pool->waiting() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
