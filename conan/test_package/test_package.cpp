// The echo server of the tutorial's first step, which serves one request of its own and ends.
#include <asio.hpp>
#include <ice/ice.hpp>

#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>

// Says hello to the server and stops it, whatever comes back.
ice::task<std::string> hello(ice::server& srv, std::uint16_t port) {
    asio::ip::tcp::socket peer(srv.executor());
    const asio::ip::tcp::endpoint server(asio::ip::address_v4::loopback(), port);
    co_await peer.async_connect(server, asio::use_awaitable);
    co_await asio::async_write(peer, asio::buffer("hello", 5), asio::use_awaitable);
    std::string reply(5, ' ');
    co_await asio::async_read(peer, asio::buffer(reply), asio::use_awaitable);
    srv.stop();
    co_return reply;
}

int main() try {
    asio::io_context io;
    ice::server srv{io};
    auto& listener = srv.add(ice::tcp_server_action{ice::address{"127.0.0.1", 0}});

    std::string reply;
    auto keep = [&](std::exception_ptr error, const std::string& text) {
        if (error) std::rethrow_exception(error);
        reply = text;
    };
    asio::co_spawn(io, hello(srv, listener.endpoint().port()), keep);
    io.run();

    std::printf("ice %s echoed: %s\n", ice::version, reply.c_str());
    return reply == "hello" ? 0 : 1;
} catch (const std::exception& error) {
    std::fprintf(stderr, "test_package: %s\n", error.what());
    return 1;
}
