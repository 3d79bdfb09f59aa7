// login: a telnet server that asks for a name and a password, and tells what it knows of the
// client's terminal. Each line after the login gets the answer of the moment.
#include <fmt/format.h>

#include "app.hpp"

namespace {

std::string terminal(const ice::telnet& client) {
    const auto [columns, rows] = client.window();
    return fmt::format("{}x{} '{}'{}", columns, rows, client.terminal_type(),
                       client.is_utf8() ? " UTF-8" : "");
}

struct login {
    ice::task<> converse(ice::session<ice::telnet>& user) {
        auto lost = co_await user.send(ice::telnet_prompt("name: "));
        const auto name = co_await user.receive();
        if (lost || !name) co_return;
        const std::string who(*name);

        lost = co_await user.send(ice::telnet_prompt("password: ", ice::telnet_echo::off));
        const auto password = co_await user.receive();
        if (lost || !password) co_return;
        // An example has one user; its password is no secret.
        if (who != "ada" || *password != "lovelace") {
            lost = co_await user.send("wrong name or password");
            co_return;
        }
        lost = co_await user.send(fmt::format("welcome, {}", who));
        while (!lost) {
            const auto line = co_await user.receive();
            if (!line || *line == "quit") co_return;
            lost = co_await user.send(terminal(user.protocol()));
        }
    }
};

}  // namespace

int main(int argc, char** argv) {
    std::string listen = "127.0.0.1:9999";
    bool binary = false;

    command_line cli{"Asks for a name (ada) and a password (lovelace).", "login"};
    cli.add_address("--listen", listen, "where to listen");
    cli.add_flag("--binary", binary, "asks for BINARY (RFC 856)");

    return cli.run(argc, argv, [&] {
        ice::server srv;
        print_ready(srv.add(
            ice::tcp_server_action{ice::address(listen)}
                .protocol(ice::telnet(
                    {.terminal_type = true, .window = true, .utf8 = true, .binary = binary}))
                .logic(login{})));
        srv.run();
    });
}
