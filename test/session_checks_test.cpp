// session_checks: the log-in of a protocol, which sessions of pools run, and that of resp.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/detail/session_checks.hpp>
#include <ice/ice.hpp>
#include <ice/testing/sim.hpp>
#include <optional>
#include <string>
#include <vector>

#include "quiet_server.hpp"

namespace {

using namespace std::chrono_literals;
using ice::resp_command;

const ice::address REDIS{"127.0.0.1", 6379};

// A handshake of its own behind the log-in.
struct tracking : ice::resp {
    using ice::resp::resp;

    ice::task<ice::error_code> handshake(ice::session<tracking>& peer) {
        const auto track = resp_command("CLIENT", "TRACKING", "ON");
        if (const auto ec = co_await peer.send(track)) co_return ec;
        const auto reply = co_await peer.receive();
        co_return reply ? logged_in(*reply) : reply.error();
    }
};

static_assert(ice::detail::logs_in<ice::resp> && ice::detail::logs_in<tracking>);
static_assert(!ice::detail::logs_in<ice::line> && !ice::detail::logs_in<ice::resp_requests>);
static_assert(ice::detail::says_if_reusable<ice::resp>);

std::string text(ice::resp_view request) {
    std::string words;
    for (const ice::resp_view word : request)
        words.append(words.empty() ? "" : " ").append(word.text());
    return words;
}

// An upstream that writes down what it is asked, and refuses what a test says.
struct fixture {
    fixture() {
        up.add(ice::tcp_server_action{REDIS}
                   .protocol(ice::resp_requests{})
                   .logic([this](ice::resp_view request) -> ice::resp_value {
                       seen.push_back(text(request));
                       if (!refused.empty() && seen.back().starts_with(refused))
                           return ice::resp_error(refusal);
                       return ice::resp_simple_string("OK");
                   }));
    }

    template <class P>
    ice::pool<P>& add(P p) {
        const auto name = fmt::format("redis {}", ++pools);
        return srv.add(
            ice::tcp_client_action{REDIS, name, 1, std::move(p)}.limits({.preconnect = 0}));
    }
    // What a failed request says.
    std::string failure(ice::resp_login login) {
        auto& p = add(ice::resp(std::move(login)));
        const auto reply = sim.run(p.request(resp_command("PING"), 5s));
        BOOST_TEST_REQUIRE(!reply.has_value());
        BOOST_TEST((reply.error() == ice::errc::handshake_failed));
        BOOST_TEST((reply.error() == ice::condition::not_executed));
        const auto why = reply.failure().text();
        const auto begin =
            fmt::format("pool 'redis {}' of 127.0.0.1:6379: handshake refused", pools);
        BOOST_TEST(why.starts_with(begin), why);
        BOOST_TEST(why.ends_with(" (not executed)"), why);
        return why.substr(begin.size(), why.rfind(" (") - begin.size());
    }

    ice::testing::simulation sim;
    std::vector<std::string> seen;
    std::string refused, refusal;
    int pools = 0;
    quiet_server up{sim.host("127.0.0.1")}, srv{sim.net()};
};

}  // namespace

BOOST_AUTO_TEST_SUITE(session_checks)

BOOST_AUTO_TEST_CASE(a_log_in_has_the_commands_that_it_needs_and_no_others) {
    const auto commands = [](ice::resp_login login) {
        std::string out;
        const ice::resp p(std::move(login));
        const std::size_t replies = p.log_in(out);
        std::vector<std::string> all;
        ice::resp_requests server;
        std::string_view rest = out;
        while (!rest.empty()) {
            std::string ignored;
            auto found = server.parse(rest, ignored);
            BOOST_TEST_REQUIRE(found.has_message());
            all.push_back(text(found.message()));
            rest.remove_prefix(found.size());
        }
        BOOST_TEST(replies == all.size());
        return all;
    };
    using words = std::vector<std::string>;
    BOOST_TEST(commands({}).empty());
    BOOST_TEST(commands({.password = "p"}) == words{"AUTH p"});
    BOOST_TEST(commands({.user = "u", .password = "p"}) == words{"AUTH u p"});
    BOOST_TEST(commands({.user = "u"}) == words{"AUTH u "});
    BOOST_TEST(commands({.name = "n"}) == words{"CLIENT SETNAME n"});
    BOOST_TEST(commands({.database = 3}) == words{"SELECT 3"});
    BOOST_TEST(commands({.version = 3}) == words{"HELLO 3"});
    const ice::resp_login all{
        .user = "u", .password = "p", .name = "n", .database = 15, .version = 3};
    BOOST_TEST(commands(all) == (words{"AUTH u p", "HELLO 3", "CLIENT SETNAME n", "SELECT 15"}));

    std::string out;
    BOOST_TEST(ice::resp().log_in(out) == 0U);
    ice::resp server(all);
    server.as_server();
    BOOST_TEST(server.log_in(out) == 0U);
    BOOST_TEST(out == "");
    for (const int version : {0, 1, 4})
        BOOST_CHECK_THROW(ice::resp({.version = version}), std::invalid_argument);
}

