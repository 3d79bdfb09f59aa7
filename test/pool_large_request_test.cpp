// Requests that are larger than what the kernels between a pool and its upstream take: the pool
// receives while it sends.
#include <fmt/format.h>

#include <asio/co_spawn.hpp>
#include <boost/test/unit_test.hpp>
#include <ice/pool.hpp>

#include "asking.hpp"
#include "upstream.hpp"

namespace {

using namespace std::chrono_literals;

constexpr std::size_t mib = 1024 * 1024;

// Messages with their size before them, in eight digits.
struct counted {
    ice::parsed<std::string_view> parse(std::string_view in) {
        if (in.size() < 8) return ice::need_more;
        const std::size_t n = std::stoul(std::string(in.substr(0, 8)));
        if (in.size() < 8 + n) return ice::need_more;
        return {in.substr(8, n), 8 + n};
    }
    void packet(std::string_view text, std::string& out) {
        out += fmt::format("{:08}{}", text.size(), text);
    }
};

constexpr ice::pool_name<counted> large{"large"};

// An upstream that replies to the size of a request, before it has read the rest, which it never
// does.
struct hasty {
    ice::parsed<std::string_view> parse(std::string_view in) {
        if (in.size() < 8) return ice::need_more;
        return {in.substr(0, 8), 8};
    }
    void packet(std::string_view text, std::string& out) { counted().packet(text, out); }
};
ice::task<std::string> refuse(std::string_view, ice::session<hasty>& peer) {
    co_await peer.send("too large");
    co_await peer.sleep(1h);
    co_return "";
}

struct fixture : asking {
    ice::pool<counted>& add(std::size_t depth, ice::pool_timeouts t = {}) {
        return open(ice::tcp_client_action{far, large, 1}
                        .limits({.message = 64 * mib, .pipeline = depth})
                        .timeouts(t));
    }
    void echo_bytes() { up.add(ice::tcp_server_action{far}); }  // RFC 862
};

constexpr std::size_t alone = 1, shared = 16;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pool_large_request, fixture)

// The danger: the upstream reads no more as its replies are not read, and the pool reads no reply
// before the upstream has read the request.
BOOST_AUTO_TEST_CASE(a_request_that_its_upstream_echoes_byte_by_byte_gets_its_reply) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        each.echo_bytes();
        auto& p = each.add(depth);
        const std::string text(mib - 100, 'x');
        const auto got = each.sim.run(p.request(text));
        BOOST_TEST_REQUIRE(got.has_value());
        BOOST_TEST((*got == text));
        BOOST_TEST(p.counters().returned == 1u);
        BOOST_TEST(p.idle() == 1u);
    }
}

BOOST_AUTO_TEST_CASE(a_pipeline_reads_replies_while_later_requests_are_sent) {
    echo_bytes();
    auto& p = add(shared);
    int got_replies = 0;
    const std::string text(200'000, 'x');
    const auto ask = [](ice::pool<counted>& to, const std::string& what, int& n) -> ice::task<> {
        const auto got = co_await to.request(std::string_view(what));
        if (got && *got == what) ++n;
    };
    for (int i = 0; i < 4; ++i) sim.spawn(ask(p, text, got_replies));
    sim.run_for(4s);
    BOOST_TEST(got_replies == 4);
    BOOST_TEST(p.counters().connects == 1u);
}

// The danger: the rest of the request would reach the upstream as the beginning of the next one.
BOOST_AUTO_TEST_CASE(a_reply_before_the_request_is_sent_is_given_and_closes_the_connection) {
    up.add(ice::tcp_server_action{far}.protocol(hasty{}).logic(refuse));
    auto& p = add(alone);
    const auto got = sim.run(p.request(std::string(mib, 'x')));
    BOOST_TEST_REQUIRE(got.has_value());
    BOOST_TEST(*got == "too large");
    BOOST_TEST(p.counters().discarded == 1u);
    const auto next = sim.run(p.request("small"));
    BOOST_TEST(*next == "too large");
}

BOOST_AUTO_TEST_CASE(an_upstream_that_does_not_read_ends_its_request_in_time) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        each.up.add(ice::tcp_server_action{far}.protocol(hasty{}).logic(
            [](std::string_view, ice::session<hasty>& peer) -> ice::task<> {
                co_await peer.sleep(1h);
            }));
        auto& p = each.add(depth);
        const auto begin = each.sim.now();
        const auto got = each.sim.run(p.request(std::string(mib - 100, 'x'), 3s));
        BOOST_TEST(got.error() == ice::errc::request_timeout);
        BOOST_TEST(got.failure().may_have_been_executed());
        BOOST_TEST((each.sim.now() - begin == 3s));
    }
}

