// Seed defect 11: waiters for a pool's connection were served last in, first out.
#include "../upstream.hpp"

BOOST_AUTO_TEST_CASE(under_a_steady_load_the_first_to_wait_is_the_first_to_be_served) {
    // If a newer waiter always comes first, the oldest one is never served.
    test::world w;
    test::upstream up(w);
    constexpr ice::pool_name<ice::line> name{"up"};
    auto& pool = w.srv.add(ice::tcp_client_action{up.where(), name, 1});
    auto& conn = up.accept();
    w.until([&] { return pool.idle() == 1; });
    std::vector<int> served;
    auto ask = [&](int number) -> ice::task<> {
        const auto reply = co_await pool.request(std::to_string(number));
        if (reply) served.push_back(number);
    };
    const auto context =
        std::make_shared<ice::server_context>(ice::make_socket_transport(w.io.get_executor()));
    int asked = 0;
    for (; asked < 5; ++asked) ice::spawn(context, ask(asked), "caller");
    for (int i = 0; i < 20; ++i) {
        BOOST_TEST(conn.read_line() == std::to_string(i));
        ice::spawn(context, ask(asked++), "caller");
        w.settle();
        conn.send("a\r\n");
    }
    w.until([&] { return served.size() == 20; });
    BOOST_TEST(std::is_sorted(served.begin(), served.end()));
}
