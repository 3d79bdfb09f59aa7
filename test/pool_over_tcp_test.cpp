// A pool over real sockets: what the kernel does, which no simulation has. pool_test.cpp has the
// rest, in virtual time.
#include <ice/pool.hpp>

#include "upstream.hpp"

namespace {

using namespace test;

constexpr ice::pool_name<ice::line> name{"up"};

struct fixture : world {
    using reply = ice::result<std::string>;

    ice::pool<ice::line>& add(std::size_t size, ice::pool_timeouts t = {},
                              ice::pool_limits l = {}) {
        return srv.add(ice::tcp_client_action{up.where(), name, size}.timeouts(t).limits(l));
    }

    // A request that is in flight; its reply stands in the returned slot.
    std::optional<reply>& ask(std::string text, ice::duration timeout = 5s) {
        auto& slot = replies.emplace_back();
        ice::spawn(context, keep(srv.get(name), std::move(text), timeout, slot), "caller");
        settle();
        return slot;
    }
    reply wait(std::optional<reply>& slot) {
        until([&] { return slot.has_value(); }, "a reply");
        return *slot;
    }
    static ice::task<> keep(ice::pool<ice::line>& p, std::string text, ice::duration timeout,
                            std::optional<reply>& slot) {
        slot = co_await p.request(text, timeout);
    }

    upstream up{*this};
    std::list<std::optional<reply>> replies;
    std::shared_ptr<ice::server_context> context =
        std::make_shared<ice::server_context>(ice::make_socket_transport(io.get_executor()));
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(pool_over_tcp, fixture)

BOOST_AUTO_TEST_CASE(an_urgent_byte_that_arrives_while_idle_closes_the_connection_too) {
    // The danger: the kernel hides the byte from the check before a request.
    auto& p = add(1);
    auto& first = up.accept();
    auto& r = ask("one");
    first.read_line();
    first.send("right\r\n");
    BOOST_TEST(*wait(r) == "right");
    first.send_urgent("!");
    auto& next = ask("two");
    auto& second = up.accept();
    BOOST_TEST(second.read_line() == "two");
    second.send("fresh\r\n");
    BOOST_TEST(*wait(next) == "fresh");
    BOOST_TEST(p.counters().stale == 1U);
}

BOOST_AUTO_TEST_CASE(connects_that_fail_without_waiting_do_not_starve_the_loop) {
    // connect() to a missing path ends at once, in the handler that began it.
    auto& p = srv.add(ice::tcp_client_action{ice::address("unix:/no/such"), name, 3});
    for (int i = 0; i < 3; ++i) {
        BOOST_TEST((wait(ask("anyone")).error() == ice::condition::not_executed));
    }
    BOOST_TEST(p.counters().connects < 20U);
}

BOOST_AUTO_TEST_CASE(connecting_ends_at_the_connect_timeout) {
    // A full backlog takes no more connections, and does not refuse them.
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    BOOST_TEST_REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    BOOST_TEST_REQUIRE(::listen(fd, 0) == 0);
    socklen_t size = sizeof at;
    ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size);
    const tcp::endpoint where(asio::ip::address_v4::loopback(), ntohs(at.sin_port));
    std::vector<tcp::socket> fillers;
    for (int i = 0; i < 4; ++i) {
        fillers.emplace_back(io);
        fillers.back().async_connect(where, [](std::error_code) {});
    }
    settle();
    ice::pool_timeouts t;
    t.connect = 30ms;
    auto& p = srv.add(
        ice::tcp_client_action{ice::address("127.0.0.1", where.port()), name, 1}.timeouts(t));
    auto& r = ask("one");
    BOOST_TEST(wait(r).error() == ice::errc::connect_timeout);
    BOOST_TEST((r->error() == ice::condition::not_executed));
    BOOST_TEST(p.counters().connect_failures >= 1U);
    ::close(fd);
}

BOOST_AUTO_TEST_SUITE_END()