BOOST_AUTO_TEST_CASE(the_write_timeout_ends_a_request_that_may_take_longer) {
    up.add(ice::tcp_server_action{far}
               .protocol(hasty{})
               .timeouts({.logic = 1h})
               .logic([](std::string_view, ice::session<hasty>& peer) -> ice::task<> {
                   co_await peer.sleep(1h);
               }));
    auto& p = add(alone);
    const auto got = sim.run(p.request(std::string(mib, 'x'), 2min));
    BOOST_TEST(got.error() == ice::errc::write_timeout);
}

BOOST_AUTO_TEST_CASE(a_lease_may_push_a_large_message_and_receive_while_it_is_sent) {
    echo_bytes();
    auto& p = add(alone);
    const auto talk = [](ice::pool<counted>& to) -> ice::task<bool> {
        const std::string text(mib - 100, 'x');
        auto leased = co_await to.acquire();
        if (!leased) co_return false;
        leased->keep();
        if ((*leased)->push(text)) co_return false;
        const auto got = co_await (*leased)->receive();
        co_return got&&* got == text;
    };
    BOOST_TEST(sim.run(talk(p)));
    BOOST_TEST(p.counters().returned == 1u);
}

// The danger: "the outbox is full" of a connection that has nothing to send.
BOOST_AUTO_TEST_CASE(a_request_larger_than_the_outbox_is_sent_by_a_pipeline) {
    for (const std::size_t outbox : {std::size_t(0), std::size_t(1000), mib}) {
        fixture each;
        each.echo_bytes();
        auto& p = each.srv.add(ice::tcp_client_action{far, large, 1}.limits(
            {.message = 64 * mib, .outbox = outbox, .pipeline = shared}));
        const std::string text(4 * mib, 'x');
        for (int i = 0; i < 3; ++i) {
            const auto got = each.sim.run(p.request(std::string_view(text)));
            BOOST_TEST_REQUIRE(got.has_value());
            BOOST_TEST((*got == text));
        }
        BOOST_TEST(p.counters().connects == 1u);
    }
}

// An upstream that accepts, and reads only when the test says so.
struct silent : fixture {
    silent() {
        sim.spawn(accept(*this));
        sim.run_for(1ms);
    }
    ~silent() { acceptor->cancel(); }
    static ice::task<> accept(silent& me) {
        for (;;) {
            if (co_await me.acceptor->ready()) co_return;
            if (auto c = me.acceptor->accept()) me.accepted.push_back(*std::move(c));
        }
    }
    // Two requests on one connection, of which `unsent` bytes of the first are not sent.
    ice::pool<counted>& send(std::size_t unsent, std::size_t outbox) {
        auto& p = open(ice::tcp_client_action{far, large, 1}.limits(
            {.message = 64 * mib, .outbox = outbox, .pipeline = shared}));
        sim.spawn(ask(p, std::string(window - 8 + unsent, 'x'), got));
        sim.run_for(1ms);
        sim.spawn(ask(p, "second", got));
        sim.run_for(1ms);
        return p;
    }
    void reply(std::size_t connection, std::string_view bytes) {
        ice::channel& c = *accepted.at(connection);
        c.out() += bytes;
        c.try_flush();
        sim.run_for(10ms);
    }
    static ice::task<> ask(ice::pool<counted>& p, std::string what, int& n) {
        const auto reply = co_await p.request(std::move(what));
        if (reply) ++n;
    }

