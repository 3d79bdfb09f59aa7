// resp_value: what the values of RESP3 say of themselves, and the values that a server makes. RESP2
// and all malformed values are in resp_test.cpp.
#include <boost/test/unit_test.hpp>
#include <cmath>
#include <ice/protocols/resp.hpp>
#include <ice/resp_value.hpp>
#include <ice/testing/script.hpp>
#include <limits>
#include <string>
#include <vector>

namespace {

using ice::resp_type;

// The one value that `bytes` are, which are the same at every cut.
ice::resp_value value(std::string_view bytes) {
    const auto seen = ice::testing::play(ice::resp(), bytes);
    BOOST_TEST_REQUIRE(seen.messages.size() == 1U, bytes);
    BOOST_TEST(seen.messages[0].bytes() == bytes);
    BOOST_TEST(ice::testing::split_difference(ice::resp(), bytes) == "", bytes);
    return seen.messages[0];
}

}  // namespace

BOOST_AUTO_TEST_SUITE(resp_value)

BOOST_AUTO_TEST_CASE(each_type_of_resp3_is_known_by_its_first_byte) {
    const std::pair<const char*, resp_type> types[]{
        {"_\r\n", resp_type::null},
        {"#t\r\n", resp_type::boolean},
        {",1.5\r\n", resp_type::double_number},
        {"(34928903284092385\r\n", resp_type::big_number},
        {"!3\r\nERR\r\n", resp_type::bulk_error},
        {"=6\r\ntxt:hi\r\n", resp_type::verbatim_string},
        {"%0\r\n", resp_type::map},
        {"~0\r\n", resp_type::set}};
    for (const auto& [bytes, type] : types) BOOST_TEST((value(bytes).type() == type), bytes);
    BOOST_TEST((ice::resp_push({}).type() == resp_type::push));
    BOOST_TEST(value("_\r\n").is_null());
    BOOST_TEST(value("!3\r\nERR\r\n").is_error());
    BOOST_TEST(!value("#f\r\n").is_null());
    BOOST_TEST(!value("%0\r\n").is_null());
}

BOOST_AUTO_TEST_CASE(a_double_is_read_with_all_its_digits) {
    const std::pair<const char*, double> numbers[]{
        {",0\r\n", 0},
        {",10\r\n", 10},
        {",+1.5\r\n", 1.5},
        {",-0.10000000000000001\r\n", -0.1},
        {",1.\r\n", 1},
        {",1e3\r\n", 1000},
        {",-1.5E-2\r\n", -0.015},
        {",1.7976931348623157e+308\r\n", std::numeric_limits<double>::max()},
        {",inf\r\n", std::numeric_limits<double>::infinity()},
        {",-inf\r\n", -std::numeric_limits<double>::infinity()},
        {",1e400\r\n", std::numeric_limits<double>::infinity()},  // beyond the range
        {",-1e400\r\n", -std::numeric_limits<double>::infinity()},
        {",1e-400\r\n", 0},
        {":-7\r\n", -7}};
    for (const auto& [bytes, number] : numbers) BOOST_TEST(value(bytes).number() == number, bytes);
    for (const char* bytes : {",nan\r\n", ",-nan\r\n"})
        BOOST_TEST(std::isnan(value(bytes).number()), bytes);
    const std::string zeros(400, '0');
    BOOST_TEST(value(",0." + zeros + "1\r\n").number() == 0);
    BOOST_TEST(std::isinf(value(",1" + zeros + "\r\n").number()));
    BOOST_TEST(value(",1.25\r\n").text() == "1.25");
    BOOST_TEST(value(",1.25\r\n").integer() == 0);
    BOOST_TEST(value("$3\r\n1.5\r\n").number() == 0, "a bulk string is no number");
}

BOOST_AUTO_TEST_CASE(a_boolean_is_no_integer) {
    BOOST_TEST(value("#t\r\n").boolean());
    BOOST_TEST(!value("#f\r\n").boolean());
    BOOST_TEST(!value(":1\r\n").boolean());
    BOOST_TEST(value("#t\r\n").text() == "");
    BOOST_TEST(value("|0\r\n#t\r\n").boolean());
}

