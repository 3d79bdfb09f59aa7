// resp_requests: requests as arrays and as inline commands, at every split; malformed input, and
// limits.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/limits.hpp>
#include <ice/protocols/resp_requests.hpp>
#include <ice/testing/script.hpp>
#include <random>
#include <string>
#include <vector>

#include "quick.hpp"

namespace {

using namespace std::string_literals;
using ice::errc;
using ice::resp_requests;
using ice::testing::play;
using ice::testing::split_difference;
using strings = std::vector<std::string>;

auto played(std::string_view bytes, const resp_requests& p = resp_requests()) {
    BOOST_TEST(split_difference(p, bytes) == "", fmt::format("{:?}", bytes));
    return play(p, bytes);
}

// The words of the one request that `bytes` are.
strings words(std::string_view bytes) {
    const auto seen = played(bytes);
    BOOST_TEST_REQUIRE(seen.messages.size() == 1U, fmt::format("{:?}", bytes));
    BOOST_TEST(seen.left == 0U);
    BOOST_TEST(seen.answers == "");
    // What it is made of is a value that the strict side takes, too.
    const auto strict = play(ice::resp(), seen.messages[0].bytes());
    BOOST_TEST(strict.messages.size() == 1U);
    strings found;
    for (const ice::resp_view word : seen.messages[0]) {
        BOOST_TEST((word.type() == ice::resp_type::bulk_string));
        found.emplace_back(word.text());
    }
    return found;
}

// The error that `bytes` are; the client is told, unless `silent`.
errc error(std::string_view bytes, const resp_requests& p = resp_requests(), bool silent = false) {
    const auto seen = played(bytes, p);
    BOOST_TEST(seen.messages.empty(), fmt::format("{:?}", bytes));
    const bool told = seen.answers.starts_with("-ERR Protocol error: ");
    BOOST_TEST((told == (seen.error && !silent)), fmt::format("{:?}: {}", bytes, seen.answers));
    return static_cast<errc>(seen.error.value());
}
constexpr errc none{};

std::string array(const strings& all) {
    std::string bytes = fmt::format("*{}\r\n", all.size());
    for (const auto& word : all) bytes += fmt::format("${}\r\n{}\r\n", word.size(), word);
    return bytes;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(resp_requests_)

BOOST_AUTO_TEST_CASE(an_array_of_strings_is_a_request) {
    // Lengths and counts of one, two and three digits.
    for (const auto& all :
         {strings{"PING"}, strings{"GET", "k"}, strings{"SET", "", "\r\n$3\r\n*\0"s},
          strings{"A", std::string(9, 'x'), std::string(10, 'y'), std::string(99, 'z'),
                  std::string(100, 'u')},
          strings(9, "x"), strings(10, "x"), strings(123, "x")})
        BOOST_TEST(words(array(all)) == all, boost::test_tools::per_element());
    BOOST_TEST(words("*1\r\n$0004\r\nPING\r\n") == strings{"PING"},
               boost::test_tools::per_element());
}

BOOST_AUTO_TEST_CASE(an_inline_command_is_the_same_request) {
    const auto same = [](std::string_view line, const strings& all) {
        BOOST_TEST(words(line) == all, boost::test_tools::per_element());
    };
    same("PING\r\n", {"PING"});
    same("PING\n", {"PING"});
    same("  get \t key  \r\n", {"get", "key"});
    same("set k \"a b\"\r\n", {"set", "k", "a b"});
    same("set k 'a b'\n", {"set", "k", "a b"});
    same("set k a\"b c\"\n", {"set", "k", "ab c"});
    same("set k \"\" ''\n", {"set", "k", "", ""});
    same(R"(set k "\x41\xfF\n\r\t\b\a\"\\\q\xg1")"
         "\n",
         {"set", "k", "A\xff\n\r\t\b\a\"\\qxg1"});
    same(R"(set k 'it\'s \n "it"')"
         "\n",
         {"set", "k", R"(it's \n "it")"});
    same("+OK\r\n", {"+OK"});
    same("$3\r\n", {"$3"});
    same("x *1\r\n", {"x", "*1"});
    std::string line;
    strings all;
    for (int i = 0; i < 1000; ++i) {
        line += "a ";
        all.emplace_back("a");
    }
    same(line + "\n", all);
}

BOOST_AUTO_TEST_CASE(requests_of_both_kinds_follow_each_other) {
    // No state of one request may be left for the next.
    const auto get = array({"GET", "k"});
    const std::string all = get + "PING\r\n" + get + "\r\n" + "*0\r\n" + "*-1\r\n" + "*0000\r\n" +
                            " \n" + "echo 'a'\n" + get + "*2\r\n$4\r\n";
    const auto seen = played(all);
    BOOST_TEST_REQUIRE(seen.messages.size() == 5U);
    const std::string_view expected[] = {get, "*1\r\n$4\r\nPING\r\n", get,
                                         "*2\r\n$4\r\necho\r\n$1\r\na\r\n", get};
    for (std::size_t i = 0; i < 5; ++i) BOOST_TEST(seen.messages[i].bytes() == expected[i]);
    BOOST_TEST(seen.left == 8U);
    BOOST_TEST(seen.answers == "");
}

BOOST_AUTO_TEST_CASE(invalid_input_is_refused_with_an_error) {
    for (const std::string& bytes : {"*\r\n"s,
                                     "*x\r\n"s,
                                     "*-2\r\n"s,
                                     "*+1\r\n"s,
                                     "*1\n"s,
                                     "*1\rx"s,
                                     "*1 \r\n"s,
                                     "*-1\rx"s,
                                     "*-1x\r\n"s,
                                     "*1\r\n:1\r\n"s,
                                     "*1\r\n+a\r\n"s,
                                     "*1\r\n*1\r\n"s,
                                     "*1\r\n$-1\r\n"s,
                                     "*2\r\n$1\r\na\r\nPING\r\n"s,
                                     "*1\r\n$x\r\n"s,
                                     "*1\r\n$\r\n"s,
                                     "*1\r\n$1\r\nab\r\n"s,
                                     "*1\r\n$1\r\na\rb"s,
                                     "*1\r\n$0\r\nab"s,
                                     "*1\r\n$1234567890123456789\r\n"s,
                                     "*1111111111111111111"s,
                                     "get \"a\n"s,
                                     "get 'a\n"s,
                                     "get \"a\"b\n"s,
                                     "get 'a\\'\n"s})
        BOOST_TEST((error(bytes) == errc::bad_message), fmt::format("{:?}", bytes));
}

BOOST_AUTO_TEST_CASE(a_page_in_a_browser_cannot_send_commands) {
    // A web page can make the browser POST any text to a server on this host: its lines would be
    // commands.
    for (const char* bytes :
         {"POST / HTTP/1.1\r\nSET k v\r\n", "Host: localhost:6379\r\nSET k v\r\n"})
        BOOST_TEST((error(bytes, resp_requests(), true) == errc::bad_message), bytes);
    BOOST_TEST(words("GET /\r\n").size() == 2U);
}

BOOST_AUTO_TEST_CASE(a_request_may_be_as_long_as_the_limit_and_no_longer) {
    for (const auto& all : {strings{"GET", "k"}, strings{"", ""}, strings{std::string(100, 'x')}}) {
        const std::string bytes = array(all);
        BOOST_TEST(played(bytes, resp_requests(bytes.size())).messages.size() == 1U);
        BOOST_TEST((error(bytes, resp_requests(bytes.size() - 1)) == errc::message_too_large));
    }
    const std::string longest = std::string(resp_requests::inline_limit - 2, 'x') + "\r\n";
    BOOST_TEST(words(longest).size() == 1U);
    BOOST_TEST((error("x" + longest) == errc::message_too_large));
    BOOST_TEST((error(std::string(resp_requests::inline_limit, 'x')) == errc::message_too_large));
    BOOST_TEST((error(std::string(resp_requests::inline_limit - 1, 'x')) == none));
    BOOST_TEST(played("PING\n", resp_requests(5)).messages.size() == 1U);
    BOOST_TEST((error("PING\n", resp_requests(4)) == errc::message_too_large));
}

BOOST_AUTO_TEST_CASE(a_declared_length_beyond_the_limit_is_refused_by_its_header_alone) {
    for (const char* bytes : {"*4294967295\r\n", "*999999999999999999\r\n", "*174762\r\n",
                              "*1\r\n$999999999999999999\r\n", "*1\r\n$1048576\r\n"})
        BOOST_TEST((error(bytes) == errc::message_too_large), bytes);
    BOOST_TEST((error("*174761\r\n") == none), "it may still come");
    const resp_requests any(ice::unlimited);
    for (const char* bytes : {"*999999999999999999\r\n", "*1\r\n$999999999999999999\r\nx"})
        BOOST_TEST((error(bytes, any) == none), bytes);
}

BOOST_AUTO_TEST_CASE(mutated_requests_are_parsed_alike_at_every_split) {
    const std::string_view letters = "*$0123456789\r\n \"'\\x-";
    std::mt19937 chance;  // NOLINT: the same bytes in each run
    std::size_t whole = 0, refused = 0;
    constexpr unsigned rounds = is_quick ? 100 : 1'000;
    for (unsigned i = 0; i < rounds; ++i) {
        std::string bytes;
        for (auto n = 1 + chance() % 3; n != 0; --n) {
            strings all(1 + chance() % 4);
            for (auto& word : all)
                for (auto k = chance() % 12; k != 0; --k)
                    word += letters[chance() % letters.size()];
            bytes += array(all);
            if (chance() % 3 == 0) bytes += "get 'a b' \"c\"\n";
        }
        for (auto n = chance() % 3; n != 0; --n)
            bytes[chance() % bytes.size()] = letters[chance() % letters.size()];
        const auto seen = played(bytes);
        whole += seen.messages.size();
        refused += seen.error ? 1 : 0;
        for (const auto& request : seen.messages) {
            std::size_t count = 0;
            for (const ice::resp_view word : request) count += word.bytes().empty() ? 0 : 1;
            BOOST_TEST((count == request.size() && count != 0));
        }
    }
    BOOST_TEST(whole > rounds);
    BOOST_TEST(refused > rounds / 4);
}

BOOST_AUTO_TEST_CASE(no_whole_word_is_searched_twice) {
    // Many words that arrive one by one: a parser that begins again at the first takes O(n * n).
    resp_requests p;
    std::string out, input = "*1000\r\n";
    for (int i = 0; i < 1000; ++i) {
        input += "$1\r\nx\r\n";
        if (i == 999) break;
        BOOST_TEST_REQUIRE(p.parse(input, out).size() == 0U);
        std::fill(input.begin() + 1, input.end(), '?');
    }
    BOOST_TEST(p.parse(input, out).size() == input.size());
    input = "x";
    for (int i = 0; i < 1000; ++i) {
        BOOST_TEST_REQUIRE(p.parse(input, out).size() == 0U);
        std::fill(input.begin() + 1, input.end(), '\n');
        input += 'x';
    }
    BOOST_TEST(out == "");
}

BOOST_AUTO_TEST_CASE(a_request_is_a_view_of_the_input) {
    resp_requests p;
    std::string out;
    const std::string input = "*1\r\n$4\r\nPING\r\n";
    auto found = p.parse(input, out);
    BOOST_TEST(found.message().bytes().data() == input.data());
}

BOOST_AUTO_TEST_CASE(names_of_commands_ignore_case_and_nothing_else) {
    BOOST_TEST(ice::resp_names("GET", "get"));
    BOOST_TEST(ice::resp_names("gEt", "get"));
    BOOST_TEST(!ice::resp_names("GETS", "get"));
    BOOST_TEST(!ice::resp_names("GE", "get"));
    BOOST_TEST(!ice::resp_names("@et", "`et"), "not by a bit of any byte");
    BOOST_TEST(!ice::resp_names("", "get"));
}

BOOST_AUTO_TEST_CASE(an_answer_beyond_the_limit_is_not_packed) {
    resp_requests p(10);
    std::string out = "before";
    BOOST_TEST((p.packet(ice::resp_bulk_string("12345"), out) == errc::message_too_large));
    BOOST_TEST(out == "before");
    BOOST_TEST(!p.packet(ice::resp_bulk_string("1234"), out));
    BOOST_TEST(out == "before$4\r\n1234\r\n");
}

BOOST_AUTO_TEST_SUITE_END()
