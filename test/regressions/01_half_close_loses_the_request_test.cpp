// Seed defect 1: bytes that were read together with the end of the connection were dropped.
#include "../world.hpp"

BOOST_AUTO_TEST_CASE(a_request_that_comes_together_with_the_end_is_answered) {
    // What `printf 'gettime\r\n' | nc -N` does: the request and the FIN arrive as one event.
    test::world w;
    auto gettime = [](std::string_view request) {
        return std::string(request == "gettime" ? "12:34" : "command wrong");
    };
    auto& l =
        w.srv.add(ice::tcp_server_action{test::any_port}.protocol(ice::telnet{}).logic(gettime));
    auto p = w.connect(l.endpoint());
    p.send("gettime\r\ngettime\r\nwhat\r\ngett");
    p.end();
    BOOST_TEST(p.read_to_end() == "12:34\r\n12:34\r\ncommand wrong\r\n");
    BOOST_TEST(p.ended);
}

BOOST_AUTO_TEST_CASE(a_request_with_the_end_behind_it_and_a_slow_answer_is_answered) {
    test::world w;
    auto slow = [](std::string_view text, ice::session<ice::line>& peer) -> ice::task<std::string> {
        co_await peer.sleep(std::chrono::milliseconds(10));
        co_return std::string(text);
    };
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.protocol(ice::line{}).logic(slow));
    auto p = w.connect(l.endpoint());
    p.send("a\r\nb\r\n");
    p.end();
    BOOST_TEST(p.read_to_end() == "a\r\nb\r\n");
}
