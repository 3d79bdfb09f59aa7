// greeting: a line protocol with a handshake. The client says "hello", the server "welcome".
#pragma once

#include <ice/protocols/line.hpp>
#include <ice/session.hpp>
#include <string_view>

namespace test {

struct greeting : ice::line {
    greeting() : ice::line("\r\n", 100'000) {}
    void as_server() noexcept { is_server = true; }

    ice::task<ice::error_code> handshake(ice::session<greeting>& peer) {
        if (!is_server) {
            const ice::error_code unsent = co_await peer.send(std::string_view("hello"));
            if (unsent) co_return unsent;
        }
        const auto heard = co_await peer.receive();
        if (!heard) co_return heard.error();
        if (*heard != (is_server ? "hello" : "welcome")) co_return ice::errc::handshake_failed;
        if (!is_server) co_return ice::error_code();
        const ice::error_code unsent = co_await peer.send(std::string_view("welcome"));
        co_return unsent;
    }

    bool is_server = false;
};

}  // namespace test
