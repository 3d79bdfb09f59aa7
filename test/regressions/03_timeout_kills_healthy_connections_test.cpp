// Seed defect 3: the timer of a request fired even after its reply had come, and closed the
// connection.
#include "../upstream.hpp"

BOOST_AUTO_TEST_CASE(a_connection_outlives_the_timeouts_of_the_requests_it_has_served) {
    test::world w;
    test::upstream up(w);
    constexpr ice::pool_name<ice::line> name{"up"};
    auto& pool = w.srv.add(ice::tcp_client_action{up.where(), name, 1});
    auto& conn = up.accept();
    bool replied = false;
    auto ask = [&]() -> ice::task<> {
        const auto reply = co_await pool.request("q", std::chrono::milliseconds(20));
        replied = reply.has_value();
    };
    const auto context =
        std::make_shared<ice::server_context>(ice::make_socket_transport(w.io.get_executor()));
    for (int i = 0; i < 2; ++i) {
        replied = false;
        ice::spawn(context, ask(), "caller");
        BOOST_TEST(conn.read_line() == "q");
        conn.send("a\r\n");
        w.until([&] { return replied; });
        const auto later = context->net->now() + std::chrono::milliseconds(40);
        w.until([&] { return context->net->now() > later; }, "the request's time to pass");
    }
    BOOST_TEST(!conn.poll());
    BOOST_TEST(pool.counters().connects == 1U);
}
