// happy_eyeballs: the order and the times of the attempts to connect to the addresses of a name.
#include "../lib/transport/happy_eyeballs.hpp"

#include <boost/test/unit_test.hpp>
#include <string>

namespace {

using namespace std::chrono_literals;
using ice::errc;
using ice::happy_eyeballs;

const ice::time_point start{std::chrono::hours(1)};

std::vector<ice::address> addresses(std::initializer_list<const char*> hosts) {
    std::vector<ice::address> all;
    for (const char* host : hosts) all.emplace_back(host, 80);
    return all;
}

// All that are tried when each fails at once.
std::string order(happy_eyeballs eyes) {
    std::string tried;
    while (const ice::address* a = eyes.next(start)) {
        tried += a->host() + " ";
        eyes.failed(errc::closed);
    }
    return tried;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(happy_eyeballs_)

BOOST_AUTO_TEST_CASE(address_families_alternate_beginning_with_that_of_the_first_address) {
    // Ten addresses of a family whose route is broken would use up the whole timeout.
    BOOST_TEST(order(happy_eyeballs(addresses({"::1", "::2", "::3", "1.0.0.1", "1.0.0.2"}))) ==
               "::1 1.0.0.1 ::2 1.0.0.2 ::3 ");
    BOOST_TEST(order(happy_eyeballs(addresses({"1.0.0.1", "1.0.0.2", "::1"}))) ==
               "1.0.0.1 ::1 1.0.0.2 ");
    BOOST_TEST(order(happy_eyeballs(addresses({"1.0.0.2", "1.0.0.1"}))) == "1.0.0.2 1.0.0.1 ");
}

BOOST_AUTO_TEST_CASE(a_preferred_address_is_first_if_the_name_still_has_it) {
    const ice::address known("1.0.0.2", 80), gone("1.0.0.9", 80);
    const auto found = addresses({"1.0.0.1", "::1", "1.0.0.2"});
    BOOST_TEST(order(happy_eyeballs(found, &known)) == "1.0.0.2 1.0.0.1 ::1 ");
    BOOST_TEST(order(happy_eyeballs(found, &gone)) == "1.0.0.1 ::1 1.0.0.2 ");
    happy_eyeballs eyes(found, &known);
    BOOST_TEST(eyes.is_first(known));
    BOOST_TEST(!eyes.is_first(found[0]));
}

BOOST_AUTO_TEST_CASE(the_next_attempt_begins_after_250_ms_and_not_before) {
    happy_eyeballs eyes(addresses({"1.0.0.1", "1.0.0.2", "1.0.0.3"}));
    BOOST_TEST(eyes.next(start)->host() == "1.0.0.1");
    BOOST_TEST(!eyes.next(start));
    BOOST_TEST((eyes.due() == start + 250ms));
    BOOST_TEST(!eyes.next(start + 250ms - 1ns));
    // The loop was late: what follows counts from then.
    BOOST_TEST(eyes.next(start + 300ms)->host() == "1.0.0.2");
    BOOST_TEST((eyes.due() == start + 550ms));
    BOOST_TEST(eyes.next(start + 550ms)->host() == "1.0.0.3");
    BOOST_TEST((eyes.due() == ice::never));
    BOOST_TEST(!eyes.next(ice::never));
    BOOST_TEST(!eyes.have_all_failed());
}

BOOST_AUTO_TEST_CASE(after_a_failure_the_next_attempt_is_due_at_once) {
    happy_eyeballs eyes(addresses({"1.0.0.1", "1.0.0.2", "1.0.0.3"}));
    eyes.next(start);
    eyes.failed(errc::closed);
    BOOST_TEST((eyes.due() <= start));
    BOOST_TEST(eyes.next(start)->host() == "1.0.0.2");
    BOOST_TEST(!eyes.next(start));
    BOOST_TEST((eyes.due() == start + 250ms));
}

BOOST_AUTO_TEST_CASE(when_all_attempts_have_failed_the_first_error_is_returned) {
    // On a host without IPv6 the last error is "Address family not supported", which misleads.
    happy_eyeballs eyes(addresses({"127.0.0.1", "::1"}));
    eyes.next(start);
    eyes.next(start + 250ms);
    eyes.failed(errc::stopped);
    BOOST_TEST(!eyes.have_all_failed());
    eyes.failed(errc::closed);
    BOOST_TEST(eyes.have_all_failed());
    BOOST_TEST(eyes.why() == errc::stopped);
}

BOOST_AUTO_TEST_CASE(a_name_without_addresses_is_not_found) {
    happy_eyeballs eyes({});
    BOOST_TEST(!eyes.next(start));
    BOOST_TEST(eyes.have_all_failed());
    BOOST_TEST(eyes.why() == errc::host_not_found);
}

BOOST_AUTO_TEST_CASE(no_more_addresses_than_the_bound_are_tried) {
    // Each attempt is a socket that may be open for the whole connect.
    for (const std::size_t n : {15U, 16U, 17U}) {
        std::vector<ice::address> many;
        for (std::size_t i = 1; i <= n; ++i) many.emplace_back("1.0.0." + std::to_string(i), 80);
        happy_eyeballs eyes(many, &many.back());
        std::size_t tried = 0;
        for (auto now = start; const auto* a = eyes.next(now); now += 250ms)
            BOOST_TEST((++tried != 1 || *a == many.back()));
        BOOST_TEST(tried == std::min<std::size_t>(n, 16));
    }
}

BOOST_AUTO_TEST_SUITE_END()
