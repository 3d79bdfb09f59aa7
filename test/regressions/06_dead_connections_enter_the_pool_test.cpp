// Seed defect 6: of all errors of connect only two counted; with the others a dead connection
// entered the pool.
#include "../world.hpp"

namespace {

constexpr ice::pool_name<ice::line> name{"nowhere"};

// The error of the first request to an upstream that cannot be reached.
ice::error_code first_error(const ice::address& upstream) {
    test::world w;
    auto& pool = w.srv.add(ice::tcp_client_action{upstream, name, 2});
    auto ask = [&]() -> ice::task<ice::error_code> {
        const auto reply = co_await pool.request("q");
        co_return reply.error();
    };
    const auto ec = w.run(ask());
    BOOST_TEST(pool.idle() == 0U);
    BOOST_TEST(pool.counters().connect_failures >= 1U);
    return ec;
}

}  // namespace

BOOST_AUTO_TEST_CASE(after_any_error_of_connect_no_connection_enters_the_pool) {
    const auto no_file = first_error(ice::address("unix:/no/such/socket"));
    BOOST_TEST(no_file.message() == "cannot connect: No such file or directory");
    BOOST_TEST((no_file == ice::condition::not_executed));

    const auto no_access = first_error(ice::address("255.255.255.255:9"));  // a broadcast address
    BOOST_TEST(no_access.message().starts_with("cannot connect: "), no_access.message());
    BOOST_TEST((no_access == ice::condition::not_executed));

    const auto refused = first_error(ice::address("127.0.0.1:1"));
    BOOST_TEST((refused == std::errc::connection_refused));
}
