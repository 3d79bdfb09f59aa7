// uid: the number of a connection, and how it is printed.
#include <fmt/format.h>

#include <boost/test/unit_test.hpp>
#include <ice/uid.hpp>
#include <limits>
#include <map>
#include <type_traits>

BOOST_AUTO_TEST_SUITE(uid)

BOOST_AUTO_TEST_CASE(uids_are_ordered_by_their_numbers) {
    // The order of the connections' beginnings, and a key of a map.
    constexpr ice::uid first(1);
    constexpr ice::uid second(2);
    BOOST_TEST((first < second));
    BOOST_TEST((second > first));
    BOOST_TEST((first != second));
    BOOST_TEST((first == ice::uid(1)));
    const std::map<ice::uid, int> names{{second, 2}, {first, 1}};
    BOOST_TEST(names.begin()->second == 1);
    BOOST_TEST(names.at(ice::uid(2)) == 2);
}

BOOST_AUTO_TEST_CASE(a_uid_is_printed_with_its_sign) {
    // A bare number in a log could be a descriptor or a port.
    BOOST_TEST(fmt::format("{}", ice::uid(42)) == "#42");
    BOOST_TEST(fmt::format("session {}.", ice::uid()) == "session #0.");
    const auto most = std::numeric_limits<std::uint64_t>::max();
    BOOST_TEST(fmt::format("{}", ice::uid(most)) == "#18446744073709551615");
    BOOST_TEST(ice::uid(most).number() == most);
}

BOOST_AUTO_TEST_CASE(a_number_is_no_uid_by_itself) {
    // Otherwise find(port) would compile.
    static_assert(!std::is_convertible_v<std::uint64_t, ice::uid>);
    static_assert(!std::is_convertible_v<ice::uid, std::uint64_t>);
    BOOST_TEST(ice::uid().number() == 0U);
}

BOOST_AUTO_TEST_SUITE_END()
