// The protocol of step 3 of the tutorial, which users copy: how many bytes it searches.
#include <boost/test/unit_test.hpp>
#include <ice/testing/script.hpp>

#define main() \
    unused;    \
    void tutorial()  // this program has another main()
#include "../apps/tutorial/3_protocol.cpp"
#undef main

#include "printing.hpp"

BOOST_AUTO_TEST_SUITE(tutorial_protocol)

BOOST_AUTO_TEST_CASE(each_byte_of_a_line_is_searched_once_at_any_split) {
    // The danger: a parser that begins again with each piece takes O(n * n) for n bytes, and a peer
    // that sends few bytes at a time stops the server.
    const std::size_t size = 1024 * 1024, piece = 16;
    std::string input;
    telnet protocol;
    std::size_t compared = 0;
    while (input.size() < size) {
        input.append(piece, 'x');
        compared += input.size() - protocol.searched;
        BOOST_TEST_REQUIRE(!protocol.parse(input).has_message());
    }
    BOOST_TEST(compared <= size + size / piece);  // the last byte of each piece twice
    input += "\r\n";
    compared += input.size() - protocol.searched;
    const auto found = protocol.parse(input);
    BOOST_TEST_REQUIRE(found.has_message());
    BOOST_TEST(found.size() == input.size());
    BOOST_TEST(protocol.searched == 0U, "the next line is looked at from its beginning");
    BOOST_TEST(compared <= size + size / piece + 3);
}

BOOST_AUTO_TEST_CASE(lines_are_the_same_at_every_split) {
    BOOST_TEST(ice::testing::split_difference(telnet{}, "gettime\r\n\r\n\r\r\n\n\rx\r\n") == "");
}

BOOST_AUTO_TEST_CASE(an_empty_input_is_no_line) {
    telnet protocol;
    BOOST_TEST(!protocol.parse("").has_message());
    BOOST_TEST(protocol.parse("a\r\n").has_message());
}

BOOST_AUTO_TEST_SUITE_END()
