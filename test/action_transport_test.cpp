// action: the transport of one action alone, beside others that use the server's.
#include <ice/action.hpp>
#include <ice/testing/sim.hpp>

#include "masked_transport.hpp"
#include "quiet_server.hpp"
#include "world.hpp"

using namespace test;
using ice::testing::simulation;

namespace {

const ice::address there{"10.0.0.2", 7};
const ice::address nobody{"10.0.0.9", 7};

auto echo_lines(const ice::address& at) { return ice::tcp_server_action{at}.protocol(ice::line{}); }

// Answers each line with the address that it came from.
std::string tell_host(std::string_view, ice::session<ice::line>& s) { return s.peer().host(); }

// Whether `add` throws std::invalid_argument with that text.
template <class Add>
void check_refused(Add add, std::string_view text) {
    BOOST_CHECK_EXCEPTION(add(), std::invalid_argument,
                          [&](const std::exception& e) { return e.what() == text; });
}

}  // namespace

BOOST_AUTO_TEST_SUITE(action_transport)

// Danger: the server's transport listens or connects in place of the action's, so that what an
// encrypting transport should carry goes out as plain text.
BOOST_AUTO_TEST_CASE(a_listener_listens_by_the_transport_of_its_action) {
    simulation sim;
    quiet_server srv{sim.net()};
    const ice::address same{"127.0.0.1", 7};  // each machine has one
    // [own]
    auto& far =
        srv.add(ice::tcp_server_action{same}.protocol(ice::line{}).transport(sim.host("10.0.0.2")));
    auto& near = srv.add(ice::tcp_server_action{same}.protocol(ice::line{}));
    // [own]
    BOOST_TEST(sim.run(sim.ask<ice::line>(same, "hello")).value() == "hello");
    BOOST_TEST(near.counters().accepted == 1u);
    BOOST_TEST(far.counters().accepted == 0u);
}

BOOST_AUTO_TEST_CASE(a_pool_connects_by_the_transport_of_its_action) {
    simulation sim;
    quiet_server srv{sim.net()}, upstream{sim.host("10.0.0.3")};
    const ice::address at = upstream
                                .add(ice::tcp_server_action{ice::address("10.0.0.3", 7)}
                                         .protocol(ice::line{})
                                         .logic(tell_host))
                                .endpoint();
    auto& far =
        srv.add(ice::tcp_client_action<ice::line>{at, "far", 1}.transport(sim.host("10.0.0.2")));
    auto& near = srv.add(ice::tcp_client_action<ice::line>{at, "near", 1});
    BOOST_TEST(sim.run(far.request("who")).value() == "10.0.0.2");
    BOOST_TEST(sim.run(near.request("who")).value() == "127.0.0.1");
}

BOOST_AUTO_TEST_CASE(a_transport_outlives_each_setter_that_comes_after_it) {
    simulation sim;
    quiet_server srv{sim.net()};
    auto& l = srv.add(ice::tcp_server_action{there}
                          .transport(sim.host("10.0.0.2"))
                          .protocol(ice::line{})
                          .logic(tell_host)
                          .limits({.connections = 3}));
    BOOST_TEST(sim.run(sim.ask<ice::line>(l.endpoint(), "who")).value() == "127.0.0.1");
}

BOOST_AUTO_TEST_CASE(no_transport_means_that_of_the_server) {
    simulation sim;
    quiet_server srv{sim.net()};
    auto& l = srv.add(echo_lines(any_port).transport(nullptr));
    BOOST_TEST(sim.run(sim.ask<ice::line>(l.endpoint(), "hello")).value() == "hello");
}

