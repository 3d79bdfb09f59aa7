// The yardstick for lines: an echo of lines as Asio's manual teaches it, read_until and a write per
// line, one C++20 coroutine per connection. It uses nothing of ice.
#include <asio/awaitable.hpp>
#include <asio/buffer.hpp>
#include <asio/co_spawn.hpp>
#include <asio/detached.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/read_until.hpp>
#include <asio/signal_set.hpp>
#include <asio/use_awaitable.hpp>
#include <asio/write.hpp>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <utility>

using asio::ip::tcp;

asio::awaitable<void> echo(tcp::socket socket) {
    std::string data;
    try {
        for (;;) {
            auto size = co_await asio::async_read_until(socket, asio::dynamic_buffer(data), "\r\n",
                                                        asio::use_awaitable);
            co_await asio::async_write(socket, asio::buffer(data, size), asio::use_awaitable);
            data.erase(0, size);
        }
    } catch (const std::exception&) {
        // The peer has gone: this is how the textbook loop ends.
    }
}

asio::awaitable<void> listen(tcp::acceptor& acceptor) {
    for (;;) {
        auto socket = co_await acceptor.async_accept(asio::use_awaitable);
        asio::co_spawn(acceptor.get_executor(), echo(std::move(socket)), asio::detached);
    }
}

int main(int argc, char** argv) try {
    auto port = static_cast<std::uint16_t>(argc > 1 ? std::stoi(argv[1]) : 9999);

    asio::io_context io(1);
    asio::signal_set signals(io, SIGINT, SIGTERM);
    signals.async_wait([&](auto, auto) { io.stop(); });
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), port});
    acceptor.set_option(tcp::no_delay(true));  // what it accepts inherits it (Linux)
    asio::co_spawn(io, listen(acceptor), asio::detached);
    std::printf("listening on 127.0.0.1:%d\n", acceptor.local_endpoint().port());
    std::fflush(stdout);
    io.run();
} catch (const std::exception& error) {
    std::fprintf(stderr, "asio_line: %s\n", error.what());
    return 1;
}