BOOST_AUTO_TEST_CASE(texts_of_resp3_have_no_framing) {
    BOOST_TEST(value("=15\r\ntxt:Some string\r\n").text() == "Some string");
    BOOST_TEST(value("=4\r\nmkd:\r\n").text() == "");
    BOOST_TEST(value("=8\r\ntxt:\r\n\r\n\r\n").text() == "\r\n\r\n");
    BOOST_TEST(value("!8\r\nERR a\r\nb\r\n").text() == "ERR a\r\nb");
    BOOST_TEST(value("(-3492890328409238509324850943850943825024385\r\n").text() ==
               "-3492890328409238509324850943850943825024385");
    BOOST_TEST(value("(+1\r\n").text() == "+1");
    BOOST_TEST(value("_\r\n").text() == "");
    BOOST_TEST(value("%1\r\n+k\r\n+v\r\n").text() == "");
}

BOOST_AUTO_TEST_CASE(pairs_are_those_of_a_map_and_of_an_array) {
    // The same code reads the reply to HGETALL whichever version the connection speaks.
    for (const char* bytes :
         {"%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n+c\r\n", "*4\r\n+a\r\n:1\r\n+b\r\n*1\r\n+c\r\n",
          "|0\r\n%2\r\n+a\r\n:1\r\n+b\r\n*1\r\n+c\r\n"}) {
        const auto v = value(bytes);
        std::vector<std::string> keys;
        std::size_t elements = 0;
        for (const auto& [key, held] : v.pairs()) {
            keys.emplace_back(key.text());
            elements += held.size() + static_cast<std::size_t>(held.integer());
        }
        BOOST_TEST(keys == (std::vector<std::string>{"a", "b"}), boost::test_tools::per_element());
        BOOST_TEST(elements == 2U);
        BOOST_TEST(v.pairs().size() == 2U);
    }
    const auto odd = value("*3\r\n+a\r\n:1\r\n+b\r\n");
    BOOST_TEST_REQUIRE(odd.pairs().size() == 2U);
    BOOST_TEST((*++odd.pairs().begin()).value.is_null());
    for (const char* bytes :
         {"%0\r\n", "*0\r\n", "*-1\r\n", "_\r\n", "~2\r\n+a\r\n+b\r\n", "+a\r\n"})
        BOOST_TEST(value(bytes).pairs().size() == 0U, bytes);
    BOOST_TEST(ice::resp_value(std::string()).pairs().size() == 0U);
    BOOST_TEST(ice::resp_value(std::string()).attributes().size() == 0U);
}

BOOST_AUTO_TEST_CASE(a_value_of_resp3_that_is_made_is_parsed_as_the_same_value) {
    const auto one = ice::resp_integer(1);
    const std::pair<ice::resp_value, const char*> made[]{
        {ice::resp_null(), "_\r\n"},
        {ice::resp_boolean(true), "#t\r\n"},
        {ice::resp_boolean(false), "#f\r\n"},
        {ice::resp_double(0.1), ",0.1\r\n"},
        {ice::resp_double(-std::numeric_limits<double>::infinity()), ",-inf\r\n"},
        {ice::resp_double(-std::numeric_limits<double>::quiet_NaN()), ",nan\r\n"},
        {ice::resp_verbatim_string("a\r\nb"), "=8\r\ntxt:a\r\nb\r\n"},
        {ice::resp_verbatim_string("*a*", "mkd"), "=7\r\nmkd:*a*\r\n"},
        {ice::resp_map({{ice::resp_simple_string("k"), one}}), "%1\r\n+k\r\n:1\r\n"},
        {ice::resp_map({}), "%0\r\n"},
        {ice::resp_set({one, ice::resp_null()}), "~2\r\n:1\r\n_\r\n"}};
    for (const auto& [v, bytes] : made) {
        BOOST_TEST(v.bytes() == bytes);
        BOOST_TEST((value(v.bytes()) == v));
    }
    BOOST_TEST(ice::resp_push({one}).bytes() == ">1\r\n:1\r\n");
    for (const double number : {std::numeric_limits<double>::max(), 1e23, 5e-324, -1.0 / 3})
        BOOST_TEST(value(ice::resp_double(number).bytes()).number() == number);
}

BOOST_AUTO_TEST_SUITE_END()
