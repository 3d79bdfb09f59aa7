// session: its uid, peer, listener and outbox, with real sockets.
#include <fmt/format.h>
#include <unistd.h>

#include <asio/read.hpp>
#include <asio/steady_timer.hpp>
#include <ice/asio.hpp>
#include <ice/session.hpp>
#include <set>

#include "world.hpp"

using namespace test;

BOOST_AUTO_TEST_SUITE(session_over_tcp)

// The kernel reuses the number of a closed descriptor for the next connection. If uids were reused,
// a push could reach another peer.
BOOST_AUTO_TEST_CASE(a_uid_is_never_used_again) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}
                            .protocol(ice::line{})
                            .logic([](std::string_view, ice::session<ice::line>& peer) {
                                return fmt::to_string(peer.uid());
                            }));
    std::set<std::string> seen;
    for (int i = 0; i < 20; ++i) {
        auto p = w.connect(l.endpoint());
        p.send("who am I\r\n");
        BOOST_TEST(seen.insert(p.read_line()).second);
        p.close();
        w.until([&] { return l.size() == 0; }, "the end of the connection");
        BOOST_TEST(l.find(ice::uid(static_cast<std::uint64_t>(i) + 1)) == nullptr);
    }
}

// One connection has one uid, from opened() to closed().
BOOST_AUTO_TEST_CASE(every_hook_of_a_logic_sees_the_same_uid) {
    struct hooks {
        std::vector<ice::uid>& seen;
        void opened(ice::session<ice::line>& peer) { seen.push_back(peer.uid()); }
        void dispatch(std::string_view, ice::session<ice::line>& peer) {
            seen.push_back(peer.uid());
        }
        void closed(ice::session<ice::line>& peer) { seen.push_back(peer.uid()); }
    };
    world w;
    std::vector<ice::uid> seen;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(hooks{seen}));
    for (int i = 0; i < 2; ++i) {
        auto p = w.connect(l.endpoint());
        p.send("a\r\nb\r\n");
        p.end();
        BOOST_TEST(p.read_to_end() == "");
        w.until([&] { return l.size() == 0; }, "the end of the connection");
    }
    const ice::uid first(1), second(2);
    const std::vector<ice::uid> expected{first,  first,  first,  first,
                                         second, second, second, second};
    BOOST_TEST((seen == expected));
}

// peer() must return the address of the other end, not our own.
BOOST_AUTO_TEST_CASE(peer_is_the_address_of_the_other_end) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}
                            .protocol(ice::line{})
                            .logic([](std::string_view, ice::session<ice::line>& peer) {
                                return peer.peer().text();
                            }));
    auto p = w.connect(l.endpoint());
    p.send("who am I\r\n");
    const auto mine = p.socket().local_endpoint();
    BOOST_TEST(p.read_line() == fmt::format("127.0.0.1:{}", mine.port()));
}

// A session of a pool has no listener: the call must throw and not crash.
BOOST_AUTO_TEST_CASE(a_session_of_a_pool_has_no_listener) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
    const ice::pool_name<ice::line> name{"upstream"};
    auto& pool = w.srv.add(ice::tcp_client_action{l.endpoint(), name, 1});
    const auto refused = [](ice::pool<ice::line>& from) -> ice::task<bool> {
        auto lease = co_await from.acquire();
        if (!lease) co_return false;
        try {
            (*lease)->listener();
        } catch (const std::logic_error&) { co_return true; }
        co_return false;
    };
    BOOST_TEST(w.run(refused(pool)));
}

// A logic finds other sessions through the listener of its own.
BOOST_AUTO_TEST_CASE(a_session_of_a_listener_knows_its_listener) {
    world w;
    ice::listener<ice::line>* seen = nullptr;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}
                            .protocol(ice::line{})
                            .logic([&](std::string_view line, ice::session<ice::line>& peer) {
                                seen = &peer.listener();
                                return line;
                            }));
    auto p = w.connect(l.endpoint());
    p.send("hello\r\n");
    BOOST_TEST(p.read_line() == "hello");
    BOOST_TEST(seen == &l);
}

