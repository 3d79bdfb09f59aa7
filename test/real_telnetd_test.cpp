// telnet on a link to a real telnetd (inetutils), which runs a shell script on a terminal of its
// own: what the script sees of the terminal. The environment variable ICE_TELNETD names another
// program than the installed one.
#include <fcntl.h>
#include <fmt/format.h>

#include <asio/ip/tcp.hpp>
#include <ice/link.hpp>
#include <ice/protocols/telnet.hpp>
#include <string>
#include <vector>

#include "real_server.hpp"
#include "world.hpp"

namespace {

using namespace test;
using lines = std::vector<std::string>;

// One process for one connection, as inetd starts it.
class telnetd : public real_server {
public:
    static boost::test_tools::assertion_result is_installed(boost::unit_test::test_unit_id) {
        return is_there(program());
    }
    static std::string program() {
        const char* const named = std::getenv("ICE_TELNETD");
        return named != nullptr ? named : "/usr/sbin/telnetd";
    }

    // Lines with the terminal's type and size, at first and behind each line of input.
    void serve(tcp::socket& connection) {
        const std::string script = folder() + "/script";
        const int file = open(script.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0700);
        const std::string text =
            "#!/bin/sh\necho \"$TERM\"\n"
            "while read line; do echo \"$line: $(stty size)\"; done\n";
        BOOST_TEST(write(file, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
        close(file);
        start({program(), "-h", "-E", script}, connection.native_handle());
    }
};

struct fixture : world {
    fixture() {
        acceptor.non_blocking(true);
        link = &srv.add(ice::tcp_link_action<ice::telnet>{
            ice::address("127.0.0.1", acceptor.local_endpoint().port()), "telnetd"}
                            .protocol(ice::telnet({.terminal = {"XTERM-256COLOR", {100, 40}}}))
                            .logic([this](std::string_view line) { heard.emplace_back(line); }));
        std::error_code ec;
        const auto accepts = [&] {
            acceptor.accept(connection, ec);
            return !ec;
        };
        until(accepts, "the link");
        server.serve(connection);
        connection.close();
    }
    void expect(const std::string& line) {
        until([&] { return !heard.empty(); }, "a line");
        BOOST_TEST(heard.front() == line);
        heard.erase(heard.begin());
    }

    telnetd server;
    tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
    tcp::socket connection{io};
    ice::link<ice::telnet>* link = nullptr;
    lines heard;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(real_telnetd, *boost::unit_test::precondition(telnetd::is_installed))

BOOST_FIXTURE_TEST_CASE(a_real_server_learns_the_terminal_and_each_change_of_its_window, fixture) {
    // telnetd starts the script only once each of its options is answered.
    expect("xterm-256color");
    BOOST_TEST(!link->push("one"));
    expect("one: 40 100");
    BOOST_TEST(!link->push(ice::telnet_window{255, 50}));
    BOOST_TEST(!link->push("two"));
    expect("two: 50 255");
}

BOOST_AUTO_TEST_SUITE_END()
