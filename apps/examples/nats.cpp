// nats: prints what is published on a subject of NATS, and replies with the time to requests on
// the subject `time`.
#include <chrono>
#include <ice/nats_client.hpp>

#include "../app.hpp"

namespace {

std::string now() {
    const auto since = std::chrono::system_clock::now().time_since_epoch();
    return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(since).count());
}

}  // namespace

int main(int argc, char** argv) {
    std::string where = "127.0.0.1:4222", subject = "news.>";

    command_line cli{"Prints what is published on a subject of NATS.", "nats"};
    cli.add_address("--nats", where, "where nats-server listens");
    cli.add_text("--subject", subject, "a subject, or a pattern");

    return cli.run(argc, argv, [&] {
        // [subscribe]
        ice::server srv;
        ice::nats_client bus(srv, ice::address(where));
        bus.subscribe(subject, [](ice::nats_view m) {
            fmt::print("{}: {}\n", m.subject(), m.payload());
            ice::flush_stdout();
        });
        // Of all programs with the queue `clocks` one gets each request. What is returned is the
        // reply.
        bus.subscribe(
            "time", [](ice::nats_view) { return now(); }, "clocks");
        srv.run();
        // [subscribe]
    });
}
