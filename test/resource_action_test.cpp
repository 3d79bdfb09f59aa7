// resource_action: what a wrong description of a pool of resources does. What its functions do is
// in resource_pool_test.cpp, and what does not compile in compile_fail/.
#include <ice/resource_pool.hpp>

#include <ice/server.hpp>
#include <ice/testing/sim.hpp>
#include <memory>
#include <stdexcept>
#include <string>

#include "quiet_server.hpp"

namespace {

using handle = std::unique_ptr<int>;  // it can only be moved
constexpr ice::resource_name<handle> name{"db"};
const ice::address where{"10.0.0.1", 5432};

ice::task<ice::result<handle>> make_one(ice::address) { co_return std::make_unique<int>(7); }

struct fixture {
    ice::testing::simulation sim;
    quiet_server srv{sim.net()};
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(resource_action, fixture)

BOOST_AUTO_TEST_CASE(it_needs_a_connect) {
    BOOST_CHECK_EXCEPTION(srv.add(ice::resource_action{where, name, 1}), std::invalid_argument,
                          [](const auto& e) {
                              return std::string(e.what()) ==
                                     "pool 'db': it needs a .connect() that makes a resource";
                          });
    BOOST_CHECK_THROW(srv.add(ice::resource_action{where, name, 0}.connect(make_one)),
                      std::invalid_argument);
}

BOOST_AUTO_TEST_CASE(its_name_is_that_of_one_pool_of_one_type) {
    srv.add(ice::resource_action{where, name, 1}.connect(make_one));
    BOOST_CHECK_THROW(srv.add(ice::resource_action{where, name, 1}.connect(make_one)),
                      std::invalid_argument);
    BOOST_CHECK_THROW(srv.get(ice::resource_name<int>{"db"}), std::invalid_argument);
    BOOST_CHECK_THROW(srv.get(ice::resource_name<handle>{"nowhere"}), std::invalid_argument);
    const std::string configured = "db";
    const auto leased = sim.run(srv.get(ice::resource_name<handle>{configured}).acquire());
    BOOST_TEST(***leased == 7);
}

BOOST_AUTO_TEST_SUITE_END()
