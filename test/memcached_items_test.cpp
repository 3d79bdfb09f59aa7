// apps/memcached_items: requests whose answers are views of what is kept.
#include "../apps/memcached_items.hpp"

#include <boost/test/unit_test.hpp>
#include <string>
#include <string_view>

BOOST_AUTO_TEST_SUITE(memcached_items_)

BOOST_AUTO_TEST_CASE(a_key_that_is_read_and_touched_twice_in_one_request) {
    // The danger: the second touch stores the item anew, and the answer views the first one. The
    // address sanitizer tells.
    memcached_items items{bounded_map(1000)};
    const auto answer = [&](std::string_view request) {
        const auto said = items(ice::memcached_request_view(request));
        return said ? std::string(said->bytes()) : "none";
    };
    BOOST_TEST(answer("set k 0 0 1\r\nx\r\n") == "STORED\r\n");
    BOOST_TEST(answer("gat 100 k none k\r\n") == "VALUE k 0 1\r\nx\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
    BOOST_TEST(answer("gat -1 k k\r\n") == "END\r\n");
}

BOOST_AUTO_TEST_SUITE_END()
