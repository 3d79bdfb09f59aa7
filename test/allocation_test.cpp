// Heap allocations: none for a message, once a connection is warm. Every operator new is counted.
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <ice/bus.hpp>
#include <ice/testing/sim.hpp>
#include <map>
#include <new>

#include "conversation.hpp"
#include "nats_broker.hpp"
#include "quiet_server.hpp"
#include "world.hpp"

namespace {

std::size_t allocations = 0;  // since the program began
std::size_t releases = 0;     // the same of operator delete
bool scarce = false;          // there is no memory left

}  // namespace

// The replaced functions of the whole program: the library's coroutine frames come here too.
void* operator new(std::size_t n) {
    ++allocations;
    void* p = scarce ? nullptr : std::malloc(n == 0 ? 1 : n);
    if (p) return p;
    throw std::bad_alloc();
}
void* operator new(std::size_t n, std::align_val_t align) {
    ++allocations;
    const auto a = static_cast<std::size_t>(align);
    void* p = scarce ? nullptr : std::aligned_alloc(a, (n + a - 1) / a * a);
    if (p) return p;
    throw std::bad_alloc();
}
void operator delete(void* p) noexcept {
    ++releases;
    std::free(p);
}
void operator delete(void* p, std::size_t) noexcept { operator delete(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }

using namespace test;

namespace {

constexpr int warm_up = 100;
constexpr int measured = 1000;

std::string_view plain(std::string_view message) { return message; }
ice::task<ice::borrowed<std::string_view>> coroutine(std::string_view message) {
    co_return message;
}

// Waits as one waits for an upstream that has answered already: gives way, and goes on.
ice::task<ice::borrowed<std::string_view>> yielding(std::string_view message,
                                                    ice::session<ice::line>& peer) {
    co_await peer.bytes().net().yield();
    co_return message;
}

std::string burst_of(int n, std::string_view message = "0123456789\r\n") {
    std::string all;
    for (int i = 0; i < n; ++i) all += message;
    return all;
}

// PING, and GET of what is there: answered by a constant, and by a view of what is kept.
struct get_and_ping {
    std::map<std::string, std::string, std::less<>> values{
        {"key", "$20\r\n01234567890123456789\r\n"}};

    ice::resp_view operator()(ice::resp_view request) const {
        const auto word = request.begin();
        if (ice::resp_names((*word).text(), "ping")) return ice::resp_view("+PONG\r\n");
        const auto found = values.find((*std::next(word)).text());
        return found == values.end() ? ice::resp_view() : ice::resp_view(found->second);
    }
};

// How many allocations `measured` bursts of `n` messages made, in memory.
template <class P, class L>
std::size_t in_memory(P protocol, L logic, const std::string& burst, const std::string& answers) {
    memory_world w;
    conversation<P> c(w, protocol);
    c.serve(logic);
    std::size_t before = 0;
    bool right = true;
    for (int i = 0; i < warm_up + measured; ++i) {
        if (i == warm_up) before = allocations;
        c.arrive(burst);
        right = right && c.wire.written == answers;
        c.wire.written.clear();  // keeps its room
    }
    const std::size_t made = allocations - before;
    BOOST_TEST(right);
    return made;
}
template <class P, class L>
std::size_t in_memory(P protocol, L logic, int n) {
    return in_memory(protocol, logic, burst_of(n), burst_of(n));
}

// The same over loopback. The peer is a plain socket of preallocated buffers on the same thread, so
// all that is counted is the server's.
std::size_t bursts_over_tcp(world& w, const ice::listener_base& l, int n) {
    auto p = w.connect(l.endpoint());
    const int fd = p.socket().native_handle();
    const std::string burst = burst_of(n);
    std::array<char, 4096> answer{};
    std::size_t before = 0;
    bool right = true;
    for (int i = 0; i < warm_up + measured && right; ++i) {
        if (i == warm_up) before = allocations;
        right = ::send(fd, burst.data(), burst.size(), 0) == static_cast<ssize_t>(burst.size());
        std::size_t got = 0;
        for (int tries = 0; right && got < burst.size() && tries < 10'000; ++tries) {
            w.io.run_one_for(1ms);
            const ssize_t k = ::recv(fd, answer.data() + got, answer.size() - got, MSG_DONTWAIT);
            if (k > 0) got += static_cast<std::size_t>(k);
        }
        right = right && std::string_view(answer.data(), got) == burst;
    }
    const std::size_t made = allocations - before;
    BOOST_TEST(right);
    return made;
}
template <class P, class L>
std::size_t over_tcp(P protocol, L logic, int n) {
    world w;
    return bursts_over_tcp(
        w, w.srv.add(ice::tcp_server_action{any_port}.protocol(protocol).logic(logic)), n);
}

// The same through a pool to an upstream of the same program.
std::size_t forwarded_over_tcp(int n) {
    constexpr ice::pool_name<ice::line> upstream{"upstream"};
    world w;
    auto& back = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}).logic(plain));
    auto& pool =
        w.srv.add(ice::tcp_client_action{back.endpoint(), upstream, 1}.limits({.pipeline = 1000}));
    auto& front = w.srv.add(
        ice::tcp_server_action{any_port}
            .protocol(ice::line{})
            .limits({.in_flight = 64})
            .logic(ice::forward(pool, [](const ice::failure& why) { return why.text(); })));
    return bursts_over_tcp(w, front, n);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(allocation)