// Danger: a part of what an action sends goes out by the server's transport, as plain text.
BOOST_AUTO_TEST_CASE(one_action_masks_its_bytes_and_the_others_do_not) {
    world w;
    const auto net = std::make_shared<masked_transport>(w.io.get_executor());
    auto& far = w.srv.add(echo_lines(any_port).transport(net));
    auto& near = w.srv.add(echo_lines(any_port));
    for (auto* const l : {&far, &near}) {
        const bool masks = l == &far;
        auto p = w.connect(l->endpoint());
        p.send(masks ? masked("hello\r\n", side::connected) : "hello\r\n");
        BOOST_TEST(p.read(7) == (masks ? masked("hello\r\n", side::accepted) : "hello\r\n"));
    }
    auto& to_far =
        w.srv.add(ice::tcp_client_action<ice::line>{far.endpoint(), "to far", 1}.transport(net));
    auto& to_near = w.srv.add(ice::tcp_client_action<ice::line>{near.endpoint(), "to near", 1});
    for (auto* const p : {&to_far, &to_near})
        BOOST_TEST(w.run(p->request("hello")).value() == "hello");
}

// -- time and descriptors

// Danger: timeouts are set on one transport and expire on another that never does.
BOOST_AUTO_TEST_CASE(the_timeouts_of_an_action_expire_on_its_own_transport) {
    simulation sim;
    quiet_server srv{sim.net()};
    auto& l = srv.add(echo_lines(there).transport(sim.host("10.0.0.2")).timeouts({.idle = 3s}));
    const auto begin = sim.now();
    auto peer = sim.run(sim.open<ice::line>(l.endpoint())).value();
    BOOST_TEST((sim.run(peer->receive()).error() == ice::errc::closed));
    BOOST_TEST((sim.now() - begin >= 3s));
    BOOST_TEST((sim.now() - begin < 4s));
    BOOST_TEST(l.counters().timeouts == 1u);
}

BOOST_AUTO_TEST_CASE(a_caller_of_a_pool_gives_up_by_its_own_transport) {
    simulation sim;
    quiet_server srv{sim.net()};
    sim.faults().latency = 1h;
    auto& p = srv.add(ice::tcp_client_action<ice::line>{nobody, "p", 1}
                          .transport(sim.host("10.0.0.2"))
                          .timeouts({.acquire = 2s}));
    const auto begin = sim.now();
    BOOST_TEST((sim.run(p.request("x")).error() == ice::errc::acquire_timeout));
    BOOST_TEST((sim.now() - begin < 3s));
}

// Danger: connections count as descriptors of the wrong process, and are never given back.
BOOST_AUTO_TEST_CASE(connections_count_against_the_descriptors_of_their_transport) {
    simulation sim;
    const auto own = sim.host("10.0.0.2");
    {
        quiet_server srv{sim.net()};
        auto& l = srv.add(echo_lines(there).transport(own));
        srv.add(ice::tcp_client_action<ice::line>{nobody, "p", 5}.transport(own));
        BOOST_TEST(own->budget().reserved() == 5u);
        auto peer = sim.run(sim.open<ice::line>(l.endpoint())).value();
        sim.run_for(1s);
        BOOST_TEST(l.size() == 1u);
        BOOST_TEST(own->budget().open() == 1u);
        BOOST_TEST(sim.net()->budget().open() == 0u);
        BOOST_TEST(sim.net()->budget().reserved() == 0u);
        peer.reset();
        sim.run_for(1s);
        BOOST_TEST(own->budget().open() == 0u);
    }
    BOOST_TEST(own->budget().reserved() == 0u);
}

// -- the end

BOOST_AUTO_TEST_CASE(a_drain_ends_the_connections_of_each_transport) {
    simulation sim;
    quiet_server srv{sim.net()};
    auto& far = srv.add(echo_lines(there).transport(sim.host("10.0.0.2")));
    auto& near = srv.add(echo_lines(any_port));
    auto& p = srv.add(
        ice::tcp_client_action<ice::line>{far.endpoint(), "p", 1}.transport(sim.host("10.0.0.3")));
    BOOST_TEST(sim.run(p.request("one")).value() == "one");
    auto peer = sim.run(sim.open<ice::line>(far.endpoint())).value();
    sim.run_for(1s);
    srv.drain();
    BOOST_TEST((sim.run(peer->receive()).error() == ice::errc::closed));
    peer.reset();
    sim.run_for(1s);
    BOOST_TEST(far.size() + near.size() + p.idle() == 0u);
    BOOST_TEST(sim.quiescent());
}

