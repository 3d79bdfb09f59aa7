// nats: the handshake, messages at every split, errors, and limits.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/protocols/nats.hpp>
#include <ice/testing/script.hpp>
#include <random>
#include <string>
#include <vector>

#include "quick.hpp"

namespace {

using namespace std::string_literals;
using ice::errc;
using ice::nats_type;
using ice::testing::play;
using ice::testing::split_difference;

const std::string info = R"(INFO {"version":"2.9.10","headers":true,"max_payload":1048576} )"
                         "\r\n";
const std::string open = info + "PONG\r\n";
const std::string connect =
    R"(CONNECT {"verbose":false,"pedantic":false,"tls_required":false,"lang":"c++","protocol":1,)"
    R"("version":"0.1.0","echo":true,"headers":true,"no_responders":true})"
    "\r\nPING\r\n";

// A protocol whose handshake is over.
ice::nats established(std::size_t limit = 1024 * 1024, const std::string& greeting = info) {
    ice::nats p(ice::nats_options{}, limit);
    std::string out;
    BOOST_TEST(p.parse(greeting, out).size() == greeting.size());
    BOOST_TEST(p.parse("PONG\r\n", out).has_message());
    return p;
}

// The one message that `bytes` are, which are the same at every cut.
ice::nats_message message(std::string_view bytes) {
    const auto seen = play(established(), bytes);
    BOOST_TEST_REQUIRE(seen.messages.size() == 1U, bytes);
    BOOST_TEST(seen.left == 0U);
    BOOST_TEST(seen.messages[0].bytes() == bytes);
    BOOST_TEST(split_difference(established(), bytes) == "", bytes);
    return seen.messages[0];
}

// The error that `bytes` are, which is the same at every cut.
ice::error_code error(std::string_view bytes, const ice::nats& p = established()) {
    const auto seen = play(p, bytes);
    BOOST_TEST(seen.messages.empty(), fmt::format("{:?}", bytes));
    BOOST_TEST(split_difference(p, bytes) == "", fmt::format("{:?}", bytes));
    return seen.error;
}

// All parts that a message says it has are in its bytes.
void walk(ice::nats_view m) {
    const auto inside = [&](std::string_view part) {
        return part.empty() || (part.data() >= m.bytes().data() &&
                                part.data() + part.size() <= m.bytes().data() + m.bytes().size());
    };
    bool all = inside(m.subject()) && inside(m.reply_to()) && inside(m.payload()) &&
               inside(m.text()) && inside(m.description());
    for (const ice::nats_header& h : m.headers()) all = all && inside(h.name) && inside(h.value);
    BOOST_TEST(all, m.bytes());
}

}  // namespace

BOOST_AUTO_TEST_SUITE(nats)

// -- the handshake

BOOST_AUTO_TEST_CASE(a_handshake_is_info_connect_ping_and_pong) {
    const auto seen = play(ice::nats(), open);
    BOOST_TEST(seen.answers == connect);
    BOOST_TEST_REQUIRE(seen.messages.size() == 1U);
    BOOST_TEST((seen.messages[0].type() == nats_type::pong));
    BOOST_TEST(!ice::nats().logged_in(seen.messages[0]));
    BOOST_TEST(split_difference(ice::nats(), open) == "");
    std::string out;
    BOOST_TEST(ice::nats().log_in(out) == 1U);
    BOOST_TEST(out == "", "the server begins");
}

BOOST_AUTO_TEST_CASE(a_handshake_may_have_other_lines_before_pong) {
    const auto seen = play(ice::nats(), info + "+OK\r\nPING\r\n" + info + "PONG\r\n");
    BOOST_TEST(seen.answers == connect + "PONG\r\n");
    BOOST_TEST(seen.messages.size() == 1U);
}

