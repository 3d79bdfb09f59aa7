// Seed defect 5: running out of descriptors in accept ended the whole server.
#include <sys/resource.h>

#include <filesystem>
#include <list>

#include "../world.hpp"

namespace {

std::size_t open_descriptors() {
    const std::filesystem::directory_iterator all("/proc/self/fd");
    return static_cast<std::size_t>(std::distance(begin(all), end(all))) - 1;
}

// Only so many more descriptors, until the end of the scope.
class scarcity {
public:
    explicit scarcity(std::size_t more) {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const rlimit now{open_descriptors() + more, before_.rlim_max};
        BOOST_TEST_REQUIRE(::setrlimit(RLIMIT_NOFILE, &now) == 0);
    }
    ~scarcity() { ::setrlimit(RLIMIT_NOFILE, &before_); }
    scarcity(const scarcity&) = delete;
    scarcity& operator=(const scarcity&) = delete;

private:
    rlimit before_{};
};

}  // namespace

BOOST_AUTO_TEST_CASE(without_descriptors_a_server_serves_its_connections_and_recovers) {
    // The server must neither end nor spin: each accept returns EMFILE at once.
    test::world w;
    auto& l = w.srv.add(ice::tcp_server_action{test::any_port}.protocol(ice::line{}));
    // UBSan opens a pipe when it first meets a type, so all that happens below happens here first.
    auto rehearsal = w.connect(l.endpoint());
    rehearsal.close();
    w.until([&] { return l.counters().closed == 1; }, "the end of a connection");
    BOOST_TEST(ice::error_code(EMFILE, asio::error::get_system_category()).message() != "");
    auto first = w.connect(l.endpoint());
    first.send("one\r\n");
    BOOST_TEST(first.read_line() == "one");
    auto& served = *l.find(ice::uid(2));
    BOOST_TEST((served.now() > ice::time_point()));
    std::list<test::peer> waiting;
    {
        // Three for the peers, which are in this process too; one for the server.
        const scarcity few(4);
        for (int i = 0; i < 3; ++i) waiting.push_back(w.connect(l.endpoint()));
        for (auto& p : waiting) p.send("me\r\n");
        w.until([&] { return l.counters().accept_errors != 0; }, "accept to fail");
        const auto later = served.now() + std::chrono::milliseconds(350);
        w.until([&] { return served.now() > later; }, "a third of a second");
        BOOST_TEST(l.counters().accept_errors <= 5U);  // 100 ms apart; spinning makes thousands
        BOOST_TEST(w.logged("Too many open files"));
        first.send("two\r\n");
        BOOST_TEST(first.read_line() == "two");
        // A peer that leaves frees two descriptors, its own and that of the server.
        first.close();
        for (auto& p : waiting) BOOST_TEST(p.read_line() == "me");
        BOOST_TEST(l.counters().accepted == 5U);
    }
}
