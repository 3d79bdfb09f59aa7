// memcached_requests: requests of memcached's protocol at every split; malformed input, and limits.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/limits.hpp>
#include <ice/memcached_command.hpp>
#include <ice/protocols/memcached_requests.hpp>
#include <ice/testing/script.hpp>
#include <random>
#include <string>
#include <vector>

#include "quick.hpp"

namespace {

using namespace std::string_literals;
using namespace std::chrono_literals;
using ice::errc;
using ice::memcached_requests;
using ice::testing::play;
using ice::testing::split_difference;
using strings = std::vector<std::string>;

auto played(std::string_view bytes, const memcached_requests& p = memcached_requests()) {
    BOOST_TEST(split_difference(p, bytes) == "", fmt::format("{:?}", bytes));
    return play(p, bytes);
}

// The one request that `bytes` are.
ice::memcached_request request(std::string_view bytes) {
    const auto seen = played(bytes);
    BOOST_TEST_REQUIRE(seen.messages.size() == 1U, fmt::format("{:?}", bytes));
    BOOST_TEST(seen.left == 0U);
    BOOST_TEST(seen.answers == "");
    return seen.messages[0];
}

strings words(const ice::memcached_request& r) {
    strings all;
    for (const std::string_view word : r) all.emplace_back(word);
    BOOST_TEST(all.size() == r.size());
    for (std::size_t i = 0; i < all.size(); ++i) BOOST_TEST(all[i] == r.word(i));
    BOOST_TEST(r.word(all.size()) == "");
    BOOST_TEST(r.word(all.size() + 5) == "");
    return all;
}

// The error that `bytes` are; the client is told.
errc error(std::string_view bytes, const memcached_requests& p = memcached_requests()) {
    const auto seen = played(bytes, p);
    BOOST_TEST(seen.messages.empty(), fmt::format("{:?}", bytes));
    const bool told = seen.answers.find("_ERROR ") == 6;
    BOOST_TEST((told == (seen.error && seen.error != errc::closed)), fmt::format("{:?}", bytes));
    return static_cast<errc>(seen.error.value());
}
constexpr errc none{};

}  // namespace

BOOST_AUTO_TEST_SUITE(memcached_requests_)

BOOST_AUTO_TEST_CASE(a_request_has_words_and_a_value) {
    const auto set = request("set k 7 60 4\r\na\r\nb\r\n");
    BOOST_TEST(words(set) == (strings{"set", "k", "7", "60", "4"}),
               boost::test_tools::per_element());
    BOOST_TEST(set.value() == "a\r\nb");
    BOOST_TEST((set.number(2) == 7U));
    BOOST_TEST(!set.number(0));
    BOOST_TEST(!set.number(9));
    BOOST_TEST(!request("incr k -1\r\n").number(2));
    BOOST_TEST(!request("incr k 1x\r\n").number(2));
    BOOST_TEST((request("incr k 18446744073709551615\r\n").number(2) == UINT64_MAX));
    BOOST_TEST(words(request("  get   a  b \r\n")) == (strings{"get", "a", "b"}),
               boost::test_tools::per_element());
    BOOST_TEST(request("get a\n").word(1) == "a", "as a user types it");
    BOOST_TEST(request("get a\r\n").value() == "");
    BOOST_TEST(request("set k 0 0 0\r\n\r\n").value() == "");
    BOOST_TEST(words(ice::memcached_request()).empty());
}

BOOST_AUTO_TEST_CASE(each_command_of_a_client_is_a_request) {
    // What it is made of is what memcached_command makes.
    for (const auto& made :
         {ice::memcached_get("a", "b"), ice::memcached_gets("a"), ice::memcached_gat(1s, "a"),
          ice::memcached_set("k", "get\r\n"), ice::memcached_add("k", ""),
          ice::memcached_replace("k", "v"), ice::memcached_append("k", "v"),
          ice::memcached_prepend("k", "v"), ice::memcached_cas("k", "v", 1),
          ice::memcached_incr("k", 1), ice::memcached_delete("k"), ice::memcached_touch("k", 0s),
          ice::memcached_flush_all(), ice::memcached_version(), ice::memcached_mg("k", "v", "t"),
          ice::memcached_ms("k", "\r\n", "T3"), ice::memcached_md("k"), ice::memcached_ma("k"),
          ice::memcached_mn()}) {
        const auto r = request(made.bytes());
        BOOST_TEST(r.bytes() == made.bytes());
        BOOST_TEST(!r.is_quiet());
        BOOST_TEST((r.value().data() != nullptr) == made.has_value(), made.bytes());
    }
}

