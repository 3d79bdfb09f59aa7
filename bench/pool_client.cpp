// What a pool costs: one caller asks an echo server of lines, one request after the other, through
// a pool of 1 connection or on a connection that it has for itself.
// pool_client 127.0.0.1:PORT pool|direct [SECONDS]: prints JSON
#include <sys/resource.h>

#include <asio/co_spawn.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <ice/ice.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

namespace {

using steady = std::chrono::steady_clock;

constexpr ice::pool_name<ice::line> upstream{"upstream"};
constexpr std::string_view REQUEST = "thirty bytes, and then CR LF..";
constexpr int BATCH = 64;  // requests between two looks at the clock

double cpu_seconds() {
    rusage used{};
    ::getrusage(RUSAGE_SELF, &used);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(used.ru_utime) + seconds(used.ru_stime);
}

template <class Reply>
void check(const Reply& reply) {
    if (!reply) throw std::runtime_error(reply.error().message());
    if (*reply != REQUEST) throw std::runtime_error("a wrong reply");
}

struct client {
    ice::server& srv;
    bool pooled;
    steady::duration length;

    ice::task<void> ask_pool(ice::pool<ice::line>& pool) {
        for (int i = 0; i < BATCH; ++i) {
            const auto reply = co_await pool.request(REQUEST);
            check(reply);
        }
    }
    ice::task<void> ask(ice::session<ice::line>& peer) {
        for (int i = 0; i < BATCH; ++i) {
            const ice::error_code unsent = co_await peer.send(REQUEST);
            if (unsent) throw std::runtime_error(unsent.message());
            const auto reply = co_await peer.receive();
            check(reply);
        }
    }

    ice::task<void> run() {
        auto& pool = srv.get(upstream);
        co_await ask_pool(pool);  // by now it is connected
        const auto patience = length + std::chrono::seconds(10);
        auto own = co_await pool.acquire(patience);
        if (!own) throw std::runtime_error(own.error().message());
        if (pooled) { auto back = *std::move(own); }
        const double cpu = cpu_seconds();
        const auto begin = steady::now();
        auto now = begin;
        std::uint64_t requests = 0;
        for (; now - begin < length; now = steady::now(), requests += BATCH) {
            if (pooled) co_await ask_pool(pool);
            else co_await ask(**own);
        }
        fmt::print("{{\"requests\": {}, \"seconds\": {:.6f}, \"cpu_seconds\": {:.6f}}}\n", requests,
                   std::chrono::duration<double>(now - begin).count(), cpu_seconds() - cpu);
        srv.stop();
    }
};

}  // namespace

int main(int argc, char** argv) try {
    const std::string_view how = argc > 2 ? argv[2] : "";
    if (how != "pool" && how != "direct") {
        std::fputs("pool_client 127.0.0.1:PORT pool|direct [SECONDS]\n", stderr);
        return 2;
    }
    const std::chrono::duration<double> length(argc > 3 ? std::stod(argv[3]) : 2);
    ice::server srv;
    srv.add(ice::tcp_client_action{ice::address(argv[1]), upstream, 1});
    client asking{srv, how == "pool", std::chrono::duration_cast<steady::duration>(length)};
    std::exception_ptr failed;
    asio::co_spawn(srv.executor(), asking.run(), [&](std::exception_ptr e) {
        failed = e;
        srv.stop();
    });
    srv.run();
    if (failed) std::rethrow_exception(failed);
} catch (const std::exception& error) {
    std::fprintf(stderr, "pool_client: %s\n", error.what());
    return 1;
}
