// What a pool costs, and what sharing gains. An echo server of lines is asked on one connection:
//   direct, pool       by one caller, that has it for itself, or through a pool of 1
//   queued, pipelined  by 64 callers of a pool of 1, one at a time, or all at once
// pool_client 127.0.0.1:PORT direct|pool|queued|pipelined [SECONDS]: prints JSON
#include <sys/resource.h>

#include <algorithm>
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
constexpr int CROWD = 64;

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
    std::string_view how;
    steady::duration length;
    double cpu = 0;
    steady::time_point begin{};
    std::uint64_t requests = 0;
    int asking = 0;

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

    // Before the clock runs, so that it is connected.
    ice::task<void> run() {
        auto& pool = srv.get(upstream);
        co_await ask_pool(pool);
        start();
        if (how == "direct") {
            const auto timeout = length + std::chrono::seconds(10);
            auto own = co_await pool.acquire(timeout);
            if (!own) throw std::runtime_error(own.error().message());
            for (; !over(); requests += BATCH) co_await ask(**own);
        } else {
            for (; !over(); requests += BATCH) co_await ask_pool(pool);
        }
        finish();
    }
    void start() {
        cpu = cpu_seconds();
        begin = steady::now();
    }
    bool over() const { return steady::now() - begin >= length; }
    void finish() {
        const std::chrono::duration<double> seconds = steady::now() - begin;
        fmt::print("{{\"requests\": {}, \"seconds\": {:.6f}, \"cpu_seconds\": {:.6f}}}\n", requests,
                   seconds.count(), cpu_seconds() - cpu);
        srv.stop();
    }

    // One of a crowd; the last to end says what they have done.
    ice::task<void> run_beside() {
        if (asking++ == 0) start();
        auto& pool = srv.get(upstream);
        for (; !over(); requests += BATCH) co_await ask_pool(pool);
        if (--asking == 0) finish();
    }
};

}  // namespace

int main(int argc, char** argv) try {
    const std::string_view how = argc > 2 ? argv[2] : "";
    const auto ways = {"direct", "pool", "queued", "pipelined"};
    if (std::ranges::find(ways, how) == ways.end()) {
        std::fputs("pool_client 127.0.0.1:PORT direct|pool|queued|pipelined [SECONDS]\n", stderr);
        return 2;
    }
    const std::chrono::duration<double> length(argc > 3 ? std::stod(argv[3]) : 2);
    ice::server srv;
    const ice::pool_limits limits{.pipeline = how == "pipelined" ? std::size_t{CROWD} : 1};
    srv.add(ice::tcp_client_action{ice::address(argv[1]), upstream, 1}.limits(limits));
    client asking{srv, how, std::chrono::duration_cast<steady::duration>(length)};
    std::exception_ptr failed;
    const bool crowd = how == "queued" || how == "pipelined";
    for (int i = 0; i < (crowd ? CROWD : 1); ++i) {
        auto work = crowd ? asking.run_beside() : asking.run();
        asio::co_spawn(srv.executor(), std::move(work), [&](std::exception_ptr e) {
            if (!e) return;
            failed = e;
            srv.stop();
        });
    }
    srv.run();
    if (failed) std::rethrow_exception(failed);
    ice::flush_stdout();
} catch (const std::exception& error) {
    std::fprintf(stderr, "pool_client: %s\n", error.what());
    return 1;
}
