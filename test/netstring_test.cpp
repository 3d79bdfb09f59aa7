// netstring: every length, limit and malformed input, at every split.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/ice.hpp>
#include <ice/protocols/netstring.hpp>
#include <ice/testing/script.hpp>
#include <ice/testing/sim.hpp>
#include <string>
#include <vector>

#include "unreadable.hpp"

namespace {

using namespace std::string_literals;
using ice::errc;
using ice::netstring;
using ice::testing::play;
using ice::testing::split_difference;
using texts = std::vector<std::string>;
constexpr errc none{};

std::string whole(std::string_view text) { return fmt::format("{}:{},", text.size(), text); }

errc packed(const netstring& p, std::string_view text, std::string& out) {
    return static_cast<errc>(p.packet(text, out).value());
}

// The same from the whole input, by its definition.
ice::testing::transcript<netstring> model(std::string_view input, std::size_t limit) {
    ice::testing::transcript<netstring> expected;
    for (;;) {
        expected.left = input.size();
        const auto digits = std::min(input.find_first_not_of("0123456789"), input.size());
        const std::string number(input.substr(0, digits));
        // Each digit is checked when it comes, so the first wrong one counts.
        for (std::size_t n = 1; n <= digits; ++n) {
            if (n > 1 && number[0] == '0') expected.error = errc::bad_message;
            else if (std::stoull(number.substr(0, n)) > limit)
                expected.error = errc::message_too_large;
            if (expected.error) return expected;
        }
        if (digits == input.size()) return expected;
        if (digits == 0 || input[digits] != ':') {
            expected.error = errc::bad_message;
            return expected;
        }
        const std::size_t size = std::stoull(number);
        if (input.size() < digits + 1 + size + 1) return expected;
        if (input[digits + 1 + size] != ',') {
            expected.error = errc::bad_message;
            return expected;
        }
        expected.messages.emplace_back(input.substr(digits + 1, size));
        input.remove_prefix(digits + 1 + size + 1);
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(netstring_protocol)

BOOST_AUTO_TEST_CASE(the_examples_of_its_definition_are_parsed) {
    // D. J. Bernstein, "Netstrings".
    const auto seen = play(netstring(), "12:hello world!,0:,");
    BOOST_TEST(seen.messages == (texts{"hello world!", ""}), boost::test_tools::per_element());
    BOOST_TEST(seen.left == 0U);
    std::string out = "before";
    BOOST_TEST((packed(netstring(), "hello world!", out) == none));
    BOOST_TEST((packed(netstring(), "", out) == none));
    BOOST_TEST(out == "before12:hello world!,0:,");
}

BOOST_AUTO_TEST_CASE(any_bytes_are_a_message_at_every_split) {
    // Digits, colons and commas in it are text; so are NUL and line ends.
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    std::string stream;
    const texts messages{"", "5:hello,", ",", "\0\r\n"s, all};
    for (const auto& text : messages) {
        std::string out;
        BOOST_TEST((packed(netstring(), text, out) == none));
        BOOST_TEST(out == whole(text));
        stream += out;
    }
    BOOST_TEST(play(netstring(), stream).messages == messages, boost::test_tools::per_element());
    BOOST_TEST(split_difference(netstring(), stream) == "");
    BOOST_TEST(split_difference(netstring(), "3:a,b,0:,12:1:,2:ab,:,,,:") == "");
}

BOOST_AUTO_TEST_CASE(every_short_input_is_parsed_as_by_the_model_at_every_split) {
    std::vector<std::string> inputs{""};
    for (std::size_t i = 0; i < inputs.size(); ++i) {
        for (const std::size_t limit : {std::size_t{0}, std::size_t{1}, std::size_t{10}}) {
            if (play(netstring(limit), inputs[i]) != model(inputs[i], limit))
                BOOST_ERROR(fmt::format("{}, limit {}: not as the model", inputs[i], limit));
            BOOST_TEST(split_difference(netstring(limit), inputs[i]) == "", inputs[i]);
        }
        if (inputs[i].size() == 5) continue;
        for (const char c : "01:,x"s) inputs.push_back(inputs[i] + c);
    }
    BOOST_TEST(inputs.size() == 3906U);
}

BOOST_AUTO_TEST_CASE(what_is_not_a_netstring_is_refused) {
    // Each at its first wrong byte: a parser that waits for a colon waits for ever.
    for (const auto& bad :
         {":"s, ","s, "x"s, " 1:a,"s, "+1:a,"s, "-1:a,"s, "00:,"s, "01:a,"s, "00"s, "1;"s, "1 :a,"s,
          "1\0"s, "1::x"s, "1:ab"s, "0::"s, "1:a\n"s, "0x1"s}) {
        BOOST_TEST((play(netstring(), bad).error == errc::bad_message), bad);
        BOOST_TEST(split_difference(netstring(), bad) == "", bad);
    }
    for (const auto& unfinished : {""s, "0"s, "1"s, "1:"s, "1:a"s, "12:hello world!"s}) {
        BOOST_TEST(!play(netstring(), unfinished).error, unfinished);
        BOOST_TEST(play(netstring(), unfinished).left == unfinished.size(), unfinished);
    }
}

BOOST_AUTO_TEST_CASE(a_message_may_be_as_long_as_the_limit_and_no_longer) {
    for (const std::size_t limit : {0U, 1U, 9U, 10U, 100U}) {
        for (std::size_t n = limit == 0 ? 0 : limit - 1; n <= limit + 1; ++n) {
            const bool fits = n <= limit;
            const std::string text(n, 'x');
            const auto seen = play(netstring(limit), whole(text));
            BOOST_TEST(seen.messages.size() == fits);
            // The digits alone suffice: the peer need not send the message first.
            BOOST_TEST((play(netstring(limit), fmt::to_string(n)).error ==
                        (fits ? ice::error_code() : errc::message_too_large)));
            std::string out = "before";
            BOOST_TEST(
                (packed(netstring(limit), text, out) == (fits ? none : errc::message_too_large)));
            BOOST_TEST(out == (fits ? "before" + whole(text) : "before"));
        }
    }
}

BOOST_AUTO_TEST_CASE(the_default_limit_is_1_mib) {
    // The documentation names this number.
    BOOST_TEST(!play(netstring(), "1048576").error);
    BOOST_TEST((play(netstring(), "1048577").error == errc::message_too_large));
}

BOOST_AUTO_TEST_CASE(a_length_does_not_wrap_around) {
    // 2^64 + 1 is 1 in 64 bits.
    const netstring p(ice::unlimited);
    BOOST_TEST((play(p, "18446744073709551617:a,").error == errc::message_too_large));
    BOOST_TEST((play(p, std::string(100'000, '9')).error == errc::message_too_large));
    BOOST_TEST(!play(p, "1000000000000000000:a,").error);
    BOOST_TEST(split_difference(p, "18446744073709551617:a,") == "");
}

BOOST_AUTO_TEST_CASE(an_unfinished_message_is_not_read) {
    // Reading it again at each call makes a long message that comes in pieces cost O(n * n).
    const netstring p;
    const test::unreadable bytes("4096:");
    for (std::size_t n = 0; n <= 5 + 4096; ++n) BOOST_TEST(p.parse(bytes.first(n)).size() == 0U);
    const std::string input = "3:abc,";
    BOOST_TEST((p.parse(input).message().data() == input.data() + 2), "a view of the input");
}

BOOST_AUTO_TEST_CASE(a_listener_and_a_pool_speak_it) {
    ice::testing::simulation sim;
    ice::server srv(sim.net());
    srv.log().to([](ice::log_level, std::string_view) {});
    const ice::address where("10.0.0.1", 80);
    const auto& l = srv.add(
        ice::tcp_server_action{where}.protocol(netstring(100)).logic([](std::string_view text) {
            return std::string(text.rbegin(), text.rend());
        }));
    auto& pool = srv.add(ice::tcp_client_action{where, "up", 1, netstring(100)});
    const auto ask = [&](std::string text) { return sim.run(pool.request(std::move(text))); };
    BOOST_TEST(ask("abc,\r\n").value_or("-") == "\n\r,cba");
    BOOST_TEST(ask("").value_or("-") == "");
    BOOST_TEST((ask(std::string(101, 'x')).error() == errc::message_too_large));
    BOOST_TEST(pool.counters().connects == 1U);

    const auto reply = sim.run(sim.ask<ice::raw>(where, "01:a,"));
    BOOST_TEST((reply.error() == errc::closed));
    BOOST_TEST(l.counters().bad_messages == 1U);
}

BOOST_AUTO_TEST_SUITE_END()
