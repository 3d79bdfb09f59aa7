// may_return(): the decision that keeps replies from other callers, without a connection.
#include <boost/test/unit_test.hpp>
#include <ice/detail/exchange_state.hpp>

namespace {

constexpr ice::exchange_state clean{.asked = 1, .replied = 1, .reusable = true};

}  // namespace

BOOST_AUTO_TEST_SUITE(exchange_state)

BOOST_AUTO_TEST_CASE(a_complete_exchange_returns_the_connection) {
    BOOST_TEST(ice::may_return(clean));
    ice::exchange_state longer = clean;
    longer.asked = longer.replied = 7;
    BOOST_TEST(ice::may_return(longer));
    ice::exchange_state unused = clean;
    unused.asked = unused.replied = 0;
    BOOST_TEST(ice::may_return(unused));
}

BOOST_AUTO_TEST_CASE(each_single_doubt_closes_the_connection) {
    // Each of them, if it were ignored, could give the reply of one caller to another.
    ice::exchange_state e = clean;
    e.replied = 0;
    BOOST_TEST(!ice::may_return(e), "no reply yet");
    e = clean;
    e.replied = 2;
    BOOST_TEST(!ice::may_return(e), "two replies");
    e = clean;
    e.unsent = 1;
    BOOST_TEST(!ice::may_return(e), "not wholly sent");
    e = clean;
    e.residual = 1;
    BOOST_TEST(!ice::may_return(e), "a byte is left over");
    e = clean;
    e.failed = true;
    BOOST_TEST(!ice::may_return(e), "an error");
    e = clean;
    e.reusable = false;
    BOOST_TEST(!ice::may_return(e), "the borrower never said that it was done");
}

BOOST_AUTO_TEST_SUITE_END()
