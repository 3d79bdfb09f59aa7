// An error that one caller causes ends that caller alone: the others of its connection get their
// replies, the connection stays, and the breaker stays closed.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/pool.hpp>
#include <stdexcept>

#include "asking.hpp"

namespace {

using namespace std::chrono_literals;

const std::error_code DENIED = make_error_code(std::errc::permission_denied);

// What a caller asks for is what its logic of replies makes of the reply.
ice::result<std::string> judge(std::string_view reply) {
    if (reply == "denied") return DENIED;
    if (reply == "malformed") return ice::errc::bad_message;
    if (reply == "not sent") return ice::errc::not_sent;
    if (reply == "throw") throw std::runtime_error("no use");
    return std::string(reply);
}
ice::task<ice::result<std::string>> judge_later(std::string_view reply) {
    std::string own(reply);
    co_return judge(own);
}

struct fixture : asking {
    fixture() {
        serve([](std::string_view m, ice::session<ice::line>& peer) -> ice::task<std::string> {
            std::string own(m);
            co_await peer.sleep(10ms);
            if (own == "large") own.assign(2000, 'x');
            co_return own;
        });
    }
    ice::pool<ice::line>& add(std::size_t depth, bool later = false, std::size_t message = 1000) {
        auto action =
            ice::tcp_client_action{far, name, 1}.limits({.message = message, .pipeline = depth});
        if (later) return open(std::move(action).logic(judge_later));
        return open(std::move(action).logic(judge));
    }
    // A caller whose request may throw; its text is what became of it.
    std::string& ask_and_catch(std::string what) {
        auto& text = texts.emplace_back();
        sim.spawn(caught(srv.get(name), std::move(what), text));
        sim.run_for(1us);
        return text;
    }
    static ice::task<> caught(ice::pool<ice::line>& p, std::string what, std::string& text) {
        try {
            const auto got = co_await p.request(std::move(what));
            text = got ? *got : got.error().message();
        } catch (const std::exception& e) { text = fmt::format("threw {}", e.what()); }
    }

    std::list<std::string> texts;
};

constexpr std::size_t alone = 1, shared = 16;

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pool_caller_error, fixture)

BOOST_AUTO_TEST_CASE(a_refused_reply_ends_its_own_request_only) {
    for (const bool later : {false, true}) {
        fixture each;
        auto& p = each.add(shared, later);
        auto& denied = each.begin("denied");
        auto& second = each.begin("second");
        auto& third = each.begin("third");
        BOOST_TEST(each.end(denied) == DENIED);
        BOOST_TEST(denied->failure().may_have_been_executed());
        BOOST_TEST(!each.end(second));
        BOOST_TEST(**second == "second");
        BOOST_TEST(!each.end(third));
        BOOST_TEST(p.counters().connects == 1u);
        BOOST_TEST(p.counters().discarded == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_logic_that_throws_ends_its_own_request_only) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        auto& p = each.add(depth, true);
        auto& thrown = each.ask_and_catch("throw");
        auto& second = each.begin("second");
        BOOST_TEST(!each.end(second));
        BOOST_TEST(thrown == "threw no use");
        BOOST_TEST(p.counters().connects == 1u);
        BOOST_TEST(p.counters().discarded == 0u);
        BOOST_TEST(p.idle() == 1u);
    }
}

BOOST_AUTO_TEST_CASE(a_malformed_reply_closes_the_connection) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        auto& p = each.add(depth);
        BOOST_TEST(each.ask("malformed") == ice::errc::bad_message);
        BOOST_TEST(p.counters().discarded == 1u);
        BOOST_TEST(!each.ask("next"));
    }
}

// The danger: five requests that one client words badly stop the pool for all.
BOOST_AUTO_TEST_CASE(what_a_caller_causes_opens_no_breaker) {
    for (const std::size_t depth : {alone, shared}) {
        for (const char* what : {"denied", "large"}) {
            fixture each;
            auto& p = each.add(depth);
            for (int i = 0; i < 20; ++i) BOOST_TEST(bool(each.ask(what)));
            BOOST_TEST(!each.ask("innocent"), what);
            BOOST_TEST(p.addresses().all().front()->trips == 0u);
        }
    }
}

BOOST_AUTO_TEST_CASE(a_malformed_reply_counts_for_the_breaker) {
    auto& p = add(alone);
    for (int i = 0; i < 5; ++i) BOOST_TEST(ask("malformed") == ice::errc::bad_message);
    BOOST_TEST(p.addresses().all().front()->trips == 1u);
}

// The danger: "not executed" of a payment that the upstream has made, so that it is made twice.
BOOST_AUTO_TEST_CASE(a_request_with_a_reply_was_executed_whatever_its_logic_returns) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        each.add(depth);
        auto& paid = each.begin("not sent");
        const ice::error_code ec = each.end(paid);
        BOOST_TEST(ec == ice::errc::reply_refused);
        BOOST_TEST((ec != ice::condition::not_executed));
        BOOST_TEST(paid->failure().may_have_been_executed());
        BOOST_TEST(paid->failure().cause() == ice::errc::not_sent);
        BOOST_TEST((paid->failure().kind() == ice::failure_kind::bad_reply));
    }
}

namespace {

// Lines, of which some cannot be written, and some cannot be read.
struct picky : ice::line {
    ice::error_code packet(std::string_view text, std::string& out) {
        const ice::error_code ec = ice::line::packet(text, out);
        if (text == "throw") throw std::runtime_error("cannot be written");
        return ec;
    }
    ice::parsed<std::string_view> parse(std::string_view input) {
        if (input.starts_with("not sent")) return ice::errc::not_sent;
        return ice::line::parse(input);
    }
};

ice::task<> ask_picky(ice::pool<picky>& p, std::string what, std::string& text) {
    try {
        const auto got = co_await p.request(std::move(what));
        text = got ? *got : fmt::format("{}", got.failure().may_have_been_executed());
    } catch (const std::exception& e) { text = fmt::format("threw {}", e.what()); }
}

}  // namespace

BOOST_AUTO_TEST_CASE(a_packet_that_throws_ends_its_own_request_only) {
    auto& p = srv.add(ice::tcp_client_action{far, ice::pool_name<picky>{"picky"}, 1}.limits(
        {.pipeline = shared}));
    std::string first, thrown, second;
    sim.run_for(1ms);
    sim.spawn(ask_picky(p, "first", first));
    sim.spawn(ask_picky(p, "throw", thrown));
    sim.spawn(ask_picky(p, "second", second));
    sim.run_for(1s);
    BOOST_TEST(first == "first");
    BOOST_TEST(thrown == "threw cannot be written");
    BOOST_TEST(second == "second");
    BOOST_TEST(p.counters().connects == 1u);
}

// The danger: a parser's code that means "not sent" makes the pool send a request again.
BOOST_AUTO_TEST_CASE(a_parser_cannot_make_a_request_unsent) {
    for (const std::size_t depth : {alone, shared}) {
        fixture each;
        auto& p =
            each.srv.add(ice::tcp_client_action{far, ice::pool_name<picky>{"picky"}, 1}.limits(
                {.pipeline = depth}));
        std::string told;
        each.sim.run_for(1ms);
        each.sim.spawn(ask_picky(p, "not sent", told));
        each.sim.run_for(10s);
        BOOST_TEST(told == "true");
        BOOST_TEST(p.counters().retries == 0u);
    }
}

BOOST_AUTO_TEST_SUITE_END()