BOOST_FIXTURE_TEST_CASE(a_pool_logs_each_connection_in_before_it_is_used, fixture) {
    auto& p = add(ice::resp({.password = "secret", .database = 3}));
    for (int i = 0; i < 2; ++i)
        BOOST_TEST(sim.run(p.request(resp_command("PING"), 5s)).has_value());
    const std::vector<std::string> once{"AUTH secret", "SELECT 3", "PING", "PING"};
    BOOST_TEST(seen == once, boost::test_tools::per_element());
    BOOST_TEST(p.counters().connects == 1U);
}

BOOST_FIXTURE_TEST_CASE(a_handshake_of_a_derived_protocol_follows_the_log_in, fixture) {
    auto& p = add(tracking({.password = "secret", .version = 3}));
    BOOST_TEST(sim.run(p.request(resp_command("PING"), 5s)).has_value());
    const std::vector<std::string> order{"AUTH secret", "HELLO 3", "CLIENT TRACKING ON", "PING"};
    BOOST_TEST(seen == order, boost::test_tools::per_element());
    // The handshake is not reached if the log-in fails.
    seen.clear();
    refused = "AUTH";
    refusal = "WRONGPASS no";
    auto& q = add(tracking({.password = "secret"}));
    BOOST_TEST(!sim.run(q.request(resp_command("PING"), 5s)).has_value());
    BOOST_TEST(seen == std::vector<std::string>{"AUTH secret"}, boost::test_tools::per_element());
}

BOOST_FIXTURE_TEST_CASE(a_refusal_is_a_failure_with_the_text_of_the_upstream, fixture) {
    refused = "AUTH";
    refusal = "WRONGPASS invalid username-password pair or user is disabled.";
    BOOST_TEST(failure({.password = "secret"}) == "; of the upstream: " + refusal);
    refused = "SELECT";
    refusal = "ERR DB index is out of range";
    BOOST_TEST(failure({.database = 99}) == "; of the upstream: " + refusal);
}

BOOST_FIXTURE_TEST_CASE(no_text_of_a_refusal_has_the_password, fixture) {
    // A server that does not know a command may repeat its words, whole or in part.
    refused = "AUTH";
    for (const char* said :
         {"ERR unknown command 'AUTH', with args beginning with: 'secret phrase' ",
          "ERR unknown command 'AUTH', with args beginning with: 'sec",
          "ERR no AUTH secret phrase here", "ERR AUTH 'secr", "secret phrase", "secret"}) {
        refusal = said;
        const std::string text = failure({.password = "secret phrase"});
        BOOST_TEST(text.find("sec") == text.npos, text);
    }
    refusal = "ERR AUTH a";
    const std::string text = failure({.password = "a"});
    BOOST_TEST(text == "; of the upstream: ERR (a text that may hold the password)");
}

BOOST_FIXTURE_TEST_CASE(a_log_in_has_the_time_of_a_handshake, fixture) {
    quiet_server silent{sim.net()};
    const ice::address where{"127.0.0.1", 6380};
    silent.add(ice::tcp_server_action{where}
                   .protocol(ice::resp_requests{})
                   .logic([](ice::resp_view,
                             ice::session<ice::resp_requests>& peer) -> ice::task<ice::resp_value> {
                       co_await peer.sleep(1h);
                       co_return ice::resp_null_bulk();
                   }));
    auto& p = srv.add(ice::tcp_client_action{where, "silent", 1, ice::resp({.database = 1})}
                          .timeouts({.handshake = 2s})
                          .limits({.preconnect = 0}));
    const auto since = sim.now();
    const auto reply = sim.run(p.request(resp_command("PING"), 10s));
    BOOST_TEST((reply.error() == ice::errc::handshake_timeout), reply.error().message());
    BOOST_TEST((sim.now() - since >= 2s && sim.now() - since < 3s));
}

BOOST_AUTO_TEST_SUITE_END()