BOOST_AUTO_TEST_CASE(noreply_is_the_last_word_of_a_command_that_has_it) {
    for (const char* bytes :
         {"set k 0 0 1 noreply\r\nx\r\n", "cas k 0 0 1 9 noreply\r\nx\r\n", "delete k noreply\r\n",
          "delete k 0 noreply\r\n", "incr k 1 noreply\r\n", "touch k 1 noreply\r\n",
          "flush_all noreply\r\n", "flush_all 9 noreply\r\n", "verbosity 1 noreply\r\n"})
        BOOST_TEST(request(bytes).is_quiet(), bytes);
    // A key may have this name: a client that waits for a reply must get one.
    for (const char* bytes : {"get noreply\r\n", "gets a noreply\r\n", "delete noreply\r\n",
                              "set noreply 0 0 1\r\nx\r\n", "noreply\r\n", "incr noreply 1\r\n",
                              "cas k 0 0 1 noreply\r\nx\r\n", "flush_all\r\n", "mg noreply\r\n",
                              "ms k 1 noreply\r\nx\r\n"})
        BOOST_TEST(!request(bytes).is_quiet(), bytes);
    BOOST_TEST(!ice::memcached_request().is_quiet());
}

BOOST_AUTO_TEST_CASE(pipelined_requests_are_parsed_one_by_one_at_every_split) {
    const std::string all[] = {"get a\r\n", "set k 0 0 5\r\nget b\r\n", "ms k 2\r\n\r\n\r\n",
                               "mn\n", "delete k\r\n"};
    std::string bytes;
    for (const auto& one : all) bytes += one + "\r\n";  // empty lines are no requests
    const auto seen = played(bytes + "set k 0 0 9\r\nx");
    BOOST_TEST_REQUIRE(seen.messages.size() == std::size(all));
    for (std::size_t i = 0; i < std::size(all); ++i) BOOST_TEST(seen.messages[i].bytes() == all[i]);
    BOOST_TEST(seen.left == 14U);
    BOOST_TEST(seen.answers == "");
}

BOOST_AUTO_TEST_CASE(quit_ends_the_connection) {
    BOOST_TEST((error("quit\r\nget a\r\n") == errc::closed));
    BOOST_TEST((error("quit") == none));
    BOOST_TEST(request("quit now\r\n").word(0) == "quit", "memcached replies ERROR");
}

BOOST_AUTO_TEST_CASE(what_memcached_could_take_for_commands_is_refused) {
    for (const std::string& bytes :
         {"set k 0 0 x\r\nflush_all\r\n"s, "set k 0 0\r\nflush_all\r\n"s, "set k 0 0 -1\r\n"s,
          "set\r\n"s, "ms k\r\n"s, "ms k x\r\n"s, "cas k 0 0 1x 5\r\n"s,
          "set k 0 0 99999999999999999999\r\n"s, "get a\rb\r\n"s, "get a\tb\r\n"s, "get \0\r\n"s,
          "get a\x7f\r\n"s, "get a\r\r\n"s, "set k 0 0 1\r\nxy\r\n"s,
          "set k 0 0 2\r\nx\r\nget a\r\n"s, "set k 0 0 1\r\nx\n\r"s})
        BOOST_TEST((error(bytes) == errc::bad_message), fmt::format("{:?}", bytes));
}

BOOST_AUTO_TEST_CASE(a_request_may_be_as_long_as_the_limit_and_no_longer) {
    for (const std::string& r :
         {"set k 0 0 9\r\n123456789\r\n"s, "get a b\r\n"s, "version\n"s, "ms k 0\r\n\r\n"s}) {
        for (const std::size_t spare : {0U, 1U, 100U})
            BOOST_TEST(played(r, memcached_requests(r.size() + spare)).messages.size() == 1U, r);
        for (const std::size_t less : {std::size_t{1}, std::size_t{2}, r.size()})
            BOOST_TEST((error(r, memcached_requests(r.size() - less)) == errc::message_too_large),
                       r);
    }
    for (const char* bytes : {"set k 0 0 1048576\r\n", "ms k 18446744073709551615\r\n"})
        BOOST_TEST((error(bytes) == errc::message_too_large), bytes);
    BOOST_TEST((error("set k 0 0 1000000\r\n") == none), "it may still come");
}

