// A message is a view that lives until the logic returns, whatever happens meanwhile.
#include "conversation.hpp"
#include "world.hpp"

namespace {

// Waits for `go`, then answers with the message that it was called with.
struct holds_on {
    ice::event* go;

    ice::task<std::string> operator()(std::string_view message) {
        co_await go->wait();
        co_return std::string(message);
    }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(message_lifetime)

BOOST_AUTO_TEST_CASE(a_message_outlives_the_time_after_which_buffers_are_given_back) {
    // The danger: the buffer under a waiting logic is shrunk after five seconds of rest.
    test::memory_world w;
    ice::event go(w.loop.get_executor());
    test::conversation<ice::line> c(w);
    c.serve(holds_on{&go});
    const std::string large(6000, 'x');
    c.arrive(large + "\r\n");
    c.arrive("");
    w.advance(std::chrono::seconds(6));
    w.advance(std::chrono::seconds(6));
    go.set();
    w.settle();
    BOOST_TEST((c.heard() == large + "\r\n"));
    BOOST_TEST(c.wire.capacity() > 6000U);
    w.advance(std::chrono::seconds(6));  // at rest at last
    BOOST_TEST(c.wire.capacity() == 512U);
}

BOOST_AUTO_TEST_CASE(a_real_connection_gives_its_buffer_back_without_losing_a_byte) {
    // Its pending read points into the buffer, so it is ended and begun again.
    test::world w;
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.protocol(ice::line{}));
    auto p = w.connect(l.endpoint());
    const std::string large(6000, 'x');
    p.send(large + "\r\n");
    BOOST_TEST((p.read_line() == large));
    p.send("ha");
    w.settle();
    auto& bytes = (*l.sessions().begin()).bytes();
    const auto now = bytes.net().now();
    bytes.deadline(now - std::chrono::seconds(10), now + std::chrono::seconds(60),
                   ice::errc::message_timeout);  // as if set ten seconds ago
    bytes.net().deadlines().expire(now);
    w.settle();
    p.send("lf\r\n");
    BOOST_TEST(p.read_line() == "half");
}

BOOST_AUTO_TEST_SUITE_END()
