// callers: send requests to one upstream through one pool at a fixed rate, and check that each
// reply is theirs. Prints numbers for each tenth of a second.
#include <chrono>
#include <filesystem>
#include <fstream>
#include <map>

#include "../../apps/app.hpp"
#include "../../apps/local_time.hpp"

namespace {

using namespace std::chrono_literals;
using milliseconds_with_fraction = std::chrono::duration<double, std::milli>;

constexpr auto row_width = 100ms;

enum class verdict { right, failed, wrong };

// What began in one tenth of a second.
struct row {
    unsigned right = 0, failed = 0, wrong = 0;
    ice::duration overrun{};         // the longest that a request took beyond its timeout
    std::ptrdiff_t descriptors = 0;  // once in that time; 0: not yet looked at
    long resident = 0;               // KiB
};

class ledger {
public:
    void add(ice::time_point began, verdict v, ice::duration overrun) {
        row& r = rows_[began.time_since_epoch() / row_width];
        if (v == verdict::right) ++r.right;
        if (v == verdict::failed) ++r.failed;
        if (v == verdict::wrong) ++r.wrong;
        r.overrun = std::max(r.overrun, overrun);
    }
    void add(ice::error_code why) { ++failures_[why.message()]; }
    void add_stall(ice::duration d) { stall_ = std::max(stall_, d); }
    void look_at_process(ice::time_point now) {
        row& r = rows_[now.time_since_epoch() / row_width];
        if (r.descriptors != 0) return;
        r.descriptors = descriptors();
        r.resident = resident();
    }

    // Begin, right, failed, wrong, worst overrun, worst stall of the whole process (ms) since the
    // line before, descriptors, resident memory (KiB).
    void write(ice::time_point before) {
        while (!rows_.empty() && rows_.begin()->first < before.time_since_epoch() / row_width) {
            const auto& [index, r] = *rows_.begin();
            const std::chrono::duration<double> began = index * row_width;
            fmt::print("{:.1f} {} {} {} {:.3f} {:.3f} {} {}\n", began.count(), r.right, r.failed,
                       r.wrong, milliseconds_with_fraction(r.overrun).count(),
                       milliseconds_with_fraction(stall_).count(), r.descriptors, r.resident);
            stall_ = {};
            rows_.erase(rows_.begin());
        }
        std::fflush(stdout);
    }
    void write_failures() const {
        for (const auto& [why, count] : failures_) fmt::print("failed: {} {}\n", count, why);
    }

private:
    static std::ptrdiff_t descriptors() {
        return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {});
    }
    static long resident() {
        std::ifstream status("/proc/self/statm");
        long size = 0, pages = 0;
        status >> size >> pages;
        return pages * 4;  // KiB: a page of x86-64 and of most others
    }

    std::map<std::int64_t, row> rows_;
    std::map<std::string, unsigned> failures_;
    ice::duration stall_{};
};

// Its reply is its request, with a checksum in it: TCP would not tell what a proxy has corrupted.
struct of_redis {
    using protocol = ice::resp;

    static std::string sealed(std::string text) {
        std::uint32_t sum = 2166136261;  // FNV-1a: it differs if any one byte does
        for (const char c : text) sum = (sum ^ static_cast<unsigned char>(c)) * 16777619;
        return fmt::format("{} {:08x}", text, sum);
    }
    static bool is_sealed(std::string_view text) {
        return text.size() > 9 && text == sealed(std::string(text.substr(0, text.size() - 9)));
    }

    // A broken reply ends its connection, as later bytes may be broken, too.
    static auto checked(ice::tcp_client_action<protocol> action) {
        return std::move(action).logic([](ice::resp_view reply) -> ice::result<ice::resp_value> {
            if (!is_sealed(reply.text())) return make_error_code(ice::errc::bad_message);
            return ice::resp_value(reply);
        });
    }

