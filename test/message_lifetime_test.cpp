// A message is a view that is valid until the logic returns, whatever other connections do.
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

BOOST_AUTO_TEST_CASE(a_message_stays_valid_while_other_connections_receive) {
    // The danger: sockets share the storage that they read into, and a logic that waits has a view
    // of it.
    test::world w;
    ice::event go(w.io.get_executor());
    auto& waits = w.srv.add(
        ice::tcp_server_action{test::any_port}.protocol(ice::line{}).logic(holds_on{&go}));
    auto& echoes = w.srv.add(ice::tcp_server_action{test::any_port}.protocol(ice::line{}));
    const std::string mine(6000, 'm'), theirs(6000, 't');
    auto p = w.connect(waits.endpoint());
    p.send(mine + "\r\nafter");
    auto q = w.connect(echoes.endpoint());
    for (int i = 0; i < 3; ++i) {
        q.send(theirs + "\r\nha");
        BOOST_TEST((q.read_line() == theirs));
        q.send("lf\r\n");
        BOOST_TEST((q.read_line() == "half"));
    }
    go.set();
    BOOST_TEST((p.read_line() == mine));
    p.send("\r\n");
    BOOST_TEST((p.read_line() == "after"));
}

BOOST_AUTO_TEST_SUITE_END()