BOOST_AUTO_TEST_CASE(the_report_has_the_connections_of_each_transport) {
    simulation sim;
    quiet_server srv{sim.net()};
    std::vector<std::string> log;
    srv.log().to([&](ice::log_level, std::string_view line) { log.emplace_back(line); });
    auto& far = srv.add(echo_lines(there).transport(sim.host("10.0.0.2")));
    const auto peer = sim.run(sim.open<ice::line>(far.endpoint())).value();
    sim.run_for(5s);
    log.clear();
    srv.report();
    BOOST_TEST_REQUIRE(log.size() == 2u);
    BOOST_TEST(log[0].find("listener 10.0.0.2:7: 1 of ") != log[0].npos);
    BOOST_TEST(log[1].find("5 s old") != log[1].npos);
}

// Danger: a timer of the action's transport keeps the user's loop running after the drain, here for
// the five minutes of timeouts::idle.
BOOST_AUTO_TEST_CASE(the_loop_of_a_user_ends_after_the_drain_of_another_transport) {
    world w;
    const auto own = ice::make_socket_transport(w.io.get_executor());
    auto& l = w.srv.add(echo_lines(any_port).transport(own));
    auto p = w.connect(l.endpoint());
    p.send("hello\r\n");
    BOOST_TEST(p.read_line() == "hello");
    p.close();
    w.until([&] { return l.size() == 0; });
    w.srv.drain();
    w.io.restart();
    w.io.run_for(10s);
    BOOST_TEST(w.io.stopped());
}

// Danger: the timer of such a transport outlives the io_context of the server.
BOOST_AUTO_TEST_CASE(a_transport_may_outlive_the_server_whose_loop_it_uses) {
    std::shared_ptr<ice::transport> of_listener, of_pool;
    ice::server srv;
    srv.log().to([](ice::log_level, std::string_view) {});
    of_listener = ice::make_socket_transport(srv.executor());
    of_pool = ice::make_socket_transport(srv.executor());
    auto& l = srv.add(echo_lines(any_port).transport(of_listener));
    auto& p = srv.add(ice::tcp_client_action<ice::line>{l.endpoint(), "p", 1}.transport(of_pool));
    std::string reply;
    const auto ask = [](ice::server& s, ice::pool<ice::line>& from,
                        std::string& to) -> ice::task<> {
        auto got = co_await from.request("hello");
        to = got.value();
        s.drain();
    };
    srv.spawn(ask(srv, p, reply), "ask");
    srv.run();
    BOOST_TEST(reply == "hello");
}

// -- what is refused

BOOST_AUTO_TEST_CASE(a_transport_of_another_io_context_is_refused) {
    asio::io_context io, other;
    ice::server srv{io};
    const auto foreign = ice::make_socket_transport(other.get_executor());
    check_refused([&] { srv.add(echo_lines(any_port).transport(foreign)); },
                  "listener 127.0.0.1:0: its transport runs on another io_context than the server");
    check_refused(
        [&] {
            srv.add(ice::tcp_client_action<ice::line>{any_port, "p", 1}.transport(foreign));
        },
        "pool 'p': its transport runs on another io_context than the server");
}

BOOST_AUTO_TEST_CASE(an_executor_that_counts_as_work_is_of_the_same_io_context) {
    asio::io_context io;
    ice::server srv{io};
    const auto counting =
        asio::require(io.get_executor(), asio::execution::outstanding_work.tracked);
    auto& l = srv.add(echo_lines(any_port).transport(ice::make_socket_transport(counting)));
    BOOST_TEST(l.endpoint().port() != 0);
}

BOOST_AUTO_TEST_SUITE_END()
