// Sending to a peer that stalls again and again is O(n) in the bytes sent. The test counts the
// bytes that the channel moves within its buffer, with its own memmove().
#include <dlfcn.h>

#include <ice/asio.hpp>
#include <ice/session.hpp>

#include "world.hpp"

using namespace test;

namespace {
std::uint64_t bytes_moved = 0;
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)  // theirs would be replaced
extern "C" void* memmove(void* to, const void* from, std::size_t n) {
    static const auto real =
        reinterpret_cast<void* (*)(void*, const void*, std::size_t)>(::dlsym(RTLD_NEXT, "memmove"));
    bytes_moved += n;
    return real(to, from, n);
}
#endif

BOOST_AUTO_TEST_SUITE(linear_sending)

// The unsent rest was moved at each of a thousand stalls: eight megabytes cost gigabytes.
BOOST_AUTO_TEST_CASE(a_peer_that_stalls_often_makes_no_more_bytes_move_than_it_takes) {
    constexpr std::size_t size = 8'000'000;
    world w;
    ice::limits bounds;
    bounds.outbox = ice::unlimited;
    auto& l = w.srv.add(ice::tcp_server_action{any_port}.limits(bounds));
    auto p = w.connect(l.endpoint());
    w.until([&] { return l.size() == 1; }, "a connection");
    auto& sender = *l.sessions().begin();
    ice::socket(sender).set_option(asio::socket_base::send_buffer_size(4'096));
    BOOST_TEST(!sender.push(std::string(size, 'x')));
    bytes_moved = 0;
    std::size_t got = 0, stalls = 0;
    std::vector<char> some(4'096);
    while (got < size) {
        if (p.socket().available() == 0) {
            const std::size_t before = sender.bytes().unsent();
            w.until([&] { return p.socket().available() != 0; }, "more bytes");
            stalls += sender.bytes().unsent() != before;
        }
        got += p.socket().read_some(asio::buffer(some));
    }
    BOOST_TEST(stalls >= 100u);
    BOOST_TEST(bytes_moved <= size);
}

BOOST_AUTO_TEST_SUITE_END()
