// Seed defect 9: a signal that was raised while signals were being delivered, or by a timer, woke
// nobody.
#include <asio/steady_timer.hpp>

#include "../world.hpp"

BOOST_AUTO_TEST_CASE(a_waiter_that_is_woken_can_wake_the_next) {
    test::world w;
    ice::event first(w.io.get_executor()), second(w.io.get_executor());
    auto relay = [&]() -> ice::task<bool> {
        const ice::error_code ec = co_await first.wait();
        second.set();  // while the first is being delivered
        co_return !ec;
    };
    auto last = [&]() -> ice::task<bool> {
        const ice::error_code ec = co_await second.wait();
        co_return !ec;
    };
    const auto context =
        std::make_shared<ice::server_context>(ice::make_socket_transport(w.io.get_executor()));
    bool relayed = false;
    auto keep = [&]() -> ice::task<> { relayed = co_await relay(); };
    ice::spawn(context, keep(), "relay");
    asio::steady_timer timer(w.io, std::chrono::milliseconds(1));
    timer.async_wait([&](std::error_code) { first.set(); });  // by a timer
    BOOST_TEST(w.run(last()));
    BOOST_TEST(relayed);
}

BOOST_AUTO_TEST_CASE(a_message_pushed_while_pushes_are_sent_is_sent_too) {
    test::world w;
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}
                            .protocol(ice::line{})
                            .logic([](std::string_view text, ice::session<ice::line>& peer) {
                                BOOST_TEST(!peer.push(text));
                                peer.listener().broadcast(text);
                            }));
    auto a = w.connect(l.endpoint());
    auto b = w.connect(l.endpoint());
    w.until([&] { return l.size() == 2; });
    w.settle();
    a.send("x\r\n");
    BOOST_TEST(b.read_line() == "x");
    BOOST_TEST(a.read_line() == "x");
    BOOST_TEST(a.read_line() == "x");
}
