// world: a server and its peers on one io_context and one thread. Nothing sleeps: until(..) runs
// the loop until something is true. Peers are real sockets on loopback.
#pragma once

#include <asio/connect.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/write.hpp>
#include <boost/test/unit_test.hpp>
#include <chrono>
#include <ice/ice.hpp>
#include <string>
#include <vector>

#include "printing.hpp"

namespace test {

using namespace std::chrono_literals;
using asio::ip::tcp;

const ice::address any_port{"127.0.0.1", 0};

inline tcp::endpoint endpoint_of(const ice::address& a) {
    return {asio::ip::make_address(a.host()), a.port()};
}

class world;

// The other end of a connection: what it got so far, and how the connection ended.
class peer {
public:
    peer(world& w, tcp::socket s) : world_(w), socket_(std::move(s)) { socket_.non_blocking(true); }

    void send(std::string_view bytes) { asio::write(socket_, asio::buffer(bytes)); }
    // As much as the kernel takes; returns how much that was.
    std::size_t send_some(std::string_view bytes) {
        std::error_code ec;
        return socket_.write_some(asio::buffer(bytes), ec);
    }
    // The last of the bytes is urgent.
    void send_urgent(std::string_view bytes) {
        socket_.send(asio::buffer(bytes), tcp::socket::message_out_of_band);
    }
    void end() { socket_.shutdown(tcp::socket::shutdown_send); }
    void reset() {
        socket_.set_option(asio::socket_base::linger(true, 0));
        socket_.close();
    }
    void close() { socket_.close(); }

    // Reads what has come, and says whether the connection is over.
    bool poll() {
        char bytes[64 * 1024];
        while (!ended && !was_reset) {
            std::error_code ec;
            const std::size_t n = socket_.read_some(asio::buffer(bytes), ec);
            got.append(bytes, n);
            if (ec == asio::error::would_block) break;
            ended = ec == asio::error::eof;
            was_reset = ec && !ended;
        }
        return ended || was_reset;
    }

    std::string read(std::size_t n);  // waits for n bytes and takes them
    std::string read_line();          // waits for CR LF and takes all up to it, without it
    std::string read_to_end();        // waits for the end and takes all

    tcp::socket& socket() { return socket_; }

    std::string got;
    bool ended = false;
    bool was_reset = false;

private:
    world& world_;
    tcp::socket socket_;
};

class world {
public:
    world() {
        srv.log().to([this](ice::log_level, std::string_view line) { log.emplace_back(line); });
    }

    // Runs the loop until `done()`. A test that waits for ten seconds has failed.
    template <class Condition>
    void until(Condition done, const char* what = "something") {
        const auto end = std::chrono::steady_clock::now() + 10s;
        while (!done()) {
            if (std::chrono::steady_clock::now() > end) {
                for (const auto& line : log) BOOST_TEST_MESSAGE(line);
                BOOST_FAIL("waited in vain for " << what);
            }
            if (io.stopped()) io.restart();
            io.run_one_for(5ms);
        }
    }

    // Runs a coroutine to its end, beside everything else.
    template <class T>
    T run(ice::task<T> work) {
        std::optional<T> made;
        ice::spawn(
            std::make_shared<ice::server_context>(ice::make_socket_transport(io.get_executor())),
            keep(std::move(work), made), "test");
        until([&] { return made.has_value(); }, "a coroutine");
        return *std::move(made);
    }

    // Runs whatever is ready now, and what that makes ready.
    void settle() {
        do {
            if (io.stopped()) io.restart();
        } while (io.run_one_for(1ms) != 0);
    }

    peer connect(const ice::address& to) {
        tcp::socket s(io);
        s.connect(endpoint_of(to));
        return {*this, std::move(s)};
    }

    bool logged(std::string_view text) const {
        for (const auto& line : log) {
            if (line.find(text) != line.npos) return true;
        }
        return false;
    }

    asio::io_context io;
    ice::server srv{io};
    std::vector<std::string> log;

private:
    template <class T>
    static ice::task<> keep(ice::task<T> work, std::optional<T>& made) {
        made.emplace(co_await std::move(work));
    }
};

inline std::string peer::read(std::size_t n) {
    world_.until([&] { return poll() || got.size() >= n; }, "bytes");
    BOOST_TEST_REQUIRE(got.size() >= n);
    std::string taken = got.substr(0, n);
    got.erase(0, n);
    return taken;
}
inline std::string peer::read_line() {
    world_.until([&] { return poll() || got.find("\r\n") != got.npos; }, "a line");
    const std::size_t at = got.find("\r\n");
    BOOST_TEST_REQUIRE(at != got.npos);
    std::string taken = got.substr(0, at);
    got.erase(0, at + 2);
    return taken;
}
inline std::string peer::read_to_end() {
    world_.until([&] { return poll(); }, "the end of a connection");
    return std::exchange(got, "");
}

}  // namespace test
