// Seed defect 7: input had no bound, and more than 1 MiB that came while a request was being
// answered was met with a reset.
#include "../world.hpp"

BOOST_AUTO_TEST_CASE(a_flood_while_a_logic_waits_is_held_back_and_then_answered) {
    test::world w;
    ice::event go(w.io.get_executor());
    auto wait = [&](std::string_view, ice::session<ice::line>&) -> ice::task<std::string> {
        co_await go.wait();
        co_return "done";
    };
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.protocol(ice::line{}).logic(wait));
    auto p = w.connect(l.endpoint());
    const std::string line = std::string(1022, 'x') + "\r\n";
    std::string flood;
    for (int i = 0; i < 1024; ++i) flood += line;
    std::size_t taken = 0, before = 1;
    while (taken != before) {  // until neither the kernel nor the server takes any more
        before = taken;
        for (int i = 0; i < 64; ++i) taken += p.send_some(flood.substr(taken % line.size()));
        w.settle();
    }
    BOOST_TEST(taken > 64U * 1024);
    BOOST_TEST((*l.sessions().begin()).bytes().data().size() <= 64U * 1024, "limits::inbox");
    BOOST_TEST(l.counters().messages == 1U);

    go.set();
    for (std::size_t i = 0; i < taken / line.size(); ++i) BOOST_TEST(p.read_line() == "done");
    BOOST_TEST(!p.was_reset);
}

BOOST_AUTO_TEST_CASE(an_endless_message_is_refused_at_its_limit) {
    test::world w;
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.protocol(ice::line{}));
    auto p = w.connect(l.endpoint());
    const std::string part(64 * 1024, 'x');
    while (!p.poll()) {
        p.send_some(part);
        w.settle();
    }
    BOOST_TEST(l.counters().bad_messages == 1U);
}