    static constexpr std::size_t window = 64 * 1024;  // of the simulated network
    std::shared_ptr<ice::acceptor> acceptor = sim.host("10.0.0.1")->listen(far);
    std::vector<std::unique_ptr<ice::channel>> accepted;
    int got = 0;
};

BOOST_AUTO_TEST_CASE(callers_wait_while_as_many_bytes_are_unsent_as_the_outbox_holds) {
    for (const std::size_t outbox : {99u, 100u, 101u}) {
        silent each;
        auto& p = each.send(100, outbox);
        BOOST_TEST(p.waiting() == (outbox <= 100 ? 1u : 0u));
        BOOST_TEST(p.counters().waited == p.waiting());
    }
}

// The danger: the callers wait for a reply that the upstream gives much later.
BOOST_AUTO_TEST_CASE(callers_go_on_as_soon_as_there_is_room) {
    silent each;
    auto& p = each.send(100, 100);
    BOOST_TEST(p.waiting() == 1u);
    ice::channel& up_there = *each.accepted.at(0);
    std::string arrived;
    const auto reads = [&]() -> ice::task<> {
        for (;;) {
            if (co_await up_there.fill()) co_return;
            arrived += up_there.data();
            up_there.consume(up_there.data().size());
        }
    };
    each.sim.spawn(reads());
    each.sim.run_for(10ms);
    BOOST_TEST(p.waiting() == 0u);
    BOOST_TEST(arrived.ends_with("00000006second"));
    each.reply(0, "00000001a00000001b");
    BOOST_TEST(each.got == 2);
}

BOOST_AUTO_TEST_CASE(a_connection_that_ends_while_callers_wait_for_its_room_fails_none_of_them) {
    silent each;
    auto& p = each.send(100, 100);
    BOOST_TEST(p.waiting() == 1u);
    ice::testing::simulation::reset(*each.accepted.at(0));
    each.sim.run_for(10ms);
    BOOST_TEST(p.waiting() == 0u);
    each.reply(1, "00000001a");
    BOOST_TEST(each.got == 1);
}

BOOST_AUTO_TEST_CASE(a_lease_may_push_until_the_outbox_is_full) {
    silent each;
    auto& p = each.srv.add(ice::tcp_client_action{far, large, 1}.limits({.outbox = 1000}));
    const auto pushes = [](ice::pool<counted>& to) -> ice::task<std::vector<ice::error_code>> {
        std::vector<ice::error_code> all;
        const auto leased = co_await to.acquire();
        for (const std::size_t n : {2000u, 1u}) all.push_back((*leased)->push(std::string(n, 'x')));
        co_return all;
    };
    const auto all = each.sim.run(pushes(p));
    BOOST_TEST(!all.at(0));
    BOOST_TEST(all.at(1) == ice::errc::outbox_full);
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_FIXTURE_TEST_SUITE(pool_large_request_on_sockets, test::world)

// The buffers of the kernel hold some megabytes.
BOOST_AUTO_TEST_CASE(a_request_of_32_mib_to_an_echo_gets_its_reply) {
    auto& l = srv.add(ice::tcp_server_action{ice::address{"127.0.0.1", 0}});
    auto& p = srv.add(ice::tcp_client_action{l.endpoint(), large, 1}.limits({.message = 64 * mib}));
    const std::string text(32 * mib, 'x');
    std::optional<ice::pool_result<std::string>> got;
    asio::co_spawn(
        io, p.request(std::string_view(text), 60s),
        [&](const std::exception_ptr&, ice::pool_result<std::string> r) { got = std::move(r); });
    until([&] { return got.has_value(); }, "the reply");
    BOOST_TEST_REQUIRE(got->has_value());
    BOOST_TEST((**got == text));
}

BOOST_AUTO_TEST_SUITE_END()
