// The README of the seed, row by row: each row must work here, end to end over real sockets. Tests
// of the apps cover rows 1, 5 and 11; regressions/ has its twelve defects.
#include <fmt/format.h>

#include "upstream.hpp"

using namespace test;

namespace {

constexpr ice::pool_name<ice::telnet> timeserver{"timeserver"};

std::string gettime(std::string_view request) {
    if (request == "gettime") return "12:34";
    return "command wrong";
}

// A time server, as an action of the same server.
ice::address add_timeserver(world& w) {
    return w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::telnet{}).logic(gettime))
        .endpoint();
}

}  // namespace

BOOST_AUTO_TEST_SUITE(seed_rows)

// Row 3: Logic.dispatch(result, uid), and a falsy answer sends nothing.
BOOST_AUTO_TEST_CASE(row_3_a_logic_is_an_object_with_dispatch_and_may_return_no_answer) {
    struct logic {
        std::optional<std::string> dispatch(std::string_view request,
                                            ice::session<ice::telnet>& peer) {
            if (request == "quiet") return std::nullopt;
            return fmt::format("{} for {}", gettime(request), peer.uid());
        }
    };
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::telnet{}).logic(logic{}));
    auto a = w.connect(l.endpoint());
    a.send("gettime\r\nquiet\r\nwhat\r\n");
    BOOST_TEST(a.read_line() == "12:34 for #1");
    BOOST_TEST(a.read_line() == "command wrong for #1");
    auto b = w.connect(l.endpoint());
    b.send("gettime\r\n");
    BOOST_TEST(b.read_line() == "12:34 for #2");
    BOOST_TEST(a.got == "");
}

namespace {

// Row 4: the seed's TelnetProtocol, written as a user would.
struct lines {
    ice::parsed<std::string_view> parse(std::string_view input) {
        const auto end = input.find("\r\n");
        if (end == input.npos) return ice::need_more;
        return {input.substr(0, end), end + 2};
    }
    void packet(std::string_view line, std::string& out) { out.append(line).append("\r\n"); }
};

}  // namespace

// Row 4: bytes are a stream: a message may come in pieces, and several in one piece.
BOOST_AUTO_TEST_CASE(row_4_a_users_protocol_splits_a_stream_into_messages) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(lines{}).logic(gettime));
    auto p = w.connect(l.endpoint());
    for (const char byte : std::string_view("gettime\r\nge")) {
        p.send({&byte, 1});
        w.settle();
    }
    BOOST_TEST(p.read_line() == "12:34");
    p.send("ttime\r\nwhat\r\ngettime\r\n");
    BOOST_TEST(p.read_line() == "12:34");
    BOOST_TEST(p.read_line() == "command wrong");
    BOOST_TEST(p.read_line() == "12:34");
}

// Row 6: a client action is added as a server action is; its logic converts replies.
BOOST_AUTO_TEST_CASE(row_6_the_logic_of_a_pool_converts_each_reply) {
    constexpr ice::pool_name<ice::telnet, int> minutes{"minutes"};
    const auto minutes_of = [](std::string_view reply) -> ice::result<int> {
        if (reply.size() != 5) return ice::errc::bad_message;
        const auto digit = [&](std::size_t at) { return reply[at] - '0'; };
        return (digit(0) * 10 + digit(1)) * 60 + digit(3) * 10 + digit(4);
    };
    world w;
    const auto where = add_timeserver(w);
    w.srv.add(ice::tcp_client_action{where, minutes, 3}.logic(minutes_of));
    BOOST_TEST(w.run(w.srv.get(minutes).request("gettime")).value_or(0) == 12 * 60 + 34);
    const auto refused = w.run(w.srv.get(minutes).request("what"));
    BOOST_TEST(refused.error() == ice::errc::bad_message);
    BOOST_TEST(w.srv.get(minutes).counters().discarded == 1u);
}

namespace {

// Rows 7, 8 and 10: the seed's last program.
struct ask_timeserver {
    ice::server& srv;