// If the counter never counted, every test below would pass.
BOOST_AUTO_TEST_CASE(allocations_are_counted) {
    const std::size_t before = allocations;
    BOOST_TEST(std::make_unique<int>(1) != nullptr);
    BOOST_TEST(std::string(100, 'x').size() == 100u);
    BOOST_TEST(allocations - before == 2u);
    const auto copying = [](std::string_view message) {
        return std::string(message) + "long text of mine";
    };
    memory_world w;
    conversation<ice::line> c(w);
    c.serve(copying);
    c.arrive("0123456789\r\n");
    const std::size_t warm = allocations;
    c.arrive("0123456789\r\n");
    BOOST_TEST(allocations > warm);
}

// A heap allocation per message is what limits a server that does little for each.
BOOST_AUTO_TEST_CASE(a_plain_logic_allocates_nothing_in_virtual_time) {
    for (const int n : {1, 64}) {
        BOOST_TEST(in_memory(ice::raw{}, plain, n) == 0u);
        BOOST_TEST(in_memory(ice::raw{}, ice::echo{}, n) == 0u);
        BOOST_TEST(in_memory(ice::line{}, plain, n) == 0u);
    }
}

BOOST_AUTO_TEST_CASE(messages_with_their_length_allocate_nothing) {
    const std::string prefixed = std::string("\0\0\0\n", 4) + "0123456789";
    const std::string netstring = "10:0123456789,";
    const std::string varint = "\xac\x02" + std::string(300, 'x');
    for (const int n : {1, 64}) {
        const auto count = [n](auto protocol, const std::string& one) {
            return in_memory(protocol, plain, burst_of(n, one), burst_of(n, one));
        };
        BOOST_TEST(count(ice::length_prefixed(), prefixed) == 0u);
        BOOST_TEST(count(ice::length_prefixed(ice::length_prefix::varint), varint) == 0u);
        BOOST_TEST(count(ice::netstring(), netstring) == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_resp_server_allocates_nothing_for_ping_and_get) {
    // A value that is made for each answer would cost two: its text, and its header.
    const std::string ping = "*1\r\n$4\r\nPING\r\n", pong = "+PONG\r\n";
    const std::string get = "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n",
                      value = "$20\r\n01234567890123456789\r\n";
    for (const int n : {1, 64}) {
        const auto count = [n](auto protocol, const std::string& one, const std::string& answer) {
            return in_memory(protocol, get_and_ping(), burst_of(n, one), burst_of(n, answer));
        };
        BOOST_TEST(count(ice::resp_requests(), ping, pong) == 0u);
        BOOST_TEST(count(ice::resp_requests(), get, value) == 0u);
        BOOST_TEST(count(ice::resp_requests(), "GET key\r\n", value) <= measured);  // one buffer
        BOOST_TEST(count(ice::resp(), ping, pong) == 0u);
        BOOST_TEST(count(ice::resp(), get, value) == 0u);
    }
}

BOOST_AUTO_TEST_CASE(memcached_is_parsed_and_read_without_allocations) {
    // Texts longer than what std::string stores in itself.
    const std::string value(100, 'x'), request = "set key 0 0 100\r\n" + value + "\r\n";
    const std::string replies = "VALUE key 0 100\r\n" + value + "\r\nEND\r\nVA 100 t-1\r\n" +
                                value + "\r\nSERVER_ERROR out of memory storing object\r\n42\r\n";
    ice::memcached client;
    ice::memcached_requests server;
    std::string out;
    std::size_t read = 0;
    const std::size_t before = allocations;
    for (std::string_view rest = replies; !rest.empty();) {
        auto found = client.parse(rest);
        if (found.size() == 0) break;
        ice::memcached_view reply = found.message();
        for (const ice::memcached_item& item : reply) read += item.value.size();
        read += reply.value().size() + reply.text().size() + reply.flag('t').value_or("").size();
        rest.remove_prefix(found.size());
    }
    auto found = server.parse(request, out);
    read += found.message().value().size() + found.message().word(1).size();
    const std::size_t made = allocations - before;
    BOOST_TEST(made == 0U);
    BOOST_TEST(read == 3 * 100U + 2 + 28 + 2 + 100 + 3);
}

BOOST_AUTO_TEST_CASE(an_idle_connection_keeps_no_large_inline_command) {
    // Each of 10,000 could hold 14 KB for ever, for one line.
    ice::resp_requests p;
    std::string out;
    const auto released_when_idle = [&](const std::string& line) {
        BOOST_TEST(p.parse(line, out).has_message());
        const std::size_t before = releases;
        BOOST_TEST(!p.parse("", out).has_message());
        return releases - before;
    };
    BOOST_TEST(released_when_idle(burst_of(1000, "a ") + "\n") == 1u);
    BOOST_TEST(released_when_idle("GET key\r\n") == 0u);
}

BOOST_AUTO_TEST_CASE(a_coroutine_logic_allocates_nothing_in_virtual_time) {
    // Each message has a coroutine frame: Asio must reuse the memory of an earlier one.
    for (const int n : {1, 64}) {
        BOOST_TEST(in_memory(ice::raw{}, coroutine, n) == 0u);
        BOOST_TEST(in_memory(ice::line{}, coroutine, n) == 0u);
        BOOST_TEST(in_memory(ice::line{}, yielding, n) == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_plain_logic_allocates_nothing_over_tcp) {
    // This includes reads, writes and deadlines of real sockets.
    for (const int n : {1, 64}) {
        BOOST_TEST(over_tcp(ice::raw{}, plain, n) == 0u);
        BOOST_TEST(over_tcp(ice::raw{}, ice::echo{}, n) == 0u);
        BOOST_TEST(over_tcp(ice::line{}, plain, n) == 0u);
    }
}

BOOST_AUTO_TEST_CASE(a_coroutine_logic_allocates_nothing_over_tcp) {
    // The same for coroutine frames, between two operations of a socket.
    for (const int n : {1, 64}) {
        BOOST_TEST(over_tcp(ice::raw{}, coroutine, n) == 0u);
        BOOST_TEST(over_tcp(ice::line{}, coroutine, n) == 0u);
        BOOST_TEST(over_tcp(ice::line{}, yielding, n) == 0u);
    }
}

// A burst begins a pipeline and the coroutine that receives its replies. Buffers that are larger
// than usual are not kept between bursts.
BOOST_AUTO_TEST_CASE(a_forwarded_burst_allocates_little) {
    BOOST_TEST(forwarded_over_tcp(1) <= 2u * measured);
    BOOST_TEST(forwarded_over_tcp(64) <= 7u * measured);
}

// What is delivered over NATS as well: a further subscriber makes no difference.
BOOST_AUTO_TEST_CASE(a_bus_allocates_nothing_for_a_subscriber) {
    ice::testing::simulation sim;
    quiet_server srv(sim.net());
    std::size_t heard = 0;
    const auto hear = [&](std::string_view) { ++heard; };
    ice::bus alone(srv);
    for (int n = 0; n < 3; ++n) alone.subscribe("topic", hear);
    const std::size_t before = allocations;
    for (int n = 0; n < measured; ++n) BOOST_TEST_REQUIRE(!alone.publish("topic", "message"));
    BOOST_TEST(allocations - before == 0u);
    BOOST_TEST(heard == 3u * measured);

    const ice::address where("10.0.0.1", 4222);
    nats_broker broker(sim, where);
    ice::bus bus(srv, where);
    const auto received = [&] {
        sim.run_for(10ms);
        const std::size_t begin = allocations;
        for (int n = 0; n < 10; ++n) broker.publish("ice.topic", "message");
        sim.run_for(10ms);
        return allocations - begin;
    };
    bus.subscribe("topic", hear);
    for (int n = 0; n < 3; ++n) received();
    const std::size_t with_one = received();
    for (int n = 0; n < 3; ++n) bus.subscribe("topic", hear);
    heard = 0;
    BOOST_TEST(received() == with_one);
    BOOST_TEST(heard == 40u);
}

// A destructor returns the connection: an exception in it would end the process.
BOOST_AUTO_TEST_CASE(a_returned_connection_is_closed_if_memory_has_run_out) {
    world w;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.protocol(ice::line{}));
    constexpr ice::pool_name<ice::line> name{"up"};
    auto& p = w.srv.add(ice::tcp_client_action{l.endpoint(), name, 1});
    auto talk = [](ice::pool<ice::line>& from, bool clean) -> ice::task<> {
        auto taken = co_await from.acquire();
        if (!taken) co_return;
        taken->keep();
        co_await (*taken)->send("hello");
        if (clean) {
            const auto reply = co_await (*taken)->receive();
            if (!reply) co_return;
        }
        scarce = true;
        { const auto ended = *std::move(taken); }
        scarce = false;
    };
    bool ended = false;
    auto both = [&]() -> ice::task<> {
        co_await talk(p, false);
        co_await talk(p, true);
        ended = true;
    };
    ice::spawn(
        std::make_shared<ice::server_context>(ice::make_socket_transport(w.io.get_executor())),
        both(), "borrower");
    w.until([&] { return ended; }, "the borrower");
    BOOST_TEST(!scarce);
    const auto ask = [](ice::pool<ice::line>& from) -> ice::task<bool> {
        const auto reply = co_await from.request("still there?");
        co_return reply.has_value();
    };
    BOOST_TEST(w.run(ask(p)));
}

BOOST_AUTO_TEST_SUITE_END()
