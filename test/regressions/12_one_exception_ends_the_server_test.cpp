// Seed defect 12: an uncaught exception in any coroutine ended the process: one bad message stopped
// the server for all.
#include "../world.hpp"

namespace {

// Throws in each place where a user's code may.
struct throwing : ice::line {
    ice::parsed<std::string_view> parse(std::string_view input) {
        if (input.starts_with("parse")) throw std::runtime_error("in parse");
        return line::parse(input);
    }
    void packet(std::string_view text, std::string& out) {
        if (text == "packet") throw std::runtime_error("in packet");
        out.append(text).append("\r\n");
    }
};

struct logic {
    void closed(ice::session<throwing>& peer) {
        if (peer.uid().number() == 5) throw std::runtime_error("in closed");
    }
    ice::task<std::string> operator()(std::string_view text) {
        if (text == "logic") throw std::runtime_error("in the logic");
        co_return std::string(text);
    }
};

}  // namespace

BOOST_AUTO_TEST_CASE(an_exception_in_any_code_of_the_user_closes_one_connection) {
    test::world w;
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.protocol(throwing{}).logic(logic{}));
    auto good = w.connect(l.endpoint());
    w.until([&] { return l.size() == 1; });
    for (const auto* where : {"parse\r\n", "packet\r\n", "logic\r\n"}) {
        auto bad = w.connect(l.endpoint());
        bad.send(where);
        BOOST_TEST(bad.read_to_end() == "");
    }
    auto fifth = w.connect(l.endpoint());
    fifth.send("fine\r\n");
    BOOST_TEST(fifth.read_line() == "fine");
    fifth.end();
    fifth.read_to_end();
    for (const auto* what : {"in parse", "in packet", "in the logic", "in closed"})
        BOOST_TEST(w.logged(what), what);
    BOOST_TEST(l.counters().logic_threw == 4U);
    good.send("still here\r\n");
    BOOST_TEST(good.read_line() == "still here");
}