BOOST_AUTO_TEST_CASE(a_line_may_be_as_long_as_its_limit_but_for_get) {
    const auto line = [](std::string_view begin, std::size_t size) {
        return std::string(begin) + std::string(size - begin.size() - 2, 'x') + "\r\n";
    };
    const std::size_t most = memcached_requests::line_limit;
    BOOST_TEST(play(memcached_requests(), line("mg ", most)).messages.size() == 1U);
    for (const std::string& bytes : {line("mg ", most + 1), std::string(most, ' '),
                                     line("gat 0 ", most + 1), line("getx ", most + 1)})
        BOOST_TEST((play(memcached_requests(), bytes).error == errc::message_too_large));
    for (const char* begin : {"get ", "gets "}) {
        const auto long_get = line(begin, 1024 * 1024);
        BOOST_TEST(play(memcached_requests(), long_get).messages.size() == 1U);
        BOOST_TEST((play(memcached_requests(), line(begin, 1024 * 1024 + 1)).error ==
                    errc::message_too_large));
    }
}

BOOST_AUTO_TEST_CASE(every_short_input_is_parsed_alike_at_every_split) {
    const std::string pieces[] = {"get", "set k 0 0", "ms", " ", "1", "\r", "\r\n", "\n", "x"};
    std::vector<std::string> inputs{""};
    std::size_t requests = 0;
    for (std::size_t i = 0, length = 0, end = 1; length < (is_quick ? 4 : 5); ++length) {
        for (; i < end; ++i) {
            for (const auto& piece : pieces) inputs.push_back(inputs[i] + piece);
        }
        end = inputs.size();
    }
    for (const auto& input : inputs) {
        for (const std::size_t limit : {std::size_t{8}, std::size_t{100}}) {
            const memcached_requests p(limit);
            requests += play(p, input).messages.size();
            const auto wrong = split_difference(p, input);
            if (!wrong.empty()) BOOST_ERROR(fmt::format("{:?}, limit {}: {}", input, limit, wrong));
        }
    }
    BOOST_TEST(inputs.size() > (is_quick ? 7'000U : 60'000U));
    BOOST_TEST(requests > (is_quick ? 100U : 1000U));
}

BOOST_AUTO_TEST_CASE(no_byte_of_a_line_is_searched_twice) {
    memcached_requests p;
    std::string input = "get ", out;
    const std::size_t begin = input.size();
    for (int i = 0; i < 1000; ++i) {
        input += 'x';
        BOOST_TEST_REQUIRE(p.parse(input, out).size() == 0U, "after " << i << " bytes");
        for (std::size_t k = begin; k < input.size(); ++k) input[k] = '\n';
    }
    for (std::size_t k = begin; k < input.size(); ++k) input[k] = 'x';
    input += "\r\n";
    BOOST_TEST(p.parse(input, out).size() == input.size());
}

BOOST_AUTO_TEST_CASE(replies_that_are_made_are_those_that_a_client_parses) {
    const ice::memcached_item items[] = {{"a", "x\r\n", 7, 9}, {"b", "", 0, UINT64_MAX}};
    const auto all = ice::memcached_values(items, true);
    BOOST_TEST(all.bytes() ==
               "VALUE a 7 3 9\r\nx\r\n\r\nVALUE b 0 0 18446744073709551615\r\n\r\nEND\r\n");
    BOOST_TEST(ice::memcached_values(items, false).bytes() ==
               "VALUE a 7 3\r\nx\r\n\r\nVALUE b 0 0\r\n\r\nEND\r\n");
    BOOST_TEST(ice::memcached_values({}, true).bytes() == "END\r\n");
    BOOST_TEST(ice::memcached_number(UINT64_MAX).bytes() == "18446744073709551615\r\n");
    // Otherwise the author of a part of the text could choose the next reply.
    BOOST_TEST(ice::memcached_client_error("no\r\nEND\0"s).bytes() == "CLIENT_ERROR no  END \r\n");
    BOOST_TEST(ice::memcached_server_error("x").bytes() == "SERVER_ERROR x\r\n");
    for (const auto& made : {all, ice::memcached_number(0), ice::memcached_server_error("x")})
        BOOST_TEST(play(ice::memcached(), made.bytes()).messages.size() == 1U);
    std::string out = "before";
    BOOST_TEST((memcached_requests(4).packet(ice::memcached_view("END\r\n"), out) ==
                errc::message_too_large));
    BOOST_TEST(!memcached_requests(5).packet(ice::memcached_view("END\r\n"), out));
    BOOST_TEST(out == "beforeEND\r\n");
}

BOOST_AUTO_TEST_SUITE_END()