// The outbox bounds the memory of the process, not what the kernel buffers.
BOOST_AUTO_TEST_CASE(pushes_to_a_peer_that_does_not_read_stop_at_the_outbox) {
    world w;
    ice::limits bounds;
    bounds.outbox = 100'000;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.limits(bounds));
    auto p = w.connect(l.endpoint());
    w.until([&] { return l.size() == 1; }, "a connection");
    auto& s = *l.sessions().begin();
    const std::string piece(10'000, 'x');
    std::size_t took = 0;
    for (int i = 0; i < 10'000 && l.counters().outbox_full == 0; ++i) {
        if (!s.push(piece)) took += piece.size();
        w.settle();
        BOOST_TEST(s.bytes().unsent() <= bounds.outbox);
    }
    BOOST_TEST(l.counters().outbox_full == 1u);
    BOOST_TEST(s.push(piece) == ice::errc::outbox_full);
    BOOST_TEST(p.read(took) == std::string(took, 'x'));
    w.settle();
    BOOST_TEST(s.bytes().unsent() == 0u);
    BOOST_TEST(s.push("and on") == ice::error_code());
    BOOST_TEST(p.read(6) == "and on");
}

// If a session closed with unread requests, the kernel would send a reset and destroy the rest of
// the message.
BOOST_AUTO_TEST_CASE(a_large_last_message_arrives_whole) {
    world w;
    const std::string bye(8'000'000, 'x');
    auto& l = w.srv.add(ice::tcp_server_action{any_port}
                            .protocol(ice::line("\r\n", bye.size()))
                            .logic([&](std::string_view, ice::session<ice::line>& peer) {
                                BOOST_TEST(!peer.push("soon"));
                                peer.close();
                                return bye;
                            }));
    auto p = w.connect(l.endpoint());
    p.send("quit\r\nnever\r\n");
    BOOST_TEST(p.read_line() == "soon");
    p.send("nor this\r\n");
    BOOST_TEST((p.read_to_end() == bye + "\r\n"));
    BOOST_TEST(p.ended);
    p.close();
    w.until([&] { return l.size() == 0; }, "the end of the connection");
    BOOST_TEST(l.counters().messages == 1u);
    BOOST_TEST(l.counters().ended_by_us == 1u);
}

// A session that waits for its peer must end when another session closes it, and is not found any
// more.
BOOST_AUTO_TEST_CASE(a_session_that_another_closes_ends_after_its_pushes) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
    auto p = w.connect(l.endpoint());
    p.send("half a li");
    w.until([&] { return l.size() == 1; }, "a connection");
    w.settle();
    auto& s = *l.sessions().begin();
    BOOST_TEST(!s.push("kicked"));
    s.close();
    BOOST_TEST(l.find(s.uid()) == nullptr);
    BOOST_TEST(l.broadcast("too late") == 0u);
    BOOST_TEST(p.read_to_end() == "kicked\r\n");
    BOOST_TEST(p.ended);
    p.close();
    w.until([&] { return l.size() == 0; }, "the end of the connection");
}

// Linux reports room to write only when a third of the send buffer is free: a peer that read 20 kB
// a second without pause was taken for one that reads nothing, and closed.
BOOST_AUTO_TEST_CASE(a_slow_reader_does_not_reach_the_write_timeout) {
    world w;
    ice::timeouts t;
    t.write = 200ms;
    ice::limits bounds;
    bounds.outbox = ice::unlimited;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.timeouts(t).limits(bounds));
    auto p = w.connect(l.endpoint());
    w.until([&] { return l.size() == 1; }, "a connection");
    w.settle();
    BOOST_TEST(!(*l.sessions().begin()).push(std::string(32'000'000, 'x')));
    w.settle();
    const auto unsent = [&] { return (*l.sessions().begin()).bytes().unsent(); };
    const std::size_t stalled = unsent();
    BOOST_TEST(stalled != 0u);
    // Ten times the timeout, a little in each tenth of it: far less than a third of the buffer.
    std::vector<char> little(40'000);
    for (int i = 0; i < 100; ++i) {
        asio::steady_timer tenth(w.io, 20ms);
        bool over = false;
        tenth.async_wait([&](std::error_code) { over = true; });
        w.until([&] { return over; });
        asio::read(p.socket(), asio::buffer(little));
        BOOST_TEST_REQUIRE(!l.sessions().empty());
    }
    BOOST_TEST(l.counters().timeouts == 0u);
    w.until([&] { return l.size() == 0; }, "the end of a peer that reads no more");
    BOOST_TEST(l.counters().timeouts == 1u);
}

// If the socket had the descriptor of the session, closing it would give the number to the next
// connection, and the session would read that connection's bytes.
BOOST_AUTO_TEST_CASE(closing_the_asio_socket_of_a_session_leaves_the_session_open) {
    for (const bool release : {false, true}) {
        world w;
        int released = -1;
        auto& l = w.srv.add(ice::tcp_server_action{any_port}
                                .protocol(ice::line{})
                                .logic([&](std::string_view line, ice::session<ice::line>& peer) {
                                    auto& s = ice::socket(peer);
                                    if (line == "take" && release) released = s.release();
                                    if (line == "take" && !release) s.close();
                                    return line;
                                }));
        auto p = w.connect(l.endpoint());
        p.send("take\r\n");
        BOOST_TEST(p.read_line() == "take");
        auto other = w.connect(l.endpoint());
        other.send("mine\r\n");
        BOOST_TEST(other.read_line() == "mine");
        p.send("still here\r\n");
        BOOST_TEST(p.read_line() == "still here");
        BOOST_TEST(other.got == "");
        if (release) ::close(released);
        p.end();
        BOOST_TEST(p.read_to_end() == "");
    }
}

// A logic that pushes to all sessions, such as a chat, would push to a lost one with each message.
BOOST_AUTO_TEST_CASE(a_session_that_is_lost_while_its_logic_waits_is_not_listed) {
    world w;
    ice::event go(w.io.get_executor());
    const auto wait = [](ice::event& until) -> ice::task<> { co_await until.wait(); };
    auto& l = w.srv.add(
        ice::tcp_server_action{any_port}.logic([&](std::string_view) { return wait(go); }));
    auto p = w.connect(l.endpoint());
    p.send("x");
    w.until([&] { return l.counters().messages == 1; }, "a message");
    auto& s = *l.sessions().begin();
    s.bytes().cancel(ice::errc::write_timeout);
    BOOST_TEST(l.sessions().empty());
    BOOST_TEST(l.find(s.uid()) == nullptr);
    BOOST_TEST(l.broadcast("x") == 0u);
    go.set();
    w.until([&] { return l.size() == 0; }, "the end of the connection");
}

BOOST_AUTO_TEST_SUITE_END()
