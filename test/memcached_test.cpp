// memcached: each reply of memcached's protocol at every split, malformed input, and limits.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/limits.hpp>
#include <ice/protocols/memcached.hpp>
#include <ice/testing/script.hpp>
#include <random>
#include <string>
#include <vector>

#include "quick.hpp"

namespace {

using namespace std::string_literals;
using ice::errc;
using ice::memcached_type;
using ice::testing::play;
using ice::testing::split_difference;

// The one reply that `bytes` are, which are the same at every cut.
ice::memcached_reply reply(std::string_view bytes) {
    const auto seen = play(ice::memcached(), bytes);
    BOOST_TEST_REQUIRE(seen.messages.size() == 1U, bytes);
    BOOST_TEST(seen.left == 0U);
    BOOST_TEST(seen.messages[0].bytes() == bytes);
    BOOST_TEST(split_difference(ice::memcached(), bytes) == "", bytes);
    return seen.messages[0];
}

// The error that `bytes` are, which is the same at every cut.
errc error(std::string_view bytes, const ice::memcached& p = ice::memcached()) {
    const auto seen = play(p, bytes);
    BOOST_TEST(seen.messages.empty(), fmt::format("{:?}", bytes));
    BOOST_TEST(split_difference(p, bytes) == "", fmt::format("{:?}", bytes));
    return static_cast<errc>(seen.error.value());
}
constexpr errc none{};

std::string item(std::string_view key, std::string_view value, std::string_view cas = "") {
    return fmt::format("VALUE {} 7 {}{}\r\n{}\r\n", key, value.size(), cas, value);
}

// What a reply says of itself is in its bytes. Returns how many items it has.
std::size_t walk(ice::memcached_view r) {
    const auto inside = [&](std::string_view part) {
        return part.empty() || (part.data() >= r.bytes().data() &&
                                part.data() + part.size() <= r.bytes().data() + r.bytes().size());
    };
    bool all_inside = inside(r.text()) && inside(r.value()) && inside(r.flag('t').value_or(""));
    std::size_t items = 0;
    for (const ice::memcached_item& one : r) {
        all_inside = all_inside && inside(one.key) && inside(one.value);
        ++items;
    }
    BOOST_TEST(all_inside, r.bytes());
    return items;
}

// A well-formed reply, as chance has it.
std::string any_reply(std::mt19937& chance) {
    const char* const lines[] = {
        "END\r\n",        "STORED\r\n",          "NOT_FOUND\r\n",      "EXISTS\r\n",
        "ERROR\r\n",      "CLIENT_ERROR no\r\n", "HD t-1 W\r\n",       "EN\r\n",
        "4294967296\r\n", "NF Oabc\r\n",         "VERSION 1.6.18\r\n", "DELETED\r\n",
        "NOT_STORED\r\n"};
    std::string value;
    for (auto n = chance() % 8; n != 0; --n) value += static_cast<char>(chance());
    switch (chance() % 4) {
        case 0: return fmt::format("VA {} kx\r\n{}\r\n", value.size(), value);
        case 1: return item("k", value) + item("other", "\r\nEND\r\n") + "END\r\n";
        default: return lines[chance() % std::size(lines)];
    }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(memcached)

BOOST_AUTO_TEST_CASE(each_type_is_known_by_its_first_word) {
    const std::pair<const char*, memcached_type> all[] = {
        {"END\r\n", memcached_type::values},
        {"VALUE k 0 1\r\nv\r\nEND\r\n", memcached_type::values},
        {"STORED\r\n", memcached_type::stored},
        {"NOT_STORED\r\n", memcached_type::not_stored},
        {"NS\r\n", memcached_type::not_stored},
        {"EXISTS\r\n", memcached_type::exists},
        {"EX\r\n", memcached_type::exists},
        {"NOT_FOUND\r\n", memcached_type::not_found},
        {"NF\r\n", memcached_type::not_found},
        {"DELETED\r\n", memcached_type::deleted},
        {"TOUCHED\r\n", memcached_type::touched},
        {"OK\r\n", memcached_type::ok},
        {"0\r\n", memcached_type::number},
        {"VERSION 1.6.18\r\n", memcached_type::version},
        {"HD\r\n", memcached_type::meta_success},
        {"VA 1\r\nv\r\n", memcached_type::meta_value},
        {"EN\r\n", memcached_type::meta_miss},
        {"MN\r\n", memcached_type::meta_noop},
        {"ERROR\r\n", memcached_type::error},
        {"CLIENT_ERROR bad data chunk\r\n", memcached_type::client_error},
        {"SERVER_ERROR out of memory\r\n", memcached_type::server_error}};
    for (const auto& [bytes, type] : all) {
        BOOST_TEST((reply(bytes).type() == type), bytes);
        BOOST_TEST(reply(bytes).is_error() == (type >= memcached_type::error), bytes);
    }
}

BOOST_AUTO_TEST_CASE(items_have_key_flags_value_and_cas) {
    const auto r = reply("VALUE a 4294967295 2 18446744073709551615\r\nxy\r\n" + item("b", "") +
                         item("c", "\r\nEND\r\n") + "END\r\n");
    std::vector<ice::memcached_item> items;
    for (const ice::memcached_item& one : r) items.push_back(one);
    BOOST_TEST_REQUIRE(items.size() == 3U);
    BOOST_TEST(items[0].key == "a");
    BOOST_TEST(items[0].value == "xy");
    BOOST_TEST(items[0].flags == UINT32_MAX);
    BOOST_TEST(items[0].cas == UINT64_MAX);
    BOOST_TEST(items[1].key == "b");
    BOOST_TEST(items[1].value == "");
    BOOST_TEST(items[1].flags == 7U);
    BOOST_TEST(items[1].cas == 0U, "no cas of the item before");
    BOOST_TEST(items[2].value == "\r\nEND\r\n");
    BOOST_TEST(r.value() == "xy", "that of the first item");
    BOOST_TEST(r.begin()->key == "a");
    BOOST_TEST(r.is_hit());
    BOOST_TEST(r.text() == "");
}

BOOST_AUTO_TEST_CASE(a_miss_has_no_items) {
    for (const char* bytes : {"END\r\n", "EN\r\n", "NOT_FOUND\r\n", "HD\r\n", "7\r\n"}) {
        BOOST_TEST(!reply(bytes).is_hit(), bytes);
        BOOST_TEST(reply(bytes).value() == "", bytes);
        BOOST_TEST(walk(reply(bytes)) == 0U, bytes);
    }
    BOOST_TEST(reply("VALUE k 0 0\r\n\r\nEND\r\n").is_hit(), "an empty value is a value");
    BOOST_TEST(reply("VA 0\r\n\r\n").is_hit());
}

BOOST_AUTO_TEST_CASE(a_value_is_any_bytes) {
    // Its length ends it: neither CR LF nor bytes that resemble a reply do.
    std::string all = "\r\nEND\r\n\r\r\n";
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    BOOST_TEST(reply(item("k", all) + "END\r\n").value() == all);
    BOOST_TEST(reply(fmt::format("VA {}\r\n{}\r\n", all.size(), all)).value() == all);
}

BOOST_AUTO_TEST_CASE(meta_replies_have_flags) {
    for (const char* bytes :
         {"HD t-1 W Oabc kkey c12\r\n", "VA 3 t-1 W Oabc kkey c12\r\nt9 \r\n"}) {
        const auto r = reply(bytes);
        BOOST_TEST((r.flag('t') == "-1"), bytes);
        BOOST_TEST((r.flag('W') == ""), bytes);
        BOOST_TEST((r.flag('O') == "abc"), bytes);
        BOOST_TEST((r.flag('k') == "key"), bytes);
        BOOST_TEST((r.flag('c') == "12"), bytes);
        for (const char absent : {'X', 'H', '3', '9', ' ', '\r'})
            BOOST_TEST(!r.flag(absent), bytes);
    }
    BOOST_TEST((reply("EN kk\r\n").flag('k') == "k"));
    BOOST_TEST((reply("HD \r\n").type() == memcached_type::meta_success),
               "as some proxies send it");
    BOOST_TEST(!reply("CLIENT_ERROR bad\r\n").flag('b'));
    BOOST_TEST(reply("HD t-1 W\r\n").text() == "t-1 W");
}

BOOST_AUTO_TEST_CASE(numbers_have_64_bits_without_a_sign) {
    BOOST_TEST(reply("0\r\n").number() == 0U);
    BOOST_TEST(reply("18446744073709551615\r\n").number() == UINT64_MAX);
    BOOST_TEST(reply("42\r\n").text() == "42");
    BOOST_TEST(reply("STORED\r\n").number() == 0U);
    for (const char* bytes : {"18446744073709551616\r\n", "1 \r\n", "1x\r\n", "-1\r\n", "1 2\r\n"})
        BOOST_TEST((error(bytes) == errc::bad_message), bytes);
}

BOOST_AUTO_TEST_CASE(errors_and_versions_have_their_text) {
    BOOST_TEST(reply("SERVER_ERROR out of memory\r\n").text() == "out of memory");
    BOOST_TEST(reply("CLIENT_ERROR\r\n").text() == "");
    BOOST_TEST(reply("VERSION 1.6.18 (Debian)\r\n").text() == "1.6.18 (Debian)");
    BOOST_TEST(reply("ERROR\r\n").text() == "");
}

BOOST_AUTO_TEST_CASE(pipelined_replies_are_parsed_one_by_one_at_every_split) {
    // Behind END the next reply begins: no state of the items may be left.
    const std::string replies[] = {"STORED\r\n",   item("a", "1") + item("b", "22") + "END\r\n",
                                   "END\r\n",      "VA 2 c1\r\n\r\n\r\n",
                                   "7\r\n",        "CLIENT_ERROR no\r\n",
                                   "NOT_FOUND\r\n"};
    std::string all;
    for (const auto& r : replies) all += r;
    const auto seen = play(ice::memcached(), all + item("c", "x"));
    BOOST_TEST_REQUIRE(seen.messages.size() == std::size(replies));
    for (std::size_t i = 0; i < std::size(replies); ++i)
        BOOST_TEST(seen.messages[i].bytes() == replies[i]);
    BOOST_TEST(seen.left == item("c", "x").size());
    BOOST_TEST(split_difference(ice::memcached(), all + item("c", "x")) == "");
}

BOOST_AUTO_TEST_CASE(every_short_input_is_parsed_alike_at_every_split) {
    const std::string pieces[] = {"VALUE k 0", "VA", " 1", "END", "7", "\r", "\r\n", "\n", "x"};
    std::vector<std::string> inputs{""};
    std::size_t replies = 0;
    for (std::size_t i = 0, length = 0, end = 1; length < (is_quick ? 4 : 5); ++length) {
        for (; i < end; ++i) {
            for (const auto& piece : pieces) inputs.push_back(inputs[i] + piece);
        }
        end = inputs.size();
    }
    for (const auto& input : inputs) {
        for (const std::size_t limit : {std::size_t{8}, std::size_t{100}}) {
            const ice::memcached p(limit);
            replies += play(p, input).messages.size();
            const auto wrong = split_difference(p, input);
            if (!wrong.empty()) BOOST_ERROR(fmt::format("{:?}, limit {}: {}", input, limit, wrong));
        }
    }
    BOOST_TEST(inputs.size() > (is_quick ? 7'000U : 60'000U));
    BOOST_TEST(replies > (is_quick ? 100U : 1000U));
}

BOOST_AUTO_TEST_CASE(random_bytes_are_parsed_alike_at_every_split) {
    // Well-formed replies with some bytes changed, lost or doubled: cases that no one has listed.
    const std::string_view letters = "VALUENDSTOR 0123456789\r\n";
    std::mt19937 chance;  // NOLINT: the same bytes in each run
    std::size_t whole = 0, malformed = 0;
    constexpr int rounds = is_quick ? 1'000 : 4'000;
    for (int i = 0; i < rounds; ++i) {
        std::string bytes = any_reply(chance);
        for (auto n = chance() % 3; n != 0; --n) {
            const auto at = chance() % bytes.size();
            switch (chance() % 4) {
                case 0: bytes[at] = static_cast<char>(chance()); break;
                case 1: bytes[at] = letters[chance() % letters.size()]; break;
                case 2: bytes.insert(at, 1, letters[chance() % letters.size()]); break;
                default: bytes.erase(at, bytes.size() > 1 ? 1 : 0);
            }
        }
        const auto seen = play(ice::memcached(), bytes);
        malformed += seen.error ? 1 : 0;
        for (const auto& r : seen.messages) {
            walk(r);
            ++whole;
        }
        const auto wrong = split_difference(ice::memcached(), bytes);
        BOOST_TEST(wrong == "", fmt::format("{:?}: {}", bytes, wrong));
    }
    BOOST_TEST(whole > rounds / 3U);
    BOOST_TEST(malformed > rounds / 8U);
}

BOOST_AUTO_TEST_CASE(what_is_no_reply_is_a_bad_message) {
    for (const std::string& bytes : {"\r\n"s,
                                     "PONG\r\n"s,
                                     " END\r\n"s,
                                     "end\r\n"s,
                                     "ENDX\r\n"s,
                                     "END \r\n"s,
                                     "END\rx"s,
                                     "END\n\r\n"s,
                                     "STORED x\r\n"s,
                                     "OK 1\r\n"s,
                                     "VERSIONS\r\n"s,
                                     "VERSION a\nb\r\n"s,
                                     "VERSION a\r\r\n"s,
                                     "SERVER_ERRORS\r\n"s,
                                     "MN 1\r\n"s,
                                     "HD1\r\n"s,
                                     "VA\r\n"s,
                                     "VA \r\n"s,
                                     "VA x\r\n"s,
                                     "VA -1\r\n"s,
                                     "VA 1x\r\n"s,
                                     "VA  1\r\n"s,
                                     "VA 1\r\nxy\r\n"s,
                                     "VA 18446744073709551616\r\n"s,
                                     "VALUE\r\n"s,
                                     "VALUE \r\n"s,
                                     "VALUE k\r\n"s,
                                     "VALUE k 0\r\n"s,
                                     "VALUE  0 1\r\n"s,
                                     "VALUE k 0 -1\r\n"s,
                                     "VALUE k x 1\r\n"s,
                                     "VALUE k 4294967296 1\r\n"s,
                                     "VALUE k 0 1 \r\n"s,
                                     "VALUE k 0 1 x\r\n"s,
                                     "VALUE k 0 1 2 3\r\n"s,
                                     "VALUE k 0 1 18446744073709551616\r\n"s,
                                     "VALUE k 0 0\r\n\r\r"s,
                                     "VALUE k 0 1\r\nxEND\r\n"s,
                                     item("k", "v") + "STORED\r\n",
                                     item("k", "v") + "7\r\n",
                                     item("k", "v") + "VA 1\r\n",
                                     item("k", "v") + "SERVER_ERROR out of memory\r\n",
                                     item("k", "v") + "ERROR\r\n"}) {
        BOOST_TEST((error(bytes) == errc::bad_message), fmt::format("{:?}", bytes));
    }
}

BOOST_AUTO_TEST_CASE(an_error_is_returned_as_soon_as_its_byte_arrives) {
    // Otherwise the connection would end only after the 30 s of timeouts::message.
    for (const char* bytes : {"P", "\r", "EP", "STOREX", "VALUEX", "CLIENT_ERRORX", "HDx"})
        BOOST_TEST((error(bytes) == errc::bad_message), bytes);
    for (const char* bytes : {"S", "STORE", "CLIENT_ERROR", "E", "VA", "VALUE k"})
        BOOST_TEST((error(bytes) == none), bytes);
}

BOOST_AUTO_TEST_CASE(a_reply_may_be_as_long_as_the_limit_and_no_longer) {
    for (const std::string& r :
         {"END\r\n"s, "STORED\r\n"s, "123\r\n"s, item("k", "") + "END\r\n",
          item("k", std::string(50, 'x')) + item("l", "yy") + "END\r\n",
          "VA 9 t-1\r\n123456789\r\n"s, "SERVER_ERROR " + std::string(50, 'x') + "\r\n"}) {
        for (const std::size_t spare : {0U, 1U, 100U})
            BOOST_TEST((error("", ice::memcached(r.size() + spare)) == none &&
                        play(ice::memcached(r.size() + spare), r).messages.size() == 1U),
                       fmt::format("{:?}", r));
        for (const std::size_t less :
             {std::size_t{1}, std::size_t{2}, std::size_t{3}, std::size_t{4}, r.size()}) {
            const ice::memcached p(r.size() - less);
            BOOST_TEST((error(r, p) == errc::message_too_large), fmt::format("{:?}", r));
        }
    }
}

BOOST_AUTO_TEST_CASE(a_line_may_be_as_long_as_its_limit_and_no_longer) {
    const std::size_t room = ice::memcached::line_limit - std::string("VERSION \r\n").size();
    BOOST_TEST(
        play(ice::memcached(), "VERSION " + std::string(room, 'x') + "\r\n").messages.size() == 1U);
    for (const char* end : {"\r\n", ""})
        BOOST_TEST((play(ice::memcached(), "VERSION " + std::string(room + 1, 'x') + end).error ==
                    errc::message_too_large));
}

BOOST_AUTO_TEST_CASE(the_default_limit_is_1_mib) {
    const std::size_t limit = 1024 * 1024, head = std::string("VA 1048500\r\n\r\n").size();
    const auto va = [](std::size_t n) { return fmt::format("VA {}\r\n{:x<{}}\r\n", n, "", n); };
    BOOST_TEST(play(ice::memcached(), va(limit - head)).messages.size() == 1U);
    BOOST_TEST((play(ice::memcached(), va(limit - head + 1)).error == errc::message_too_large));
}

BOOST_AUTO_TEST_CASE(a_declared_length_beyond_the_limit_is_refused_by_its_line_alone) {
    for (const char* bytes : {"VA 1048576\r\n", "VA 18446744073709551615\r\n",
                              "VALUE k 0 2147483647\r\n", "VALUE k 0 18446744073709551614 1\r\n"})
        BOOST_TEST((error(bytes) == errc::message_too_large), bytes);
    BOOST_TEST((error("VA 1000000\r\n") == none), "it may still come");
    // No arithmetic wraps around where there is no limit.
    BOOST_TEST((error("VA 9223372036854775807\r\nx", ice::memcached(ice::unlimited)) == none));
    BOOST_TEST((error("VA 18446744073709551615\r\nx", ice::memcached(ice::unlimited)) ==
                errc::message_too_large));
}

BOOST_AUTO_TEST_CASE(no_byte_is_searched_twice) {
    // The test overwrites searched bytes with a CR, so a second search is detected.
    ice::memcached p;
    std::string input = item("k", "v") + "VALUE ";
    BOOST_TEST_REQUIRE(p.parse(input).size() == 0U);
    const std::size_t begin = input.size();
    for (int i = 0; i < 200; ++i) {
        input += 'x';
        BOOST_TEST_REQUIRE(!p.parse(input).failed(), "after " << i << " bytes");
        for (std::size_t k = begin; k < input.size(); ++k) input[k] = '\r';
    }
    for (std::size_t k = begin; k < input.size(); ++k) input[k] = 'x';
    // Of data only the bytes behind it are read, and no line before it is read again.
    input += " 0 1000\r\n";
    BOOST_TEST_REQUIRE(!p.parse(input).failed());
    const std::string before = input;
    input.assign(input.size(), '\r');
    for (int i = 0; i < 1000; ++i) {
        input += '\r';
        BOOST_TEST_REQUIRE(!p.parse(input).failed());
    }
    input = before + input.substr(before.size()) + "\r\nEND\r\n";
    BOOST_TEST(p.parse(input).size() == input.size());
}

BOOST_AUTO_TEST_CASE(a_reply_is_a_view_of_the_input_and_a_copy_is_not) {
    ice::memcached p;
    std::string input = "VA 3\r\none\r\n";
    auto found = p.parse(input);
    BOOST_TEST(found.message().value().data() == input.data() + 6);
    const ice::memcached_reply kept(found.message());
    input.assign(input.size(), '?');
    BOOST_TEST(kept.value() == "one");
    BOOST_TEST((ice::memcached_view(kept) == ice::memcached_view("VA 3\r\none\r\n")));
    BOOST_TEST((kept != ice::memcached_view()));
}

BOOST_AUTO_TEST_CASE(an_empty_or_moved_from_reply_has_no_items) {
    ice::memcached_reply r("SERVER_ERROR " + std::string(100, 'x') + "\r\n");
    const ice::memcached_reply taken = std::move(r);
    BOOST_TEST(taken.text().size() == 100U);
    for (const auto& empty : {ice::memcached_reply(), ice::memcached_reply(std::string())}) {
        BOOST_TEST((empty.type() == memcached_type::values));
        BOOST_TEST(!empty.is_hit());
        BOOST_TEST(empty.text() == "");
        BOOST_TEST(empty.value() == "");
        BOOST_TEST(empty.number() == 0U);
        BOOST_TEST(!empty.flag('t'));
    }
}

BOOST_AUTO_TEST_CASE(what_follows_error_to_a_request_with_a_value_is_no_reply) {
    // A server that does not know ms replies ERROR, takes the value for a command, and replies to
    // that as well: on a shared connection the next caller would get that reply.
    std::string out;
    ice::memcached p;
    BOOST_TEST(!p.packet(ice::memcached_ms("k", "version"), out));
    BOOST_TEST(!p.packet(ice::memcached_get("k"), out));
    std::string_view input = "ERROR\r\nVERSION 1.4.0\r\nEND\r\n";
    auto first = p.parse(input);
    BOOST_TEST((first.message().type() == memcached_type::error));
    input.remove_prefix(first.size());
    BOOST_TEST(p.parse("").size() == 0U, "the reply itself is a value");
    BOOST_TEST(!p.parse("").failed());
    BOOST_TEST((p.parse(input).error() == errc::bad_message));
}

BOOST_AUTO_TEST_CASE(what_follows_any_other_error_is_the_next_reply) {
    // Requests without a value, and requests with a value that have their reply, are no danger.
    for (const auto& [command, said] :
         {std::pair{ice::memcached_get("k"), "ERROR\r\n"},
          std::pair{ice::memcached_set("k", "v"), "CLIENT_ERROR no\r\n"},
          std::pair{ice::memcached_set("k", "v"), "SERVER_ERROR object too large for cache\r\n"}}) {
        std::string out;
        ice::memcached p;
        BOOST_TEST(!p.packet(ice::memcached_set("k", "v"), out));
        BOOST_TEST(p.parse("STORED\r\n").has_message());
        BOOST_TEST(!p.packet(command, out));
        BOOST_TEST(p.parse(said).message().is_error());
        BOOST_TEST((p.parse("OK\r\n").message().type() == memcached_type::ok), said);
    }
}

BOOST_AUTO_TEST_CASE(a_request_is_sent_whole_or_not_at_all) {
    ice::memcached p(18);
    std::string out = "before";
    BOOST_TEST((p.packet(ice::memcached_set("k", "1234"), out) == errc::message_too_large));
    BOOST_TEST((p.packet(ice::memcached_get("a b"), out) == errc::unencodable));
    BOOST_TEST((p.packet(ice::memcached_command(), out) == errc::unencodable));
    BOOST_TEST(out == "before");
    BOOST_TEST(!p.packet(ice::memcached_set("k", "123"), out));  // 18 bytes
    BOOST_TEST(out == "beforeset k 0 0 3\r\n123\r\n");
}

BOOST_AUTO_TEST_SUITE_END()
