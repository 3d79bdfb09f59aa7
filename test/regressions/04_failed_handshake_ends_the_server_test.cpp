// Seed defect 4: one failed handshake ended the whole server.
#include "../world.hpp"

namespace {

// Says hello, and wants the password before anything else. May throw.
struct guarded : ice::line {
    ice::task<bool> handshake(ice::session<guarded>& peer) {
        const auto sent = co_await peer.send("hello");
        auto word = co_await peer.receive();
        if (sent || !word) co_return false;
        if (*word == "throw") throw std::runtime_error("in the handshake");
        co_return *word == "sesame";
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(a_handshake_that_fails_or_throws_closes_only_its_own_connection) {
    test::world w;
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.protocol(guarded{}));
    auto good = w.connect(l.endpoint());
    BOOST_TEST(good.read_line() == "hello");
    good.send("sesame\r\n");
    for (const auto* word : {"wrong\r\n", "throw\r\n"}) {
        auto bad = w.connect(l.endpoint());
        BOOST_TEST(bad.read_line() == "hello");
        bad.send(word);
        BOOST_TEST(bad.read_to_end() == "");
    }
    auto gone = w.connect(l.endpoint());
    gone.close();
    w.until([&] { return l.counters().accepted == 4 && l.size() == 1; });
    BOOST_TEST(l.counters().handshakes_failed == 2U);
    BOOST_TEST(l.counters().logic_threw == 1U);
    BOOST_TEST(w.logged("handshake refused"));
    good.send("still here\r\n");
    BOOST_TEST(good.read_line() == "still here");
}

BOOST_AUTO_TEST_CASE(a_peer_gets_no_broadcast_before_its_handshake) {
    // The danger: a peer that has not given the password gets a broadcast during its handshake.
    test::world w;
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.protocol(guarded{}));
    auto inside = w.connect(l.endpoint());
    inside.send("sesame\r\nx\r\n");
    BOOST_TEST(inside.read_line() == "hello");
    BOOST_TEST(inside.read_line() == "x");
    auto outside = w.connect(l.endpoint());
    BOOST_TEST(outside.read_line() == "hello");
    BOOST_TEST(l.size() == 2U);
    BOOST_TEST(l.broadcast("secret") == 1U);
    BOOST_TEST(inside.read_line() == "secret");
    outside.end();
    BOOST_TEST(outside.read_to_end() == "");
}