BOOST_AUTO_TEST_CASE(connect_has_the_options) {
    const auto answers = [](const ice::nats_options& o, const std::string& greeting = info) {
        return play(ice::nats(o), greeting).answers;
    };
    const auto has = [&](const ice::nats_options& o, std::string_view text) {
        return answers(o).find(text) != std::string::npos;
    };
    BOOST_TEST(has({.user = "a\"b", .password = "c\\d"}, R"("user":"a\"b","pass":"c\\d")"));
    BOOST_TEST(has({.token = "secret"}, R"("auth_token":"secret")"));
    BOOST_TEST(has({.name = "app"}, R"("name":"app")"));
    BOOST_TEST(has({.echo = false}, R"("echo":false)"));
    BOOST_TEST(!has({.password = "alone"}, "alone"));
    // A server without headers would refuse no_responders.
    BOOST_TEST(answers({}, "INFO {}\r\n").find("no_responders") == std::string::npos);
}

BOOST_AUTO_TEST_CASE(a_refusal_of_the_server_has_its_text) {
    BOOST_TEST(error(info + "-ERR 'Authorization Violation'\r\n", ice::nats()).message() ==
               "Authorization Violation");
    BOOST_TEST(error("-ERR 'maximum connections exceeded'\r\n", ice::nats()).message() ==
               "maximum connections exceeded");
    const auto seen = play(ice::nats(), info + "-ERR 'Permissions Violation'\r\n");
    BOOST_TEST_REQUIRE(seen.messages.size() == 1U);
    BOOST_TEST(ice::nats().logged_in(seen.messages[0]).message() == "Permissions Violation");
}

BOOST_AUTO_TEST_CASE(an_error_that_repeats_a_secret_is_not_shown) {
    for (const auto& options : {ice::nats_options{.user = "u", .password = "s3cret"},
                                ice::nats_options{.token = "s3cret"}}) {
        const auto why = error(info + "-ERR 'no s3cret here'\r\n", ice::nats(options));
        BOOST_TEST(why.message().find("s3cret") == std::string::npos);
    }
    // A short password is found in many a text; the connection must not end because of that.
    const auto seen = play(ice::nats({.user = "u", .password = "b"}),
                           open + "-ERR 'Permissions Violation for Publish to \"a\"'\r\n");
    BOOST_TEST_REQUIRE(seen.messages.size() == 2U);
    BOOST_TEST(seen.messages[1].is_error());
}

BOOST_AUTO_TEST_CASE(a_server_that_asks_for_more_than_a_password_is_refused) {
    const auto why = [](const std::string& members, const ice::nats_options& o = {}) {
        const auto seen = play(ice::nats(o), "INFO {" + members + "}\r\n");
        BOOST_TEST(seen.answers.empty() == !!seen.error, "no secret is sent");
        return seen.error ? seen.error.message() : "";
    };
    BOOST_TEST(why(R"("tls_required":true)", {.user = "u"}).find("TLS") != std::string::npos);
    const std::string nkeys = R"("auth_required":true,"nonce":"abc")";
    BOOST_TEST(why(nkeys).find("nkeys") != std::string::npos);
    BOOST_TEST(why(nkeys, {.user = "u"}) == "");
    BOOST_TEST(why(nkeys, {.token = "t"}) == "");
    BOOST_TEST(why(R"("auth_required":true)") == "", "the server refuses with its own text");
    BOOST_TEST(why(R"("nonce":"abc")") == "");
}

BOOST_AUTO_TEST_CASE(nothing_comes_before_the_handshake_is_over) {
    for (const char* early : {"PING\r\n", "PONG\r\n", "+OK\r\n", "MSG a 1 0\r\n\r\n", "INFO \r\n",
                              "INFO []\r\n", "INFO {\"headers\":1}\r\n", "INFO\r\n"})
        BOOST_TEST((error(early, ice::nats()) == errc::bad_message), early);
    BOOST_TEST((error(info + "MSG a 1 0\r\n\r\n", ice::nats()) == errc::bad_message));
}

// -- messages

BOOST_AUTO_TEST_CASE(a_message_has_subject_sid_reply_and_payload) {
    const auto m = message("MSG FOO.BAR 9 11\r\nHello World\r\n");
    BOOST_TEST((m.type() == nats_type::message));
    BOOST_TEST(m.subject() == "FOO.BAR");
    BOOST_TEST(m.sid() == 9U);
    BOOST_TEST(m.reply_to() == "");
    BOOST_TEST(m.payload() == "Hello World");
    BOOST_TEST(m.text() == "");
    BOOST_TEST(!m.header("A"));
    const auto asks = message("MSG FOO.BAR 18446744073709551615 GREETING.34 0\r\n\r\n");
    BOOST_TEST(asks.reply_to() == "GREETING.34");
    BOOST_TEST(asks.sid() == UINT64_MAX);
    BOOST_TEST(asks.payload() == "");
    BOOST_TEST(message("msg\tA  1 \t 2 \r\nhi\r\n").payload() == "hi", "as the documents allow");
}

BOOST_AUTO_TEST_CASE(a_message_may_have_headers) {
    const auto m =
        message("HMSG FOO 1 R.1 33 38\r\nNATS/1.0 100 Idle\r\nA: 1\r\nB: 2\r\n\r\nhello\r\n");
    BOOST_TEST(m.subject() == "FOO");
    BOOST_TEST(m.reply_to() == "R.1");
    BOOST_TEST(m.status() == 100);
    BOOST_TEST((m.header("B") == "2"));
    BOOST_TEST(m.payload() == "hello");
    BOOST_TEST(message("HMSG a 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n").has_no_responders());
    BOOST_TEST(message("HMSG a 1 0 2\r\nhi\r\n").payload() == "hi");
    BOOST_TEST(message("HMSG a 1 5 7\r\ngarblhi\r\n").payload() == "hi");
}

BOOST_AUTO_TEST_CASE(a_payload_is_any_bytes) {
    std::string all = "\r\nMSG a 1 0\r\n\r\n";
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    BOOST_TEST(message(fmt::format("MSG a 1 {}\r\n{}\r\n", all.size(), all)).payload() == all);
}

BOOST_AUTO_TEST_CASE(pings_are_answered_and_other_lines_skipped) {
    const auto bytes = "PING\r\n+OK\r\nPONG\r\n" + info + "MSG a 1 1\r\nx\r\nping \r\n";
    const auto seen = play(established(), bytes);
    BOOST_TEST(seen.answers == "PONG\r\nPONG\r\n");
    BOOST_TEST_REQUIRE(seen.messages.size() == 1U);
    BOOST_TEST(seen.messages[0].payload() == "x");
    BOOST_TEST(split_difference(established(), bytes) == "");
}

BOOST_AUTO_TEST_CASE(pongs_and_infos_are_messages_for_those_who_take_them) {
    auto p = established();
    p.take_pongs();
    p.take_infos();
    const auto bytes = "PONG\r\nINFO {\"ldm\":true,\"connect_urls\":[\"a:1\"]}\r\n+OK\r\n"s;
    const auto seen = play(p, bytes);
    BOOST_TEST_REQUIRE(seen.messages.size() == 2U);
    BOOST_TEST((seen.messages[0].type() == nats_type::pong));
    BOOST_TEST((seen.messages[1].type() == nats_type::info));
    BOOST_TEST(seen.messages[1].subject() == "");
    BOOST_TEST(seen.messages[1].payload() == "");
    std::string out;
    BOOST_TEST(p.parse("INFO {\"ldm\":true}\r\n", out).has_message());
    BOOST_TEST(p.server().lame_duck);
    BOOST_TEST(p.server().version == "", "it is replaced as a whole");
}

BOOST_AUTO_TEST_CASE(errors_that_end_no_connection_are_messages) {
    for (const char* text :
         {"Permissions Violation for Publish to \"a\"", "Invalid Subject",
          "permissions violation for subscription to \"a.b\"", "maximum subscriptions exceeded"}) {
        const auto m = message(fmt::format("-ERR '{}'\r\n", text));
        BOOST_TEST(m.is_error());
        BOOST_TEST(m.text() == text);
        BOOST_TEST(m.subject() == "");
    }
    BOOST_TEST(message("-ERR Invalid Subject\r\n").text() == "Invalid Subject");
}

BOOST_AUTO_TEST_CASE(other_errors_end_the_connection_with_their_text) {
    for (const char* text : {"Slow Consumer", "Maximum Payload Violation", "Stale Connection"})
        BOOST_TEST(error(fmt::format("-ERR '{}'\r\n", text)).message() == text);
    BOOST_TEST(error("-ERR\r\n").message() == "an error of the NATS server, without a text");
    BOOST_TEST(error("-ERR '\r\n").message() == "'");
}

BOOST_AUTO_TEST_CASE(what_is_no_line_of_a_server_is_a_bad_message) {
    for (const char* bytes : {"\r\n",
                              " PING\r\n",
                              "PINGS\r\n",
                              "PING x\r\n",
                              "PUB a 0\r\n\r\n",
                              "MS\r\n",
                              "MSGS\r\n",
                              "MSG\r\n",
                              "MSG a\r\n",
                              "MSG a 1\r\n",
                              "MSG a 1 2 3 4\r\n",
                              "MSG a x 0\r\n\r\n",
                              "MSG a -1 0\r\n\r\n",
                              "MSG a 1 -1\r\n",
                              "MSG a 1 x\r\n",
                              "MSG a 1 r 1x\r\n",
                              "MSG a 18446744073709551616 0\r\n\r\n",
                              "MSG a 1 18446744073709551616\r\n",
                              "MSG a 1 1\r\nxy\r\n",
                              "MSG a 1 1\r\nx\ry",
                              "MSG a 1 0\r\n\n",
                              "MSG a 1 0\rx",
                              "MSG a\nb 1 0\r\n\r\n",
                              "-ERR 'a\nb'\r\n",
                              "HMSG a 1 3 2\r\nxx\r\n",
                              "HMSG a 1 2\r\nxx\r\n",
                              "HMSG a 1 3 2\r\nxxx\r\n",
                              "HMSG a 1 r 2 x\r\n",
                              "HMSG a 1 r s 0 0\r\n\r\n",
                              "+OKAY\r\n",
                              "+OK x\r\n",
                              "-ERR\n\r\n",
                              "-ERRS\r\n",
                              "PONG \rx",
                              "INFO x\r\n"})
        BOOST_TEST((error(bytes) == errc::bad_message), fmt::format("{:?}", bytes));
}

BOOST_AUTO_TEST_CASE(an_error_is_returned_as_soon_as_its_byte_arrives) {
    for (const char* bytes : {"X", "\r", "MX", "PI\r", "HMSGX", "-E ", "MSG a 1 1\r\nxy"})
        BOOST_TEST((error(bytes) == errc::bad_message), bytes);
    for (const char* bytes : {"", "M", "h", "P", "PON", "-", "+O", "INFO", "MSG a 1 1\r\nx\r"})
        BOOST_TEST(!error(bytes), bytes);
}

BOOST_AUTO_TEST_CASE(every_short_input_is_parsed_alike_at_every_split) {
    const std::string pieces[] = {"MSG a 1 1", "HMSG", " 1", "PONG",  "PING",
                                  "\r\n",      "\r",   "x",  "-ERR ", "INFO {}"};
    std::vector<std::string> inputs{""};
    std::size_t messages = 0;
    for (std::size_t i = 0, length = 0, end = 1; length < (is_quick ? 3 : 5); ++length) {
        for (; i < end; ++i) {
            for (const auto& piece : pieces) inputs.push_back(inputs[i] + piece);
        }
        end = inputs.size();
    }
    auto p = established();
    p.take_pongs();
    p.take_infos();
    for (const auto& input : inputs) {
        messages += play(p, input).messages.size();
        const auto wrong = split_difference(p, input);
        if (!wrong.empty()) BOOST_ERROR(fmt::format("{:?}: {}", input, wrong));
    }
    BOOST_TEST(messages > (is_quick ? 20U : 2000U));
}

BOOST_AUTO_TEST_CASE(random_bytes_are_parsed_alike_at_every_split) {
    // Well-formed lines with some bytes changed, lost or doubled: cases that no one has listed.
    const std::string lines[] = {"MSG a.b 1 3\r\nxyz\r\n",
                                 "HMSG a 1 r 18 20\r\nNATS/1.0\r\nA: 1\r\n\r\nhi\r\n",
                                 "PING\r\n",
                                 "-ERR 'Invalid Subject'\r\n",
                                 "INFO {\"ldm\":true}\r\n",
                                 "PONG\r\n"};
    const std::string_view letters = "HMSGPINOE 0123\r\n";
    std::mt19937 chance;  // NOLINT: the same bytes in each run
    std::size_t whole = 0, malformed = 0;
    constexpr int rounds = is_quick ? 150 : 1'500;
    for (int i = 0; i < rounds; ++i) {
        std::string bytes = lines[chance() % std::size(lines)] + lines[chance() % 3];
        for (auto n = chance() % 3; n != 0; --n) {
            const auto at = chance() % bytes.size();
            switch (chance() % 4) {
                case 0: bytes[at] = static_cast<char>(chance()); break;
                case 1: bytes[at] = letters[chance() % letters.size()]; break;
                case 2: bytes.insert(at, 1, letters[chance() % letters.size()]); break;
                default: bytes.erase(at, 1);
            }
        }
        const auto seen = play(established(), bytes);
        malformed += seen.error ? 1 : 0;
        for (const auto& m : seen.messages) {
            walk(m);
            ++whole;
        }
        const auto wrong = split_difference(established(), bytes);
        BOOST_TEST(wrong == "", fmt::format("{:?}: {}", bytes, wrong));
    }
    BOOST_TEST(whole > rounds / 3U);
    BOOST_TEST(malformed > rounds / 8U);
}

// -- limits

BOOST_AUTO_TEST_CASE(a_payload_may_be_as_long_as_the_limit_and_no_longer) {
    const std::string bytes = "MSG a 1 9\r\n123456789\r\n";
    BOOST_TEST(play(established(9), bytes).messages.size() == 1U);
    BOOST_TEST((error(bytes, established(8)) == errc::message_too_large));
    BOOST_TEST((error("MSG a 1 9\r\n", established(8)) == errc::message_too_large), "at once");
    BOOST_TEST((error("HMSG a 1 1 9\r\n", established(8)) == errc::message_too_large));
    BOOST_TEST((error("MSG a 1 18446744073709551615\r\n", established(SIZE_MAX)) ==
                errc::message_too_large));
}

BOOST_AUTO_TEST_CASE(a_line_may_be_as_long_as_the_limit_and_no_longer) {
    const auto line = [](std::size_t size) {
        const std::string before = "MSG ", behind = " 1 0\r\n";
        return before + std::string(size - before.size() - behind.size(), 'a') + behind;
    };
    BOOST_TEST(play(established(), line(4096) + "\r\n").messages.size() == 1U);
    BOOST_TEST((play(established(), line(4097)).error == errc::message_too_large));
    BOOST_TEST(split_difference(established(), line(4097)) == "");
    BOOST_TEST((play(established(), line(5000).substr(0, 4095)).error == errc::message_too_large));
    BOOST_TEST(!play(established(), line(5000).substr(0, 4094)).error);
    const auto long_info = [](std::size_t size) {
        const std::string before = "INFO {\"x\":\"", behind = "\"}\r\n";
        return before + std::string(size - before.size() - behind.size(), 'a') + behind;
    };
    BOOST_TEST(!play(ice::nats(), long_info(32 * 1024)).error);
    BOOST_TEST((play(ice::nats(), long_info(32 * 1024 + 1)).error == errc::message_too_large));
}

BOOST_AUTO_TEST_CASE(a_command_is_sent_whole_or_not_at_all) {
    const std::string small = R"(INFO {"headers":true,"max_payload":20})"
                              "\r\n";
    auto p = established(1024, small);
    std::string out = "before";
    BOOST_TEST(
        (p.packet(ice::nats_pub("a", std::string(21, 'x')), out) == errc::message_too_large));
    BOOST_TEST(
        (p.packet(ice::nats_hpub("a", {{"A", "1"}}, "xxx"), out) == errc::message_too_large));
    BOOST_TEST((p.packet(ice::nats_pub("a b", "x"), out) == errc::unencodable));
    BOOST_TEST((p.packet(ice::nats_command(), out) == errc::unencodable));
    BOOST_TEST(out == "before");
    BOOST_TEST(!p.packet(ice::nats_hpub("a", {{"A", "1"}}, "xx"), out));
    BOOST_TEST(!p.packet(ice::nats_pub("a", std::string(20, 'x')), out));
    BOOST_TEST(out.size() == 6 + 36U + 32);
    auto own = established(20);
    BOOST_TEST(
        (own.packet(ice::nats_pub("a", std::string(21, 'x')), out) == errc::message_too_large));
    auto old = established(1024, "INFO {}\r\n");
    BOOST_TEST((old.packet(ice::nats_hpub("a", {}, ""), out) == errc::unencodable));
    BOOST_TEST(!old.packet(ice::nats_pub("a", ""), out));
}

BOOST_AUTO_TEST_SUITE_END()