    ice::task<std::string> dispatch(std::string_view request) {
        if (request != "gettime") co_return "command wrong";
        const auto told = co_await ask_twice();
        co_return told.value_or("by our own clock");
    }

    // Row 10: own functions, each of which may wait, and call others.
    ice::task<std::optional<std::string>> ask_twice() {
        for (int i = 0; i < 2; ++i) {
            auto reply = co_await ask();
            if (reply) co_return *std::move(reply);
        }
        co_return std::nullopt;
    }
    ice::task<ice::pool_result<std::string>> ask() {
        return srv.get(timeserver).request("gettime");
    }
};

}  // namespace

// Rows 7 and 10: a logic sends requests to a pool that it finds by name.
BOOST_AUTO_TEST_CASE(row_7_and_10_a_logic_sends_requests_to_an_upstream_one_by_one) {
    world w;
    w.srv.add(ice::tcp_client_action{add_timeserver(w), timeserver, 3});
    auto& l = w.srv.add(
        ice::tcp_server_action{any_port}.protocol(ice::telnet{}).logic(ask_timeserver{w.srv}));
    auto p = w.connect(l.endpoint());
    p.send("gettime\r\nwhat\r\ngettime\r\n");
    BOOST_TEST(p.read_line() == "12:34");
    BOOST_TEST(p.read_line() == "command wrong");
    BOOST_TEST(p.read_line() == "12:34");
    BOOST_TEST(w.srv.get(timeserver).counters().replies == 2u);
}

// Row 8: with the upstream gone, or dying in the middle of a reply, the front still answers.
BOOST_AUTO_TEST_CASE(row_8_a_logic_falls_back_when_the_upstream_fails) {
    world w;
    upstream up(w);
    ice::pool_timeouts soon;
    soon.request = 30ms;
    w.srv.add(ice::tcp_client_action{up.where(), timeserver, 1}.timeouts(soon));
    auto& l = w.srv.add(
        ice::tcp_server_action{any_port}.protocol(ice::telnet{}).logic(ask_timeserver{w.srv}));
    auto p = w.connect(l.endpoint());

    auto* conn = &up.accept();
    p.send("gettime\r\n");
    BOOST_TEST(conn->read_line() == "gettime");
    conn->send("12:34\r\n");
    BOOST_TEST(p.read_line() == "12:34");

    p.send("gettime\r\n");  // hung: both attempts time out
    BOOST_TEST(p.read_line() == "by our own clock");

    up.close();  // dead
    for (auto& old : up.peers()) old.close();
    p.send("gettime\r\n");
    BOOST_TEST(p.read_line() == "by our own clock");
}

namespace {

// Row 9: handshake, once per connection, before any message; it may talk; false closes. The side
// that has a name says it, the other side judges it.
struct introduced : ice::line {
    std::string name;
    int* shaken = nullptr;

    ice::task<bool> handshake(ice::session<introduced>& peer) {
        if (shaken != nullptr) ++*shaken;
        if (!name.empty()) {
            co_await peer.send("I am " + name);
            const auto said = co_await peer.receive();
            co_return said&&* said == "welcome";
        }
        const auto said = co_await peer.receive();
        if (!said || *said != "I am ann") co_return false;
        const auto ec = co_await peer.send("welcome");
        co_return !ec;
    }
};

introduced as(std::string name, int* shaken = nullptr) {
    introduced p;
    p.name = std::move(name);
    p.shaken = shaken;
    return p;
}

}  // namespace

BOOST_AUTO_TEST_CASE(row_9_each_side_makes_the_handshake_once) {
    // The danger: the handshake is taken for a request, or made again for each request.
    constexpr ice::pool_name<introduced> name{"ann's"};
    int shaken_there = 0, shaken_here = 0;
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(as("", &shaken_there)));
    auto& pool = w.srv.add(ice::tcp_client_action{l.endpoint(), name, 1, as("ann", &shaken_here)});
    for (const char* text : {"one", "two", "three"})
        BOOST_TEST(w.run(pool.request(text)).value_or("none") == text);
    BOOST_TEST(shaken_there == 1);
    BOOST_TEST(shaken_here == 1);
    BOOST_TEST(pool.counters().returned == 3u);
}

