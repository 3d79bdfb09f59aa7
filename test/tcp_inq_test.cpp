// What a socket must be told of, however it comes. Where sockets wait on edges (ICE_TCP_INQ) each
// of these is a hang if the kernel's last word was misread; so they run with it and without.
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <asio/bind_cancellation_slot.hpp>
#include <asio/co_spawn.hpp>
#include <asio/executor_work_guard.hpp>
#include <boost/test/data/test_case.hpp>
#include <cstring>
#include <filesystem>
#include <functional>
#include <ice/transport.hpp>
#include <utility>

#include "world.hpp"

using namespace test;
using ice::channel;
using ice::errc;
using ice::error_code;

namespace {

// The other end of a channel. Each call is in the kernel at once, as this is the same machine.
class far_end {
public:
    explicit far_end(const ice::address& to) {
        sockaddr_storage at{};
        socklen_t size = sizeof(sockaddr_in);
        if (to.is_unix()) {
            auto& path = reinterpret_cast<sockaddr_un&>(at);
            path.sun_family = AF_UNIX;
            to.path().copy(path.sun_path, sizeof path.sun_path - 1);
            size = sizeof(sockaddr_un);
        } else {
            std::memcpy(&at, endpoint_of(to).data(), size);
        }
        fd_ = ::socket(at.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        BOOST_TEST_REQUIRE(::connect(fd_, reinterpret_cast<sockaddr*>(&at), size) == 0);
    }
    far_end(far_end&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    ~far_end() { close(); }

    void send(std::string_view bytes, int how = 0) {
        BOOST_TEST(::send(fd_, bytes.data(), bytes.size(), how) ==
                   static_cast<ssize_t>(bytes.size()));
    }
    void half_close() { BOOST_TEST(::shutdown(fd_, SHUT_WR) == 0); }
    void reset() {
        const linger at_once{1, 0};
        ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close();
    }
    void close() {
        if (fd_ >= 0) ::close(std::exchange(fd_, -1));
    }
    int fd() const noexcept { return fd_; }

private:
    int fd_;
};

struct place : world {
    std::shared_ptr<ice::transport> net = ice::make_socket_transport(io.get_executor());
    std::unique_ptr<ice::acceptor> listening = net->listen(any_port);
    asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};

    std::unique_ptr<channel> accept() {
        const error_code ec = run(listening->ready());
        BOOST_TEST(!ec);
        return listening->accept().value();
    }

    error_code fill(channel& c) { return run(c.fill()); }

    // What comes next, and is then used up.
    std::string read(channel& c) {
        const error_code ec = fill(c);
        BOOST_TEST(!ec, ec.message());
        std::string came(c.data());
        c.consume(came.size());
        return came;
    }
    std::string read(channel& c, std::size_t size) {
        std::string came;
        while (came.size() < size) {
            const std::size_t before = came.size();
            came += read(c);
            BOOST_TEST_REQUIRE(came.size() > before);
        }
        return came;
    }
    // The kernel has told all there was to tell, and nobody wanted it. Without other work the loop
    // would not even ask.
    void nobody_waits() { settle(); }

    // A reader that waits already when something comes.
    std::shared_ptr<std::optional<error_code>> wait(channel& c) {
        auto ended = std::make_shared<std::optional<error_code>>();
        asio::co_spawn(io, c.fill(),
                       [ended](const std::exception_ptr&, const ice::outcome& ec) { *ended = ec; });
        settle();
        return ended;
    }
    error_code end_of(const std::shared_ptr<std::optional<error_code>>& w) {
        until([&] { return w->has_value(); }, "a reader");
        return **w;
    }
};

// One connection that has talked already: the socket is known, and was read until it was empty.
struct one : place {
    far_end peer{listening->local()};
    std::unique_ptr<channel> c = accept();
    one() {
        for (int i = 0; i < 3; ++i) {
            peer.send("ping");
            BOOST_TEST(read(*c) == "ping");
        }
    }
};

const auto when =
    boost::unit_test::data::make({"while it waits", "before it waits", "long before"});

void just(place& p, channel& c, const std::string& moment, const std::function<void()>& happens,
          const std::function<void(error_code)>& then) {
    if (moment == "while it waits") {
        const auto waiting = p.wait(c);
        happens();
        return then(p.end_of(waiting));
    }
    happens();
    if (moment == "long before") p.nobody_waits();  // the event is told, and nobody reads
    then(p.fill(c));
}

}  // namespace

BOOST_AUTO_TEST_SUITE(tcp_inq)

// "A short read means that the socket is empty" forgets the end that came with the bytes.
BOOST_DATA_TEST_CASE_F(one, a_half_close_that_comes_with_the_last_bytes_is_told, when, moment) {
    just(
        *this, *c, moment,
        [&] {
            peer.send("last");
            peer.half_close();
        },
        [&](error_code ec) { BOOST_TEST(!ec); });
    BOOST_TEST(c->data() == "last");
    c->consume(4);
    BOOST_TEST((fill(*c) == errc::closed));
}

BOOST_DATA_TEST_CASE_F(one, a_half_close_after_the_last_bytes_is_told, when, moment) {
    peer.send("last");
    BOOST_TEST(read(*c) == "last");
    just(
        *this, *c, moment, [&] { peer.half_close(); },
        [&](error_code ec) { BOOST_TEST((ec == errc::closed)); });
    BOOST_TEST((fill(*c) == errc::closed), "and told again to who asks again");
}

BOOST_DATA_TEST_CASE_F(one, a_close_with_the_last_bytes_is_told, when, moment) {
    just(
        *this, *c, moment,
        [&] {
            peer.send("last");
            peer.close();
        },
        [&](error_code ec) { BOOST_TEST(!ec); });
    BOOST_TEST(c->data() == "last");
    c->consume(4);
    BOOST_TEST((fill(*c) == errc::closed));
}

// After the bytes the kernel says "nothing left", and keeps the error: who never writes would wait
// until its idle timeout.
BOOST_DATA_TEST_CASE_F(one, a_reset_that_comes_with_the_last_bytes_is_told, when, moment) {
    just(
        *this, *c, moment,
        [&] {
            peer.send("last");
            peer.reset();
        },
        [&](error_code ec) { BOOST_TEST(!ec); });
    BOOST_TEST(c->data() == "last");
    c->consume(4);
    BOOST_TEST((fill(*c) == asio::error::connection_reset));
}

BOOST_DATA_TEST_CASE_F(one, a_reset_is_told, when, moment) {
    just(
        *this, *c, moment, [&] { peer.reset(); },
        [&](error_code ec) { BOOST_TEST((ec == asio::error::connection_reset)); });
}

// What came while the logic was busy was told to nobody.
BOOST_DATA_TEST_CASE_F(one, bytes_are_told, when, moment) {
    for (int i = 0; i < 3; ++i) {
        just(
            *this, *c, moment, [&] { peer.send("more"); }, [&](error_code ec) { BOOST_TEST(!ec); });
        BOOST_TEST(c->data() == "more");
        c->consume(4);
    }
}

// The first wait of a connection asks nothing of the kernel: entering the epoll has asked.
BOOST_FIXTURE_TEST_CASE(what_came_before_the_first_wait_is_told, place) {
    far_end peer(listening->local());
    peer.send("early");
    peer.half_close();
    const auto c = accept();
    settle();
    BOOST_TEST(read(*c) == "early");
    BOOST_TEST((fill(*c) == errc::closed));
}

// More than one read brings: the rest brings no new edge.
BOOST_FIXTURE_TEST_CASE(what_a_read_leaves_is_told, one) {
    const std::string much(200'000, 'm');
    peer.send(much);
    peer.half_close();
    c->read_at_most(1000);
    BOOST_TEST(read(*c, much.size()) == much);
    BOOST_TEST((fill(*c) == errc::closed));
}

// Urgent data stop a read in front of them, and are not in the stream.
BOOST_FIXTURE_TEST_CASE(urgent_data_hide_nothing_that_follows, one) {
    peer.send("ab");
    peer.send("!", MSG_OOB);
    peer.send("cd");
    BOOST_TEST(read(*c, 4) == "abcd");
    const auto waiting = wait(*c);
    peer.send("!", MSG_OOB);
    settle();
    BOOST_TEST(!waiting->has_value());
    peer.send("ef");
    peer.half_close();
    BOOST_TEST(!end_of(waiting));
    BOOST_TEST(c->data() == "ef");
    c->consume(2);
    BOOST_TEST((fill(*c) == errc::closed));
}

// What drain() reads is read outside of any event.
BOOST_FIXTURE_TEST_CASE(a_drained_socket_is_read_to_its_end, one) {
    const auto waiting = wait(*c);
    peer.send("late");
    c->drain(errc::draining);
    BOOST_TEST(!end_of(waiting));
    BOOST_TEST(c->data() == "late");
    c->consume(4);
    BOOST_TEST((fill(*c) == errc::draining));
    auto goodbye = [&]() -> ice::task<bool> {
        co_await c->linger(5s);
        co_return true;
    };
    peer.half_close();
    run(goodbye());
}

// -- more than one

// One event for many sockets, or one socket that was the only one for long.
BOOST_FIXTURE_TEST_CASE(all_who_are_ready_at_once_are_told, place) {
    std::vector<far_end> peers;
    std::vector<std::unique_ptr<channel>> channels;
    for (int i = 0; i < 200; ++i) {  // more than one epoll_wait brings
        peers.emplace_back(listening->local());
        channels.push_back(accept());
    }
    for (int round = 0; round < 5; ++round) {
        for (int i = 0; i < 3; ++i) {  // now it is known to be alone
            peers[0].send("alone");
            BOOST_TEST(read(*channels[0]) == "alone");
        }
        std::vector<std::shared_ptr<std::optional<error_code>>> waiting;
        for (auto& c : channels) waiting.push_back(wait(*c));
        for (auto& p : peers) p.send("all");
        for (std::size_t i = 0; i < waiting.size(); ++i) {
            BOOST_TEST(!end_of(waiting[i]));
            BOOST_TEST(channels[i]->data() == "all");
            channels[i]->consume(3);
        }
    }
}

// Its event is in the same batch, and its memory is gone.
BOOST_FIXTURE_TEST_CASE(who_is_closed_while_others_are_told_is_told_nothing, place) {
    far_end near(listening->local());
    auto kept = accept();
    for (int i = 0; i < 20; ++i) {
        far_end gone(listening->local());
        auto other = accept();
        const auto waits = wait(*kept), waits_too = wait(*other);
        const bool other_first = i % 2 == 0;
        if (other_first) gone.send("other");
        near.send("kept");
        if (!other_first) gone.send("other");
        until([&] { return waits->has_value() || waits_too->has_value(); });
        if (waits_too->has_value()) BOOST_TEST(other->data() == "other");
        else other->cancel(errc::stopped);
        if (!waits_too->has_value()) BOOST_TEST((end_of(waits_too) == errc::stopped));
        other.reset();
        BOOST_TEST(!end_of(waits));
        BOOST_TEST(kept->data() == "kept");
        kept->consume(4);
    }
}

// A reader that gives up leaves nothing behind that the next one would miss.
BOOST_FIXTURE_TEST_CASE(who_waits_again_after_a_cancelled_wait_is_told, one) {
    asio::cancellation_signal leave;
    std::optional<error_code> ended;
    asio::co_spawn(
        io, c->fill(),
        asio::bind_cancellation_slot(
            leave.slot(), [&](const std::exception_ptr&, const ice::outcome& ec) { ended = ec; }));
    settle();
    leave.emit(asio::cancellation_type::all);
    until([&] { return ended.has_value(); });
    BOOST_TEST((*ended == asio::error::operation_aborted));
    peer.send("now");
    settle();
    BOOST_TEST(read(*c) == "now");
    peer.half_close();
    BOOST_TEST((fill(*c) == errc::closed));
}

// -- writing

// Both directions wait at once, and the end comes while a write is stalled.
BOOST_FIXTURE_TEST_CASE(a_stalled_write_and_a_read_are_both_told, one) {
    c->out().assign(20'000'000, 'w');
    BOOST_TEST(!c->try_flush());
    std::optional<error_code> flushed;
    asio::co_spawn(io, c->flush(10s, ice::never, errc::stopped),
                   [&](const std::exception_ptr&, const ice::outcome& ec) { flushed = ec; });
    const auto waiting = wait(*c);
    peer.send("meanwhile");
    BOOST_TEST(!end_of(waiting));
    BOOST_TEST(c->data() == "meanwhile");
    c->consume(9);
    BOOST_TEST(!flushed.has_value());
    const auto end = wait(*c);
    std::string sink(1'000'000, '\0');
    std::size_t got = 0;
    until([&] {
        const ssize_t n = ::recv(peer.fd(), sink.data(), sink.size(), MSG_DONTWAIT);
        if (n > 0) got += static_cast<std::size_t>(n);
        return got == 20'000'000u;
    });
    until([&] { return flushed.has_value(); });
    BOOST_TEST(!*flushed);
    BOOST_TEST(!end->has_value());
    peer.half_close();
    BOOST_TEST((end_of(end) == errc::closed));
}

BOOST_FIXTURE_TEST_CASE(a_reset_ends_a_stalled_write, one) {
    c->out().assign(20'000'000, 'w');
    std::optional<error_code> flushed;
    asio::co_spawn(io, c->flush(10s, ice::never, errc::stopped),
                   [&](const std::exception_ptr&, const ice::outcome& ec) { flushed = ec; });
    settle();
    BOOST_TEST(!flushed.has_value());
    peer.reset();
    until([&] { return flushed.has_value(); });
    BOOST_TEST((*flushed == asio::error::connection_reset || *flushed == asio::error::broken_pipe));
}

// -- Unix sockets: nothing counts there what is left

struct local : place {
    std::string path =
        (std::filesystem::temp_directory_path() / fmt::format("ice-inq-{}", ::getpid())).string();
    ice::address where{"unix:" + path};
    local() { listening = net->listen(where); }
};

BOOST_FIXTURE_TEST_CASE(a_unix_socket_is_told_of_everything_too, local) {
    far_end peer(where);
    const auto c = accept();
    for (int i = 0; i < 5; ++i) {
        peer.send("ping");
        BOOST_TEST(read(*c) == "ping");
    }
    nobody_waits();
    peer.send("last");
    peer.half_close();
    nobody_waits();
    BOOST_TEST(read(*c) == "last");
    BOOST_TEST((fill(*c) == errc::closed));
}

// A read with room for control data would take them, until no descriptor is left.
BOOST_FIXTURE_TEST_CASE(descriptors_that_a_peer_sends_are_not_taken, local) {
    const auto open = [] {
        const std::filesystem::directory_iterator all("/proc/self/fd");
        return std::distance(begin(all), end(all));
    };
    far_end peer(where);
    const auto c = accept();
    const auto before = open();
    for (int i = 0; i < 10; ++i) {
        iovec byte{const_cast<char*>("x"), 1};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))]{};
        msghdr m{};
        m.msg_iov = &byte;
        m.msg_iovlen = 1;
        m.msg_control = control;
        m.msg_controllen = sizeof control;
        auto* const rights = CMSG_FIRSTHDR(&m);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(sizeof(int));
        const int gift = peer.fd();
        std::memcpy(CMSG_DATA(rights), &gift, sizeof gift);
        BOOST_TEST(::sendmsg(peer.fd(), &m, 0) == 1);
        BOOST_TEST(read(*c) == "x");
    }
    BOOST_TEST(open() == before);
}

BOOST_AUTO_TEST_SUITE_END()
