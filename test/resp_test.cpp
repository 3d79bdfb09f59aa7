// resp: all of RESP2 and RESP3 at every split, malformed input, and limits.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/limits.hpp>
#include <ice/protocols/resp.hpp>
#include <ice/testing/script.hpp>
#include <random>
#include <string>
#include <vector>

#include "quick.hpp"

namespace {

using namespace std::string_literals;
using ice::errc;
using ice::resp_type;
using ice::testing::play;
using ice::testing::split_difference;

// The one value that `bytes` are, which are the same at every cut.
ice::resp_value value(std::string_view bytes) {
    const auto seen = play(ice::resp(), bytes);
    BOOST_TEST_REQUIRE(seen.messages.size() == 1U, bytes);
    BOOST_TEST(seen.left == 0U);
    BOOST_TEST(seen.messages[0].bytes() == bytes);
    BOOST_TEST(split_difference(ice::resp(), bytes) == "", bytes);
    return seen.messages[0];
}

// The error that `bytes` are, which is the same at every cut.
errc error(std::string_view bytes, const ice::resp& p = ice::resp()) {
    const auto seen = play(p, bytes);
    BOOST_TEST(seen.messages.empty(), bytes);
    BOOST_TEST(split_difference(p, bytes) == "", bytes);
    return static_cast<errc>(seen.error.value());
}
constexpr errc none{};

std::vector<std::string> texts(const ice::resp_value& array) {
    std::vector<std::string> found;
    for (const ice::resp_view element : array) found.emplace_back(element.text());
    return found;
}

// How many values there are in one, itself included; whatever they say of themselves is in it.
std::size_t walk(ice::resp_view v) {
    const auto inside = [&](std::string_view part) {
        return part.empty() || (part.data() >= v.bytes().data() &&
                                part.data() + part.size() <= v.bytes().data() + v.bytes().size());
    };
    std::size_t count = 1, elements = 0;
    bool all_inside = inside(v.text());
    for (const ice::resp_view element : v) {
        all_inside = all_inside && inside(element.bytes());
        count += walk(element);
        ++elements;
    }
    BOOST_TEST(all_inside, v.bytes());
    BOOST_TEST(elements == v.size(), v.bytes());
    return count;
}

// A well-formed value, as chance has it.
std::string any_value(std::mt19937& chance, int depth = 0) {
    std::string text;
    for (auto n = chance() % 8; n != 0; --n) text += static_cast<char>(chance());
    switch (chance() % (depth < 4 ? 17 : 11)) {
        case 0: return std::string(ice::resp_simple_string(text).bytes());
        case 1: return std::string(ice::resp_error(text).bytes());
        case 2: return fmt::format(":{}\r\n", static_cast<std::int32_t>(chance()));
        case 3: return std::string(ice::resp_bulk_string(text).bytes());
        case 4: return chance() % 2 != 0 ? "$-1\r\n" : "*-1\r\n";
        case 5: return "_\r\n";
        case 6: return chance() % 2 != 0 ? "#t\r\n" : "#f\r\n";
        case 7: return fmt::format(",{}e{}\r\n", static_cast<int>(chance()) / 1e6, chance() % 9);
        case 8: return fmt::format("({}{}\r\n", chance(), chance());
        case 9: return fmt::format("!{}\r\n{}\r\n", text.size(), text);
        case 10: return std::string(ice::resp_verbatim_string(text).bytes());
        default: break;
    }
    const char type = "*%~|>"[chance() % (depth == 0 ? 5 : 4)];
    const auto size = chance() % 4;
    std::string array = fmt::format("{}{}\r\n", type, size);
    for (auto n = (type == '%' || type == '|' ? 2 * size : size); n != 0; --n)
        array += any_value(chance, depth + 1);
    if (type == '|') array += any_value(chance, depth + 1);
    return array;
}

std::string nested(std::size_t depth) {
    std::string bytes;
    for (std::size_t i = 0; i < depth; ++i) bytes += "*1\r\n";
    return bytes + ":7\r\n";
}

std::string bulk(std::size_t size) {
    return fmt::format("${}\r\n{}\r\n", size, std::string(size, 'x'));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(resp)

BOOST_AUTO_TEST_CASE(each_type_is_known_by_its_first_bytes) {
    BOOST_TEST((value("+OK\r\n").type() == resp_type::simple_string));
    BOOST_TEST((value("-ERR no\r\n").type() == resp_type::error));
    BOOST_TEST((value(":42\r\n").type() == resp_type::integer));
    BOOST_TEST((value("$2\r\nhi\r\n").type() == resp_type::bulk_string));
    BOOST_TEST((value("$-1\r\n").type() == resp_type::null_bulk));
    BOOST_TEST((value("*1\r\n+a\r\n").type() == resp_type::array));
    BOOST_TEST((value("*-1\r\n").type() == resp_type::null_array));
    BOOST_TEST(value("-ERR no\r\n").is_error());
    BOOST_TEST(!value("+ERR no\r\n").is_error());
    BOOST_TEST(value("$-1\r\n").is_null());
    BOOST_TEST(value("*-1\r\n").is_null());
    BOOST_TEST(!value("$0\r\n\r\n").is_null(), "an empty string is a string");
    BOOST_TEST(!value("*0\r\n").is_null(), "an empty array is an array");
}

BOOST_AUTO_TEST_CASE(strings_and_errors_have_their_text) {
    BOOST_TEST(value("+\r\n").text() == "");
    BOOST_TEST(value("+OK\r\n").text() == "OK");
    BOOST_TEST(value("-MOVED 3999 127.0.0.1:6381\r\n").text() == "MOVED 3999 127.0.0.1:6381");
    BOOST_TEST(value("$0\r\n\r\n").text() == "");
    BOOST_TEST(value("$-1\r\n").text() == "");
    BOOST_TEST(value("*1\r\n$1\r\nx\r\n").text() == "", "an array has no text of its own");
    BOOST_TEST(value("+OK\r\n").integer() == 0);
    BOOST_TEST(value("$1\r\n7\r\n").size() == 0U);
}

BOOST_AUTO_TEST_CASE(a_bulk_string_is_any_bytes) {
    // Its length ends it: neither CR LF nor bytes that resemble a value do.
    std::string all = "\r\n$3\r\n\r\r\n";
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    BOOST_TEST(value(fmt::format("${}\r\n{}\r\n", all.size(), all)).text() == all);
}

BOOST_AUTO_TEST_CASE(integers_have_64_bits_and_a_sign) {
    BOOST_TEST(value(":0\r\n").integer() == 0);
    BOOST_TEST(value(":-1\r\n").integer() == -1);
    BOOST_TEST(value(":+5\r\n").integer() == 5);
    BOOST_TEST(value(":-0\r\n").integer() == 0);
    BOOST_TEST(value(":9223372036854775807\r\n").integer() == INT64_MAX);
    BOOST_TEST(value(":-9223372036854775808\r\n").integer() == INT64_MIN);
    BOOST_TEST(value(":1234\r\n").text() == "1234");
}

BOOST_AUTO_TEST_CASE(arrays_have_elements_of_all_types_also_arrays_and_errors) {
    const auto v = value(
        "*8\r\n+a\r\n-b\r\n:3\r\n$1\r\nd\r\n$-1\r\n*2\r\n*0\r\n*1\r\n+f\r\n*-1\r\n$0\r\n\r\n");
    const std::vector<resp_type> types{
        resp_type::simple_string, resp_type::error, resp_type::integer,    resp_type::bulk_string,
        resp_type::null_bulk,     resp_type::array, resp_type::null_array, resp_type::bulk_string};
    BOOST_TEST(v.size() == types.size());
    std::vector<resp_type> seen;
    for (const ice::resp_view element : v) seen.push_back(element.type());
    BOOST_TEST((seen == types));
    BOOST_TEST(texts(v) == (std::vector<std::string>{"a", "b", "3", "d", "", "", "", ""}),
               boost::test_tools::per_element());
    auto inner = v.begin();
    for (int i = 0; i < 5; ++i) ++inner;
    BOOST_TEST((*inner).size() == 2U);
    BOOST_TEST((*inner).bytes() == "*2\r\n*0\r\n*1\r\n+f\r\n");
}

BOOST_AUTO_TEST_CASE(empty_and_null_arrays_have_no_elements) {
    for (const char* bytes : {"*0\r\n", "*-1\r\n", "+x\r\n", "$-1\r\n"}) {
        const auto v = value(bytes);
        BOOST_TEST((v.begin() == v.end()), bytes);
        BOOST_TEST(v.size() == 0U);
    }
}

BOOST_AUTO_TEST_CASE(pipelined_values_are_parsed_one_by_one_at_every_split) {
    // Behind the end of an array the next value begins: no state of the array may be left.
    const std::string values[] = {"+OK\r\n",
                                  "*2\r\n$3\r\nGET\r\n$1\r\nk\r\n",
                                  "*2\r\n*1\r\n*0\r\n*-1\r\n",
                                  "$-1\r\n",
                                  ":5\r\n",
                                  "$4\r\n\r\n\r\n\r\n",
                                  "-ERR\r\n"};
    std::string all;
    for (const auto& v : values) all += v;
    const auto seen = play(ice::resp(), all + "*2\r\n+a\r\n");
    BOOST_TEST_REQUIRE(seen.messages.size() == std::size(values));
    for (std::size_t i = 0; i < std::size(values); ++i)
        BOOST_TEST(seen.messages[i].bytes() == values[i]);
    BOOST_TEST(seen.left == 8U);
    BOOST_TEST(split_difference(ice::resp(), all + "*2\r\n+a\r\n") == "");
}

BOOST_AUTO_TEST_CASE(a_map_has_two_elements_for_each_pair) {
    const auto v = value("%2\r\n+a\r\n:1\r\n$1\r\nb\r\n~1\r\n_\r\n");
    BOOST_TEST((v.type() == resp_type::map));
    BOOST_TEST(walk(v) == 6U);
    BOOST_TEST(v.size() == 4U);
    BOOST_TEST(texts(v) == (std::vector<std::string>{"a", "1", "b", ""}),
               boost::test_tools::per_element());
    BOOST_TEST(walk(value("%0\r\n")) == 1U);
}

BOOST_AUTO_TEST_CASE(an_attribute_belongs_to_the_value_behind_it) {
    // Otherwise a caller would get the attribute as its reply, and the next caller the value.
    const auto v = value("|1\r\n+ttl\r\n:3600\r\n*2\r\n|1\r\n+k\r\n*1\r\n+v\r\n:5\r\n_\r\n");
    BOOST_TEST((v.type() == resp_type::array));
    BOOST_TEST(v.size() == 2U);
    BOOST_TEST_REQUIRE(v.attributes().size() == 1U);
    BOOST_TEST((*v.attributes().begin()).key.text() == "ttl");
    BOOST_TEST((*v.attributes().begin()).value.integer() == 3600);
    const ice::resp_view first = *v.begin();
    BOOST_TEST(first.bytes() == "|1\r\n+k\r\n*1\r\n+v\r\n:5\r\n");
    BOOST_TEST(first.integer() == 5);
    BOOST_TEST(first.number() == 5);
    BOOST_TEST(first.text() == "5");
    BOOST_TEST((*(*first.attributes().begin()).value.begin()).text() == "v");
    BOOST_TEST(walk(v) == 3U);
    // Two attributes of one value, and none of the next one.
    BOOST_TEST(value("|0\r\n|1\r\n+a\r\n+b\r\n-ERR\r\n").is_error());
    BOOST_TEST(play(ice::resp(), "|0\r\n+a\r\n+b\r\n").messages.size() == 2U);
    BOOST_TEST(value("|1\r\n+a\r\n+b\r\n$2\r\nhi\r\n").text() == "hi");
    BOOST_TEST(ice::resp_value("+a\r\n").attributes().size() == 0U);
}

BOOST_AUTO_TEST_CASE(every_short_input_is_parsed_alike_at_every_split) {
    // All inputs of up to five pieces that have a meaning, or four in a debug build, with a large
    // limit and a small one.
    const std::string pieces[] = {"+", "$", "*", "1", "-1", "0", "\r", "\n", "\r\n", "x", "|", "%"};
    std::vector<std::string> inputs{""};
    std::size_t values = 0;
    for (std::size_t i = 0, length = 0, end = 1; length < (is_quick ? 4 : 5); ++length) {
        for (; i < end; ++i) {
            for (const auto& piece : pieces) inputs.push_back(inputs[i] + piece);
        }
        end = inputs.size();
    }
    for (const auto& input : inputs) {
        for (const std::size_t limit : {std::size_t{6}, std::size_t{100}}) {
            const ice::resp p(limit);
            values += play(p, input).messages.size();
            const auto wrong = split_difference(p, input);
            if (!wrong.empty()) BOOST_ERROR(fmt::format("{:?}, limit {}: {}", input, limit, wrong));
        }
    }
    BOOST_TEST(inputs.size() > (is_quick ? 10'000U : 100'000U));
    BOOST_TEST(values > (is_quick ? 100U : 1000U));
}

BOOST_AUTO_TEST_CASE(random_bytes_are_parsed_alike_at_every_split) {
    // Well-formed values with some bytes changed, lost or doubled: cases that no one has listed.
    const std::string_view letters = "+-:$*_#,(!=%~|>0123456789\r\n";
    std::mt19937 chance;  // NOLINT: the same bytes in each run
    std::size_t whole = 0, malformed = 0;
    constexpr int rounds = is_quick ? 1'000 : 4'000;
    for (int i = 0; i < rounds; ++i) {
        std::string bytes = any_value(chance);
        for (auto n = chance() % 4; n != 0; --n) {
            const auto at = chance() % bytes.size();
            switch (chance() % 4) {
                case 0: bytes[at] = static_cast<char>(chance()); break;
                case 1: bytes[at] = letters[chance() % letters.size()]; break;
                case 2: bytes.insert(at, 1, letters[chance() % letters.size()]); break;
                default: bytes.erase(at, bytes.size() > 1 ? 1 : 0);
            }
        }
        const auto seen = play(ice::resp(), bytes);
        malformed += seen.error ? 1 : 0;
        for (const auto& v : seen.messages) whole += walk(v);
        const auto wrong = split_difference(ice::resp(), bytes);
        BOOST_TEST(wrong == "", fmt::format("{:?}: {}", bytes, wrong));
    }
    BOOST_TEST(whole > rounds / 2U);
    BOOST_TEST(malformed > rounds / 8U);
}

BOOST_AUTO_TEST_CASE(what_resp_does_not_allow_is_a_bad_message) {
    for (const std::string& bytes :
         {"PING\r\n"s, "\r\n"s, " +OK\r\n"s,
          "\0"s,  // no type: inline commands among them
          "+a\rb\r\n"s, "+a\nb\r\n"s,
          "-a\r\r\n"s,  // a line's end is CR LF, and only there
          ":\r\n"s, ":a\r\n"s, ":1a\r\n"s, ": 1\r\n"s, ":--1\r\n"s, ":+-1\r\n"s, ":+\r\n"s,
          ":9223372036854775808\r\n"s, "$99999999999999999999\r\n"s, ":1\n\r\n"s, "$\r\n"s,
          "$x\r\n"s, "$-2\r\n"s, "$-0\r\n"s, "$+1\r\n"s, "$-01\r\n"s, "*\r\n"s, "*-2\r\n"s,
          "*-0\r\n"s, "*+1\r\n"s, "*1 \r\n"s, "$2\r\nabc\r\n"s, "$2\r\na\r\n+x\r\n"s, "$0\r\n\n\r"s,
          "$1\r\nx\rx"s, "*1\r\nx"s, "*2\r\n+a\r\n*1\r\n?"s,
          ":00000000000000000000000000000000001\r\n"s,
          // of RESP3
          "_x\r\n"s, "#\r\n"s, "#true\r\n"s, "#x\r\n"s, ",\r\n"s, ",.5\r\n"s, ",1e\r\n"s,
          ",1e+\r\n"s, ",1.5x\r\n"s, ",0x1p3\r\n"s, ",infinity\r\n"s, ",--1\r\n"s, "(\r\n"s,
          "(-\r\n"s, "(1.5\r\n"s, "!-1\r\n"s, "=-1\r\n"s, "%-1\r\n"s, "~-1\r\n"s, "|-1\r\n"s,
          ">-1\r\n"s, "=3\r\ntxt\r\n"s, "=4\r\ntxt;\r\n"s, "!2\r\nabc\r\n"s, "*1\r\n>0\r\n"s,
          "|0\r\n>0\r\n"s,                                          // a push within a value
          "$?\r\n"s, "*?\r\n"s, "%?\r\n"s, ";4\r\n"s, ".\r\n"s}) {  // streamed
        BOOST_TEST((error(bytes) == errc::bad_message), fmt::format("{:?}", bytes));
    }
}

BOOST_AUTO_TEST_CASE(an_error_is_returned_as_soon_as_its_byte_arrives) {
    // Otherwise the connection would end only after the 30 s of timeouts::message.
    for (const char* bytes : {"P", "*1\r\nP", "$x\r\n", "$-2\r\n", "=3\r\n", "=0\r\n"})
        BOOST_TEST((error(bytes) == errc::bad_message), bytes);
    BOOST_TEST((error("$" + std::string(31, '1')) == errc::bad_message));
    BOOST_TEST((error("$" + std::string(30, '1')) == none));
}

BOOST_AUTO_TEST_CASE(arrays_nest_as_deep_as_the_limit_and_no_deeper) {
    // Without a limit a few bytes per level would make a stack of any depth.
    BOOST_TEST(value(nested(ice::resp::depth_limit)).size() == 1U);
    BOOST_TEST((error(nested(ice::resp::depth_limit + 1)) == errc::bad_message));
    BOOST_TEST((error(nested(10'000).substr(0, 400)) == errc::bad_message));
    // Each of the other types is a level as well, an attribute also for the value behind it.
    for (const auto& [open, close] : {std::pair("%1\r\n+k\r\n", ""),
                                      {"%1\r\n", "+v\r\n"},
                                      {"~1\r\n", ""},
                                      {"|0\r\n", ""},
                                      {"|1\r\n+k\r\n", "+v\r\n"}}) {
        const auto levels = [&](std::size_t n) {
            std::string bytes;
            for (std::size_t i = 0; i < n; ++i) bytes += open;
            bytes += ":7\r\n";
            for (std::size_t i = 0; i < n; ++i) bytes += close;
            return bytes;
        };
        constexpr auto most = ice::resp::depth_limit;
        BOOST_TEST(play(ice::resp(), levels(most)).messages.size() == 1U, open);
        BOOST_TEST((play(ice::resp(), levels(most + 1)).error == errc::bad_message), open);
    }
    // Depth, not how many: arrays that have ended do not count.
    std::string many = "*100\r\n";
    for (int i = 0; i < 100; ++i) many += "*1\r\n*0\r\n";
    BOOST_TEST(play(ice::resp(), many).messages.size() == 1U);
}

BOOST_AUTO_TEST_CASE(a_value_may_be_as_long_as_the_limit_and_no_longer) {
    // All types obey the same limit, also as elements of an array.
    for (const std::string& v :
         {"+" + std::string(50, 'x') + "\r\n", "-" + std::string(50, 'x') + "\r\n", bulk(50),
          "*2\r\n" + bulk(20) + bulk(19),
          "*3\r\n:1\r\n$-1\r\n*1\r\n+" + std::string(9, 'x') + "\r\n", ":1\r\n"s, "*1\r\n:1\r\n"s,
          "%1\r\n+k\r\n+v\r\n"s, "~2\r\n_\r\n#t\r\n"s, "|1\r\n+k\r\n+v\r\n,1.5\r\n"s,
          "=6\r\ntxt:hi\r\n"s, "!3\r\nERR\r\n"s, "(123456\r\n"s, "|0\r\n_\r\n"s, "_\r\n"s,
          "$0\r\n\r\n"s, "*0\r\n"s, nested(5)}) {
        for (const std::size_t spare : {0U, 1U, 100U})
            BOOST_TEST((error("", ice::resp(v.size() + spare)) == none &&
                        play(ice::resp(v.size() + spare), v).messages.size() == 1U),
                       fmt::format("{:?}", v));
        for (const std::size_t less : {std::size_t{1}, std::size_t{2}, v.size()}) {
            const ice::resp p(v.size() - less);
            BOOST_TEST((error(v, p) == errc::message_too_large), fmt::format("{:?}", v));
        }
    }
}

BOOST_AUTO_TEST_CASE(the_default_limit_is_1_mib) {
    const std::size_t head = std::string("$1048500\r\n").size() + 2, limit = 1024 * 1024;
    BOOST_TEST(play(ice::resp(), bulk(limit - head)).messages.size() == 1U);
    BOOST_TEST((play(ice::resp(), bulk(limit - head + 1)).error == errc::message_too_large));
}

BOOST_AUTO_TEST_CASE(a_declared_length_beyond_the_limit_is_refused_by_its_header_alone) {
    // With such headers a few bytes have made servers reserve gigabytes.
    for (const char* bytes :
         {"*4294967295\r\n", "*2147483647\r\n", "*9223372036854775807\r\n", "$2147483647\r\n",
          "$9223372036854775807\r\n", "$1048576\r\n", "*349526\r\n", "*1\r\n*349526\r\n",
          "*2\r\n+a\r\n$1048576\r\n", "%174764\r\n", "|174763\r\n", "~349526\r\n", ">349526\r\n",
          "!1048576\r\n", "=1048576\r\n", "%9223372036854775807\r\n", "|9223372036854775807\r\n",
          "%4611686018427387904\r\n"})
        BOOST_TEST((error(bytes) == errc::message_too_large), bytes);
    BOOST_TEST((error("*300000\r\n") == none), "it may still come");
    // No arithmetic wraps around where there is no limit.
    for (const char* bytes : {"$9223372036854775807\r\nx", "*4294967295\r\n"})
        BOOST_TEST((error(bytes, ice::resp(ice::unlimited)) == none), bytes);
    for (const char* bytes : {"*4294967296\r\n", "%2147483648\r\n", "|2147483648\r\n",
                              "%9223372036854775807\r\n", "|9223372036854775807\r\n"})
        BOOST_TEST((error(bytes, ice::resp(ice::unlimited)) == errc::message_too_large), bytes);
    for (const char* bytes : {"%2147483647\r\n", "|2147483647\r\n"})
        BOOST_TEST((error(bytes, ice::resp(ice::unlimited)) == none), bytes);
}

BOOST_AUTO_TEST_CASE(no_byte_is_searched_twice) {
    // As for line: the test overwrites searched bytes with a CR, so a second search is detected.
    ice::resp p;
    std::string input = "*2\r\n:1\r\n+";
    BOOST_TEST_REQUIRE(p.parse(input).size() == 0U);
    const std::size_t begin = input.size();
    for (int i = 0; i < 1000; ++i) {
        input += 'x';
        BOOST_TEST_REQUIRE(!p.parse(input).failed(), "after " << i << " bytes");
        input.replace(0, begin, begin, '\r');
        for (std::size_t k = begin; k < input.size(); ++k) input[k] = '\r';
        input[begin - 1] = '+';  // where the value begins is looked at
    }
    for (std::size_t k = begin; k < input.size(); ++k) input[k] = 'x';
    input += "\r\n";
    BOOST_TEST(p.parse(input).size() == input.size());
}

BOOST_AUTO_TEST_CASE(a_value_is_a_view_of_the_input_and_a_copy_is_not) {
    ice::resp p;
    std::string input = "$3\r\none\r\n";
    auto found = p.parse(input);
    BOOST_TEST(found.message().text().data() == input.data() + 4);
    const ice::resp_value kept(found.message());
    input.assign(input.size(), '?');
    BOOST_TEST(kept.text() == "one");
    BOOST_TEST((ice::resp_view(kept) == ice::resp_bulk_string("one")));
    BOOST_TEST((kept != ice::resp_view()));
}

BOOST_AUTO_TEST_CASE(an_empty_or_moved_from_value_is_null) {
    ice::resp_value v = ice::resp_bulk_string(std::string(100, 'x'));
    const ice::resp_value taken = std::move(v);
    BOOST_TEST(taken.text().size() == 100U);
    for (const auto& empty : {ice::resp_value(), ice::resp_value(std::string())}) {
        BOOST_TEST(empty.is_null());
        BOOST_TEST(empty.text() == "");
        BOOST_TEST((empty.begin() == empty.end()));
    }
}

BOOST_AUTO_TEST_CASE(a_value_that_is_made_is_parsed_as_the_same_value) {
    const ice::resp_value made[] = {
        ice::resp_simple_string("OK"),
        ice::resp_error("ERR no"),
        ice::resp_integer(INT64_MIN),
        ice::resp_bulk_string("a\r\nb\0c"s),
        ice::resp_bulk_string(""),
        ice::resp_null_bulk(),
        ice::resp_null_array(),
        ice::resp_array({}),
        ice::resp_array({ice::resp_integer(1), ice::resp_array({ice::resp_null_bulk()})}),
        ice::resp_command("SET", "key"s, std::string_view("v"), "PX", 1000, -1L)};
    for (const auto& v : made) BOOST_TEST((value(v.bytes()) == v));
    BOOST_TEST(made[3].text() == "a\r\nb\0c"s);
    BOOST_TEST(made[9].bytes() ==
               "*6\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1\r\nv\r\n$2\r\nPX\r\n$4\r\n1000\r\n$2\r\n-1\r\n");
}

BOOST_AUTO_TEST_CASE(a_line_end_in_an_error_cannot_begin_another_value) {
    // Otherwise the author of a part of the text could choose the next reply.
    BOOST_TEST(ice::resp_error("no 'x\r\n:1\r\n'").bytes() == "-no 'x  :1  '\r\n");
    BOOST_TEST(ice::resp_simple_string("a\nb\rc").bytes() == "+a b c\r\n");
}

BOOST_AUTO_TEST_CASE(a_request_is_an_array_of_strings) {
    ice::resp p(40);
    std::string out = "before";
    BOOST_TEST(!p.packet(std::vector<std::string>{"GET", "a\r\nb"}, out));
    BOOST_TEST(out == "before*2\r\n$3\r\nGET\r\n$4\r\na\r\nb\r\n");
    out.clear();
    BOOST_TEST(!p.packet(std::vector<std::string_view>{"PING"}, out));
    BOOST_TEST(!p.packet(ice::resp_command("PING"), out));
    BOOST_TEST(out == "*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPING\r\n");
}

// Digits where somebody meant a letter, or true, would be found by nobody.
static_assert(!ice::resp_word<char> && !ice::resp_word<bool> && !ice::resp_word<double>);
static_assert(ice::resp_word<int> && ice::resp_word<std::uint8_t> && ice::resp_word<char[2]>);

BOOST_AUTO_TEST_CASE(a_request_without_words_is_refused) {
    // Redis ignores it, so there would never be a reply.
    ice::resp p;
    std::string out = "before";
    BOOST_TEST((p.packet(std::vector<std::string>(), out) == errc::unencodable));
    BOOST_TEST(out == "before");
}

BOOST_AUTO_TEST_CASE(a_value_beyond_the_limit_is_not_packed) {
    const std::vector<std::string> words{"GET", "k"};
    const std::size_t size = ice::resp_command("GET", "k").bytes().size();
    std::string out = "before";
    ice::resp small(size - 1), enough(size);
    BOOST_TEST((small.packet(words, out) == errc::message_too_large));
    BOOST_TEST((small.packet(ice::resp_command("GET", "k"), out) == errc::message_too_large));
    BOOST_TEST(out == "before");
    BOOST_TEST(!enough.packet(words, out));
    BOOST_TEST(!enough.packet(ice::resp_command("GET", "k"), out));
}

BOOST_AUTO_TEST_SUITE_END()
