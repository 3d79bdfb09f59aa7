// The echo of lines by ice with a coroutine as its logic: what apps/echo does by a plain function,
// so that the difference is the price of a coroutine for each message.
#include <cstdio>
#include <exception>
#include <ice/ice.hpp>
#include <string>

int main(int argc, char** argv) try {
    ice::server srv;
    const std::string port = argc > 1 ? argv[1] : "9999";
    auto& here =
        srv.add(ice::tcp_server_action{ice::address("127.0.0.1:" + port)}
                    .protocol(ice::line{})
                    .logic([](std::string_view line, ice::session<ice::line>&)
                               -> ice::task<ice::borrowed<std::string_view>> { co_return line; }));
    fmt::print("listening on {}\n", here.endpoint());
    ice::flush_stdout();
    srv.run();
} catch (const std::exception& error) {
    std::fprintf(stderr, "coroutine_line: %s\n", error.what());
    return 1;
}
