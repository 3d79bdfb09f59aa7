// Load of SET on the second database of Redis, which each connection selects first.
#include <ice/bench.hpp>
#include <ice/protocols/resp.hpp>

struct second_database : ice::resp {
    ice::task<bool> handshake(ice::session<second_database>& redis) {
        if (co_await redis.send(ice::resp_command("SELECT", 1))) co_return false;
        const auto reply = co_await redis.receive();
        co_return reply && reply->text() == "OK";
    }
};

int main(int argc, char** argv) {
    return ice::bench::run(
        argc, argv, second_database{},
        [](auto n) { return ice::resp_command("SET", "bench:" + std::to_string(n % 1000), n); },
        [](ice::resp_view reply, auto) { return reply.text() == "OK"; });
}
