// part_iterator: over words of two letters, which end at a dot.
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <ice/detail/part_iterator.hpp>
#include <iterator>
#include <string>
#include <string_view>

namespace {

struct word {
    std::string_view text{};
};

std::size_t next_word(std::string_view bytes, word& found) noexcept {
    if (bytes.size() < 2 || bytes[0] == '.') return 0;
    found.text = bytes.substr(0, 2);
    return 2;
}

using words = ice::detail::part_iterator<word, next_word>;
static_assert(std::forward_iterator<words>);

std::string joined(std::string_view bytes) {
    std::string all;
    for (words at(bytes); at != words(); ++at) (all += at->text) += ' ';
    return all;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(part_iterator)

BOOST_AUTO_TEST_CASE(it_ends_at_the_end_and_at_what_is_no_part) {
    BOOST_TEST(joined("aabbcc") == "aa bb cc ");
    BOOST_TEST(joined("aabb.cc") == "aa bb ");
    BOOST_TEST(joined("aab") == "aa ");
    BOOST_TEST(joined("") == "");
    BOOST_TEST(joined(".") == "");
}

BOOST_AUTO_TEST_CASE(a_copy_stays_where_it_is) {
    words at("aabb");
    const words before = at++;
    BOOST_TEST((*before).text == "aa");
    BOOST_TEST(at->text == "bb");
    BOOST_TEST((before != at));
    BOOST_TEST((++words(before) == at));
    BOOST_TEST((++at == words()));
}

BOOST_AUTO_TEST_SUITE_END()
