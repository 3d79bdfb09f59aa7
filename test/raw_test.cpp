// raw: all bytes that have arrived are one message. It adds, drops and searches none.
#include <boost/test/unit_test.hpp>
#include <ice/protocols/raw.hpp>
#include <ice/testing/script.hpp>
#include <string>
#include <vector>

namespace {

std::string all_bytes() {
    std::string all;
    for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
    return all;
}

using messages = std::vector<std::string>;

}  // namespace

BOOST_AUTO_TEST_SUITE(raw)

BOOST_AUTO_TEST_CASE(bytes_that_arrive_together_are_one_message) {
    // An echo server that waits for more bytes would never answer.
    const auto seen = ice::testing::play(ice::raw{}, {"one", "two\r\nthree", "", "\n"});
    BOOST_TEST(seen.messages == (messages{"one", "two\r\nthree", "\n"}),
               boost::test_tools::per_element());
    BOOST_TEST(seen.left == 0U);
    BOOST_TEST(!seen.error);
}

BOOST_AUTO_TEST_CASE(an_empty_input_is_no_message) {
    // The session would answer empty messages for ever.
    BOOST_TEST(!ice::raw{}.parse("").has_message());
    BOOST_TEST(!ice::raw{}.parse("").failed());
    BOOST_TEST(ice::testing::play(ice::raw{}, "").messages.empty());
}

BOOST_AUTO_TEST_CASE(every_byte_passes_at_every_split) {
    // The messages depend on the split, their bytes must not.
    const std::string all = all_bytes();
    for (std::size_t cut = 0; cut <= all.size(); ++cut) {
        const auto seen = ice::testing::play(
            ice::raw{}, {std::string_view(all).substr(0, cut), std::string_view(all).substr(cut)});
        std::string joined;
        for (const auto& m : seen.messages) joined += m;
        BOOST_TEST(joined == all);
        BOOST_TEST(seen.left == 0U);
    }
}

BOOST_AUTO_TEST_CASE(a_message_is_the_input_itself) {
    // The message is no copy: the echo of a megabyte allocates nothing here.
    const std::string input(1024 * 1024, 'x');
    auto found = ice::raw{}.parse(input);
    BOOST_TEST(found.message().data() == input.data());
    BOOST_TEST(found.size() == input.size());
}

BOOST_AUTO_TEST_CASE(a_message_is_sent_as_it_is) {
    // Otherwise the peer of an echo would get more bytes than it sent.
    ice::raw p;
    std::string out = "before";
    BOOST_TEST(!ice::packet(p, std::string_view(all_bytes()), out));
    BOOST_TEST(!ice::packet(p, std::string_view(), out));
    BOOST_TEST(out == "before" + all_bytes());
}

BOOST_AUTO_TEST_SUITE_END()
