// apps/bounded_map and its hash: keys come from peers, who may know the algorithm.
#include "../apps/bounded_map.hpp"

#include <boost/test/unit_test.hpp>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

BOOST_AUTO_TEST_SUITE(bounded_map_)

BOOST_AUTO_TEST_CASE(the_hash_is_the_published_one) {
    // Vectors of the authors' reference, of SipHash-2-4: key 00 01 .. 0f, bytes 00 01 .. 0e.
    const siphash_key key{0x0706050403020100, 0x0f0e0d0c0b0a0908};
    std::string bytes;
    for (char c = 0; c < 15; ++c) bytes += c;
    BOOST_TEST((siphash<2, 4>(key, bytes).value()) == 0xa129ca6149be45e5);
    BOOST_TEST((siphash<2, 4>(key, bytes.substr(0, 8)).value()) == 0x93f5f5799a932462);
    BOOST_TEST((siphash<2, 4>(key, "").value()) == 0x726fdb47dd0e0e31);
    BOOST_TEST((siphash<1, 3>(key, "").value()) == 0xabac0158050fc4dc);  // Rust's test
}

BOOST_AUTO_TEST_CASE(keys_that_collide_under_std_hash_do_not_collide) {
    // 8,192 colliding keys cost 14 s of CPU: each SET compared its key with all earlier ones.
    constexpr std::size_t count = 500;
    std::unordered_map<std::string, int> table;
    for (std::size_t i = 0; i < count; ++i) table.emplace(std::to_string(i), 0);
    const std::size_t buckets = table.bucket_count();  // a table of that size has so many
    std::vector<std::string> chosen;
    for (int i = 0; chosen.size() < count; ++i) {
        std::string key = "key:" + std::to_string(i);
        if (std::hash<std::string_view>()(key) % buckets == 0) chosen.push_back(std::move(key));
    }
    table.clear();
    for (const auto& key : chosen) table.emplace(key, 0);
    BOOST_TEST_REQUIRE(table.bucket_size(0) == count, "the attack");
    bounded_map map(1 << 20);
    for (const auto& key : chosen) BOOST_TEST(map.keep(key, "x"));
    BOOST_TEST(map.fullest_bucket() <= 20U);  // of random keys it is 5; 20 by chance once in 1e15
}

BOOST_AUTO_TEST_CASE(each_map_has_a_key_of_its_own) {
    // A peer could find out a key that all processes share on another machine.
    std::set<std::uint64_t> keys;
    for (int i = 0; i < 100; ++i) keys.insert(siphash_key::random().k0);
    BOOST_TEST(keys.size() == 100U);
}

BOOST_AUTO_TEST_CASE(values_are_found_changed_and_removed) {
    bounded_map map(1000);
    BOOST_TEST(!map.find("a"));
    BOOST_TEST(map.keep("a", "1"));
    BOOST_TEST(map.keep("a", "2"));
    BOOST_TEST_REQUIRE(map.find("a"));
    BOOST_TEST(*map.find("a") == "2");
    BOOST_TEST(!map.keep("b", std::string(1000, 'x')), "there is no room");
    BOOST_TEST(!map.find("b"));
    BOOST_TEST(map.forget("a"));
    BOOST_TEST(!map.forget("a"));
}

BOOST_AUTO_TEST_CASE(all_values_are_removed_and_their_room_is_free) {
    bounded_map map(1000);
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST(map.keep("a", std::string(800, 'x')));
        map.forget_all();
        BOOST_TEST(!map.find("a"));
    }
}

BOOST_AUTO_TEST_SUITE_END()