BOOST_AUTO_TEST_CASE(row_9_messages_of_a_refused_peer_reach_no_logic) {
    constexpr ice::pool_name<introduced> name{"bob's"};
    world w;
    int dispatched = 0;
    auto& l = w.srv.add(
        ice::tcp_server_action{any_port}.protocol(as("")).logic([&](std::string_view line) {
            ++dispatched;
            return line;
        }));
    auto& pool = w.srv.add(ice::tcp_client_action{l.endpoint(), name, 1, as("bob")});
    const auto reply = w.run(pool.request("one"));
    BOOST_TEST(reply.error() == ice::errc::handshake_failed);
    BOOST_TEST((reply.error() == ice::condition::not_executed));
    auto p = w.connect(l.endpoint());
    p.send("I am eve\r\none\r\ntwo\r\n");
    BOOST_TEST(p.read_to_end() == "");
    BOOST_TEST(dispatched == 0);
    BOOST_TEST(l.counters().handshakes_failed >= 2u);
}

// Bytes that arrive together with the handshake belong to the messages after it.
BOOST_AUTO_TEST_CASE(row_9_messages_that_follow_the_handshake_at_once_are_answered) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(as("")));
    auto p = w.connect(l.endpoint());
    p.send("I am ann\r\none\r\ntwo\r\n");
    p.end();
    BOOST_TEST(p.read_to_end() == "welcome\r\none\r\ntwo\r\n");
}

namespace {

// Row 9: handle, for parsing that must wait or knows its connection: a line that is a name is
// looked up, which takes time, and becomes a message of its own type.
struct looked_up {
    using message_type = std::string;

    ice::task<ice::parsed<std::string>> handle(std::string_view input,
                                               ice::session<looked_up>& peer) {
        const auto end = input.find('\n');
        if (end == input.npos) co_return ice::need_more;
        if (input.starts_with('!')) co_return ice::errc::bad_message;
        const std::string word(input.substr(0, end));
        if (word == "slow") co_await peer.sleep(5ms);
        ice::parsed<std::string> found(fmt::format("{} of {}", word, peer.uid()), end + 1);
        co_return found;
    }
    void packet(const std::string& text, std::string& out) { out.append(text).append("\r\n"); }
};

}  // namespace

BOOST_AUTO_TEST_CASE(row_9_a_protocol_may_wait_while_it_parses) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(looked_up{}));
    auto p = w.connect(l.endpoint());
    p.send("fast\nslow\nfa");
    BOOST_TEST(p.read_line() == "fast of #1");
    BOOST_TEST(p.read_line() == "slow of #1");
    p.send("st\nlast\n!\nnever\n");
    p.end();
    BOOST_TEST(p.read_to_end() == "fast of #1\r\nlast of #1\r\n");
    BOOST_TEST(l.counters().bad_messages == 1u);
}

BOOST_AUTO_TEST_CASE(row_9_a_protocol_that_waits_works_in_a_pool_too) {
    constexpr ice::pool_name<looked_up> name{"lookup"};
    world w;
    upstream up(w);
    auto& pool = w.srv.add(ice::tcp_client_action{up.where(), name, 1});
    auto& conn = up.accept();
    std::optional<ice::result<std::string>> reply;
    auto ask = [&]() -> ice::task<> { reply = co_await pool.request("q"); };
    ice::spawn(
        std::make_shared<ice::server_context>(ice::make_socket_transport(w.io.get_executor())),
        ask(), "caller");
    BOOST_TEST(conn.read_line() == "q");
    conn.send("slow");
    w.settle();
    conn.send("\n");
    w.until([&] { return reply.has_value(); }, "a reply");
    BOOST_TEST(reply->value_or("none").starts_with("slow of #"));
    BOOST_TEST(pool.counters().returned == 1u);
}

BOOST_AUTO_TEST_SUITE_END()
