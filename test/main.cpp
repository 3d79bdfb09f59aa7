// The main function of every test program. It is compiled once and linked to all of them.
#define BOOST_TEST_MODULE ice
#include <boost/test/unit_test.hpp>
