// The transport of real sockets: their options, and the errors of connecting and listening.
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/co_spawn.hpp>
#include <asio/local/stream_protocol.hpp>
#include <atomic>
#include <barrier>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <ice/asio.hpp>
#include <ice/transport.hpp>
#include <thread>

#include "quiet_server.hpp"
#include "upstream.hpp"

namespace {

using namespace std::string_literals;
using namespace test;

struct fixture : world {
    std::shared_ptr<ice::transport> net = ice::make_socket_transport(io.get_executor());

    ice::error_code connect_error(const ice::address& to, ice::duration timeout = 5s) {
        auto r = run(net->connect(to, net->now() + timeout));
        return r.error();
    }
};

int option(int fd, int level, int name) {
    int value = 0;
    socklen_t size = sizeof value;
    BOOST_TEST(::getsockopt(fd, level, name, &value, &size) == 0);
    return value;
}

void check_options(int fd, bool is_tcp) {
    BOOST_TEST((::fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0, "close-on-exec");
    BOOST_TEST((::fcntl(fd, F_GETFL) & O_NONBLOCK) != 0, "non-blocking");
    if (!is_tcp) return;
    BOOST_TEST(option(fd, IPPROTO_TCP, TCP_NODELAY) != 0, "TCP_NODELAY");
    BOOST_TEST(option(fd, SOL_SOCKET, SO_KEEPALIVE) != 0, "SO_KEEPALIVE");
    BOOST_TEST(option(fd, SOL_SOCKET, SO_OOBINLINE) != 0, "SO_OOBINLINE");
}

struct temporary_path {
    std::string path =
        (std::filesystem::temp_directory_path() / fmt::format("ice-test-{}", ::getpid())).string();
    ~temporary_path() { ::unlink(path.c_str()); }
};

}  // namespace

BOOST_FIXTURE_TEST_SUITE(transport, fixture)

BOOST_AUTO_TEST_CASE(a_deadline_that_throws_does_not_stop_the_others) {
    // A deadline of the user may throw out of run(), as any handler may; when the loop runs again
    // the other deadlines are still set.
    bool rang = false;
    ice::deadline first(
        net->deadlines(), [](void*) { throw std::logic_error("the user's own"); }, nullptr);
    ice::deadline second(
        net->deadlines(), [](void* p) { *static_cast<bool*>(p) = true; }, &rang);
    const ice::time_point at = net->now();
    first.set(at + 1ms);
    second.set(at + 20ms);
    BOOST_CHECK_THROW(until([&] { return rang; }), std::logic_error);
    until([&] { return rang; }, "the second deadline");
}

BOOST_AUTO_TEST_CASE(after_release_the_loop_ends_with_the_last_deadline) {
    // Otherwise io.run() of the user would wait for a deadline of an object that is gone.
    asio::io_context loop;
    const auto own = ice::make_socket_transport(loop.get_executor());
    std::optional<ice::deadline> late;
    late.emplace(
        own->deadlines(), [](void*) {}, nullptr);
    late->set(own->now() + 1h);
    own->release();
    loop.poll();
    BOOST_TEST(!loop.stopped(), "somebody waits still");
    late.reset();
    loop.poll();
    BOOST_TEST(loop.stopped());
}

BOOST_AUTO_TEST_CASE(accepted_sockets_have_the_options_of_a_server) {
    // On Linux they inherit TCP options from the listening socket, but not close-on-exec.
    int fd = -1;
    auto look = [&](std::string_view, ice::session<ice::raw>& s) {
        fd = ice::socket(s).native_handle();
    };
    auto& l = srv.add(ice::tcp_server_action{any_port}.logic(look));
    auto p = connect(l.endpoint());
    p.send("x");
    until([&] { return fd >= 0; });
    check_options(fd, true);
}

BOOST_AUTO_TEST_CASE(sockets_of_pools_have_the_same_options) {
    upstream up(*this);
    int fd = -1;
    constexpr ice::pool_name<ice::line> name{"up"};
    auto& p = srv.add(ice::tcp_client_action{up.where(), name, 1});
    auto look = [&]() -> ice::task<bool> {
        auto lease = co_await p.acquire();
        fd = ice::socket(**lease).native_handle();
        co_return true;
    };
    run(look());
    check_options(fd, true);
}

// A telnet client sends Synch as IAC and an urgent DM, alone or behind a command. The danger: the
// kernel keeps the urgent byte back, and the byte behind it is taken for the command.
BOOST_AUTO_TEST_CASE(an_urgent_byte_stays_at_its_place_in_the_stream) {
    const auto say = [&](peer& p) {
        for (const std::string& before : {"one"s, ""s, "\xff"s, "\xff\xf4\xff"s}) {
            if (!before.empty()) p.send(before);
            p.send_urgent("\xf2");
            p.send("two");
            BOOST_TEST(p.read(before.size() + 4) == before + "\xf2two");
        }
        for (const char* twice : {"ab", "cd"}) p.send_urgent(twice);  // one mark replaces the other
        p.send("e");
        BOOST_TEST(p.read(5) == "abcde");
    };
    for (const char* where : {"127.0.0.1:0", "[::1]:0"}) {
        auto& l = srv.add(ice::tcp_server_action{ice::address(where)});
        auto p = connect(l.endpoint());
        say(p);
    }
}

BOOST_AUTO_TEST_CASE(ipv6_works_and_is_printed_with_brackets) {
    auto& l = srv.add(ice::tcp_server_action{ice::address("[::1]:0")});
    BOOST_TEST(l.endpoint().text().starts_with("[::1]:"));
    auto p = connect(l.endpoint());
    p.send("six");
    BOOST_TEST(p.read(3) == "six");
}

BOOST_AUTO_TEST_CASE(peer_ip_has_the_bytes_of_the_text_of_peer) {
    // The limit of connections per peer counts by the bytes, and its log shows the text.
    for (const char* host : {"127.0.0.1", "::1", "::ffff:127.0.0.1"}) {
        const auto listening = net->listen(ice::address{host, 0});
        const auto near = run(net->connect(listening->local(), net->now() + 5s)).value();
        const auto far = listening->accept().value();
        for (const auto* c : {near.get(), far.get()}) {
            BOOST_TEST(c->peer_ip() == ice::address(host, 1).ip(), host);
            BOOST_TEST(c->peer_ip() == c->peer().ip(), c->peer().text());
        }
    }
}

BOOST_AUTO_TEST_CASE(a_name_is_resolved_for_listening_and_for_connecting) {
    auto& l = srv.add(ice::tcp_server_action{ice::address{"localhost", 0}});
    BOOST_TEST(!connect_error(ice::address{"localhost", l.endpoint().port()}));
}

BOOST_AUTO_TEST_CASE(a_name_that_does_not_exist_is_an_error_with_a_text) {
    BOOST_TEST(connect_error(ice::address{"no.such.invalid", 1}) == ice::errc::host_not_found);
}

BOOST_AUTO_TEST_CASE(a_zone_that_is_no_interface_is_an_error) {
    // Such a zone was ignored: a connection could use another interface.
    for (const char* host : {"::1%nosuch", "fe80::1%4typo", "fe80::1%4000000"}) {
        const ice::address where(host, 9);
        BOOST_TEST((connect_error(where) == std::errc::no_such_device), host);
        BOOST_CHECK_EXCEPTION(
            net->listen(where), std::runtime_error, [&](const std::runtime_error& e) {
                return e.what() == fmt::format("cannot listen on {}: No such device", where);
            });
    }
    BOOST_TEST((connect_error(ice::address("::1%lo", 9)) == std::errc::connection_refused));
}

BOOST_AUTO_TEST_CASE(the_ipv6_wildcard_accepts_ipv4_and_the_ipv4_wildcard_no_ipv6) {
    const auto any = net->listen(ice::address("::", 0));
    BOOST_TEST(!connect_error(ice::address("127.0.0.1", any->local().port())));
    BOOST_TEST(!connect_error(ice::address("::1", any->local().port())));
    const auto only_v4 = net->listen(ice::address("0.0.0.0", 0));
    BOOST_TEST(!connect_error(ice::address("127.0.0.1", only_v4->local().port())));
    BOOST_TEST((connect_error(ice::address("::1", only_v4->local().port())) ==
                std::errc::connection_refused));
}

BOOST_AUTO_TEST_CASE(a_refused_connect_equals_connection_refused_and_not_executed) {
    const auto ec = connect_error(ice::address{"127.0.0.1", 1});
    BOOST_TEST((ec == std::errc::connection_refused));
    BOOST_TEST((ec == ice::condition::not_executed));
    BOOST_TEST(ec.message() == "cannot connect: Connection refused");
}

BOOST_AUTO_TEST_CASE(a_socket_that_would_connect_to_itself_is_refused) {
    // The caller got its own request as the reply. In a network namespace with one ephemeral port
    // the kernel has no other choice. Afterwards the upstream can start on that port.
    const pid_t child = ::fork();
    if (child == 0) {
        if (::unshare(CLONE_NEWNET) != 0 && ::unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
            ::_exit(77);
        const int lo = ::socket(AF_INET, SOCK_DGRAM, 0);
        ifreq up{};
        std::strcpy(up.ifr_name, "lo");
        up.ifr_flags = IFF_UP | IFF_RUNNING;
        std::ofstream range("/proc/sys/net/ipv4/ip_local_port_range");
        range << "40000 40000" << std::flush;
        if (::ioctl(lo, SIOCSIFFLAGS, &up) != 0 || !range) ::_exit(77);
        asio::io_context own;
        const auto alone = ice::make_socket_transport(own.get_executor());
        int verdict = 1;
        auto attempt = [&]() -> ice::task<> {
            const ice::address to("127.0.0.1", 40000);
            const auto r = co_await alone->connect(to, alone->now() + 5s);
            if (r.error() != ice::connect_error(asio::error::connection_refused)) co_return;
            const tcp::acceptor upstream(own, endpoint_of(to), false);  // no SO_REUSEADDR
            verdict = 0;
        };
        asio::co_spawn(own, attempt(), [&](std::exception_ptr e) { verdict = e ? 2 : verdict; });
        own.run();
        ::_exit(verdict);
    }
    int status = 0;
    BOOST_TEST(::waitpid(child, &status, 0) == child);
    BOOST_TEST_REQUIRE(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77) BOOST_TEST_MESSAGE("skipped: no network of its own is allowed");
    else BOOST_TEST(WEXITSTATUS(status) == 0, "1: it has connected; 2: its port is in TIME_WAIT");
}

BOOST_AUTO_TEST_CASE(unix_sockets_serve_and_leave_no_file) {
    const temporary_path at;
    const ice::address where("unix:" + at.path);
    {
        quiet_server unix_srv(io);
        int fd = -1;
        auto look = [&](std::string_view bytes, ice::session<ice::raw>& s) {
            fd = ice::socket(s).native_handle();
            return bytes;
        };
        auto& l = unix_srv.add(ice::tcp_server_action{where}.logic(look));
        BOOST_TEST((l.endpoint() == where));
        asio::local::stream_protocol::socket client(io);
        client.connect(at.path);
        asio::write(client, asio::buffer(std::string_view("unix")));
        until([&] { return client.available() == 4; });
        check_options(fd, false);
        BOOST_TEST(!connect_error(where));
    }
    BOOST_TEST(!std::filesystem::exists(at.path));
    BOOST_TEST((connect_error(where) == std::errc::no_such_file_or_directory));
}

BOOST_AUTO_TEST_CASE(a_unix_socket_left_by_a_killed_server_is_replaced_and_a_live_one_is_not) {
    const temporary_path at;
    const ice::address where("unix:" + at.path);
    { asio::local::stream_protocol::acceptor dead(io, at.path); }
    BOOST_TEST(std::filesystem::exists(at.path));
    srv.add(ice::tcp_server_action{where});
    BOOST_CHECK_EXCEPTION(
        srv.add(ice::tcp_server_action{where}), std::runtime_error,
        [&](const std::runtime_error& e) {
            return e.what() == fmt::format("cannot listen on {}: Address already in use", where);
        });
    BOOST_TEST(!connect_error(where));
}

BOOST_AUTO_TEST_CASE(the_file_of_a_unix_socket_has_the_mode_it_is_given_whatever_the_umask) {
    const auto mode_of = [](const std::string& path) {
        struct stat file {};
        BOOST_TEST_REQUIRE(::stat(path.c_str(), &file) == 0);
        return static_cast<unsigned>(file.st_mode & 07777U);
    };
    for (const unsigned umask : {0U, 022U, 077U, 0777U}) {
        const ::mode_t before = ::umask(umask);
        for (const unsigned mode : {0U, 0600U, 0660U, 0666U, 0777U}) {
            const temporary_path at;
            quiet_server unix_srv(io);
            const ice::address where("unix:" + at.path);
            unix_srv.add(ice::tcp_server_action{where}.limits({.socket_mode = mode}));
            BOOST_TEST(mode_of(at.path) == mode);
        }
        const temporary_path at;
        const auto by_umask = net->listen(ice::address("unix:" + at.path));
        BOOST_TEST(mode_of(at.path) == (0777U & ~umask));
        ::umask(before);
    }
}

BOOST_AUTO_TEST_CASE(a_socket_mode_that_is_not_octal_is_refused_and_tcp_has_none) {
    const temporary_path at;
    for (const unsigned decimal : {660U, 666U, 600U, 777U, 01777U}) {
        BOOST_CHECK_EXCEPTION(net->listen(ice::address("unix:" + at.path), decimal),
                              std::runtime_error, [&](const std::runtime_error& e) {
                                  return e.what() ==
                                         fmt::format(
                                             "cannot listen on unix:{}: limits::socket_mode has "
                                             "bits beyond 0777",
                                             at.path);
                              });
        BOOST_TEST(!std::filesystem::exists(at.path));
    }
    BOOST_TEST(net->listen(any_port, 0) != nullptr);
}

BOOST_AUTO_TEST_CASE(the_file_of_a_successor_is_not_removed) {
    // The old server removed the file of the new one when it ended.
    const temporary_path at;
    const ice::address where("unix:" + at.path), beside("unix:" + at.path + ".new");
    auto old = net->listen(where);
    const auto successor = net->listen(beside);
    std::filesystem::rename(beside.path(), at.path);
    old.reset();
    BOOST_TEST(std::filesystem::exists(at.path));
    BOOST_TEST(!connect_error(where));
}

BOOST_AUTO_TEST_CASE(of_servers_that_start_at_once_one_listens) {
    // Each server took the file of another, which was bound and did not listen yet, for one of a
    // dead server.
    const temporary_path at;
    const ice::address where("unix:" + at.path);
    for (int round = 0; round < 100; ++round) {
        { asio::local::stream_protocol::acceptor dead(io, at.path); }  // all see it left behind
        std::atomic<int> won = 0;
        std::barrier together(4);
        {
            std::vector<std::unique_ptr<ice::acceptor>> all(4);
            std::vector<std::thread> starts;
            for (auto& mine : all)
                starts.emplace_back([&] {
                    asio::io_context own;
                    const auto alone = ice::make_socket_transport(own.get_executor());
                    together.arrive_and_wait();
                    try {
                        mine = alone->listen(where);
                        ++won;
                    } catch (const std::runtime_error&) {}
                    together.arrive_and_wait();
                    mine.reset();
                });
            for (auto& s : starts) s.join();
        }
        BOOST_TEST_REQUIRE(won == 1);
    }
}

BOOST_AUTO_TEST_CASE(a_large_answer_to_a_slow_reader_arrives_whole) {
    // The danger: a short write starts again from the beginning, or its rest is lost.
    std::string large(8 * 1024 * 1024, '\0');
    for (std::size_t i = 0; i < large.size(); ++i) large[i] = static_cast<char>(i * 31 >> 3);
    auto answer = [&](std::string_view) -> std::string_view { return large; };
    auto& l = srv.add(ice::tcp_server_action{any_port}.logic(answer));
    auto p = connect(l.endpoint());
    p.send("go");
    p.end();
    BOOST_TEST((p.read_to_end() == large));
}

BOOST_AUTO_TEST_SUITE_END()