    of_redis(unsigned caller, unsigned number)
        : text(sealed(fmt::format("{} of {}", number, caller))) {}
    auto message() const { return ice::resp_command("ECHO", text); }
    bool is_answered_by(const ice::resp_value& reply) const { return reply.text() == text; }

    std::string text;
};

// Every other request gets another answer, and a time is that of the second when it was asked.
struct of_time {
    using protocol = ice::line;

    static auto checked(ice::tcp_client_action<protocol> action) { return action; }

    of_time(unsigned caller, unsigned number)
        : asks((number * 2654435761U + caller) & 0x10000), since(local_time()) {}
    std::string message() const { return asks ? "gettime" : "something else"; }
    bool is_answered_by(const std::string& reply) const {
        if (!asks) return reply == "command wrong";
        return looks_like_a_time(reply) && since <= reply && reply <= local_time();
    }

    bool asks;
    std::string since;
};

struct plan {
    std::string upstream = "127.0.0.1:10000";
    std::size_t connections = 4;
    unsigned callers = 16;
    unsigned rate = 200;
    unsigned timeout = 250;
};

template <class Question>
ice::task<> call(ice::pool<typename Question::protocol>& pool, ice::transport& net, ledger& seen,
                 plan p, unsigned caller) {
    const auto interval = ice::duration(1s) / p.rate;
    const std::chrono::milliseconds timeout(p.timeout);
    co_await net.sleep(interval * caller / p.callers);
    for (unsigned number = 0;; ++number) {
        const auto began = net.now();
        const Question question(caller, number);
        const auto message = question.message();
        const auto reply = co_await pool.request(message, timeout);
        const auto took = net.now() - began;

        if (!reply) seen.add(reply.error());
        const bool is_right = reply && question.is_answered_by(*reply);
        seen.add(began,
                 is_right ? verdict::right
                 : reply  ? verdict::wrong
                          : verdict::failed,
                 took - timeout);
        if (took < interval) co_await net.sleep(interval - took);
    }
}

// Writes, and measures how late this process gets to what it has to do: what it measures of a pool
// is as late as that.
ice::task<> report(ice::transport& net, ledger& seen, std::chrono::milliseconds behind) {
    for (;;) {
        const auto planned = net.now() + 10ms;
        co_await net.sleep(10ms);
        seen.add_stall(net.now() - planned);
        seen.look_at_process(net.now());
        seen.write(net.now() - behind);
    }
}

template <class Question>
void run(const plan& p) {
    ledger seen;
    ice::server srv;
    srv.log().to([](ice::log_level, std::string_view) {});
    auto action = ice::tcp_client_action<typename Question::protocol>(ice::address(p.upstream),
                                                                      "upstream", p.connections);
    auto& pool = srv.add(Question::checked(std::move(action)));
    const auto context =
        std::make_shared<ice::server_context>(ice::make_socket_transport(srv.executor()));
    for (unsigned i = 0; i < p.callers; ++i)
        ice::spawn(context, call<Question>(pool, *context->net, seen, p, i), "caller");
    ice::spawn(context, report(*context->net, seen, std::chrono::milliseconds(2 * p.timeout)),
               "report");
    srv.run();
    seen.write(ice::never);
    seen.write_failures();
    fmt::print("{}\n", pool.report());
}

}  // namespace

int main(int argc, char** argv) {
    plan p;
    std::string kind = "redis";

    command_line cli{"Asks an upstream through a pool until SIGTERM.", "callers"};
    cli.add_address("--upstream", p.upstream, "whom they ask");
    cli.add_choice("--kind", kind, {"redis", "time"}, "what the upstream is");
    cli.add_number("--connections", p.connections, "of the pool");
    cli.add_number("--callers", p.callers, "how many ask");
    cli.add_number("--rate", p.rate, "requests a second, of each");
    cli.add_number("--timeout", p.timeout, "of a request, ms");

    return cli.run(argc, argv, [&] {
        if (kind == "redis") run<of_redis>(p);
        else run<of_time>(p);
    });
}
