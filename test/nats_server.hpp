// nats_server: a real nats-server on a port of loopback that was free. The environment variable
// ICE_NATS_SERVER names another program than the installed one.
#pragma once

#include <fmt/format.h>

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include "real_server.hpp"

namespace test {

class nats_server : public real_server {
public:
    static boost::test_tools::assertion_result is_installed(boost::unit_test::test_unit_id) {
        return is_there(program());
    }
    static std::string program() {
        const char* const named = std::getenv("ICE_NATS_SERVER");
        return named != nullptr ? named : "nats-server";
    }
    static std::uint16_t free_port() {
        asio::io_context io;
        return asio::ip::tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0})
            .local_endpoint()
            .port();
    }

    // `config` is the text of its configuration; `more` are further arguments, such as "--user".
    explicit nats_server(const std::string& config = "", const std::vector<std::string>& more = {})
        : port_(free_port()) {
        const std::string file = folder() + "/config";
        std::ofstream(file) << config << '\n';
        std::vector<std::string> command{
            program(), "-a", "127.0.0.1", "-p", fmt::format("{}", port_), "-c", file};
        command.insert(command.end(), more.begin(), more.end());
        start(std::move(command));
    }
    using real_server::start;

    ice::address where() const { return {"127.0.0.1", port_}; }
    // From now on it sends INFOs with ldm to its clients, and closes them one by one.
    void begin_lame_duck() { signal(SIGUSR2); }
    bool logged(std::string_view text) const {
        std::ifstream in(folder() + "/log");
        const std::string all(std::istreambuf_iterator<char>(in), {});
        return all.find(text) != all.npos;
    }

private:
    std::uint16_t port_;
};

}  // namespace test
