// poller: the storage that sockets share, and which events it reports to which client.
#include "../lib/transport/poller.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <asio/io_context.hpp>
#include <boost/test/unit_test.hpp>
#include <csignal>
#include <functional>
#include <thread>
#include <vector>

#include "printing.hpp"

namespace {

constexpr std::size_t spare_size = 64 * 1024;

struct looped {
    asio::io_context io;
    ice::poller& p = ice::poller::of(io.get_executor());

    // Runs whatever is ready now.
    void settle() {
        io.restart();
        io.run_for(std::chrono::milliseconds(1));
    }
};

// One end of a pair of sockets; the test has the other.
struct watched final : ice::poller::client {
    explicit watched(ice::poller& poller) : p(poller) {
        BOOST_TEST_REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
        p.enroll(*this);
    }
    ~watched() override {
        p.deregister(ends[0], *this);
        ::close(ends[0]);
        ::close(ends[1]);
    }
    bool ready(std::uint32_t events) override {
        ++asked;
        char byte = 0;
        if (::recv(ends[0], &byte, 1, MSG_PEEK) != 1) return false;
        told.push_back(events);
        if (then) then();
        return true;
    }
    void abandon() noexcept override { abandoned = true; }
    void leave_to_parent() override {}

    void watch(std::uint32_t events) { BOOST_TEST(!p.watch(ends[0], *this, events)); }
    void peer_writes() { BOOST_TEST(::write(ends[1], "x", 1) == 1); }

    ice::poller& p;
    int ends[2]{};
    int asked = 0;  // calls of ready()
    std::vector<std::uint32_t> told;
    std::function<void()> then;
    bool abandoned = false;
};

}  // namespace

BOOST_AUTO_TEST_SUITE(poller)

// -- storage

// A buffer for each of 10,000 idle connections would take much memory.
BOOST_AUTO_TEST_CASE(sockets_share_one_piece_of_storage) {
    looped l;
    ice::buffer in, other;
    std::string out, other_out;
    l.p.acquire_buffers(in, out);
    BOOST_TEST(in.capacity() == spare_size);
    l.p.acquire_buffers(other, other_out);
    BOOST_TEST(other.capacity() == 0u, "there is one");
    out.assign(1000, 'x');
    out.clear();
    l.p.release_buffers(in, out);
    BOOST_TEST(in.capacity() == 0u);
    BOOST_TEST(out.capacity() < 100u);
    l.p.acquire_buffers(other, other_out);
    BOOST_TEST(other.capacity() == spare_size);
    BOOST_TEST(other_out.capacity() >= 1000u);
}

// The beginning of a message stays with its socket, in storage of its size.
BOOST_AUTO_TEST_CASE(unconsumed_bytes_stay_with_their_socket) {
    looped l;
    ice::buffer in;
    std::string out = "unsent";
    l.p.acquire_buffers(in, out);
    in.append("whole, unfinished");
    in.consume(7);
    l.p.release_buffers(in, out);
    BOOST_TEST(in.data() == "unfinished");
    BOOST_TEST(in.capacity() < 1000u);
    BOOST_TEST(out == "unsent");
    l.p.acquire_buffers(in, out);
    BOOST_TEST(in.data() == "unfinished");
    BOOST_TEST(in.capacity() == spare_size);
}

// Copying a large message for each read of a few bytes would be O(n * n).
BOOST_AUTO_TEST_CASE(a_large_unfinished_message_keeps_its_storage) {
    looped l;
    ice::buffer in;
    std::string out;
    l.p.acquire_buffers(in, out);
    in.append(std::string(40'000, 'x'));
    const char* where = in.data().data();
    l.p.release_buffers(in, out);
    l.p.acquire_buffers(in, out);
    BOOST_TEST(static_cast<const void*>(in.data().data()) == static_cast<const void*>(where));
}

// The loop must not keep the storage of a message of 100 MB for ever.
BOOST_AUTO_TEST_CASE(storage_that_is_too_large_is_freed) {
    looped l;
    ice::buffer in, next;
    std::string out(10'000'000, 'x'), next_out;
    in.append(std::string(10'000'000, 'x'));
    in.consume(in.size());
    out.clear();
    l.p.release_buffers(in, out);
    BOOST_TEST(in.capacity() == 0u);
    l.p.acquire_buffers(next, next_out);
    BOOST_TEST(next.capacity() == spare_size);
    BOOST_TEST(next_out.capacity() < 100u);
}

// -- events

BOOST_AUTO_TEST_CASE(an_event_is_reported_until_the_client_has_dealt_with_it) {
    looped l;
    watched c(l.p);
    c.watch(EPOLLIN);
    l.p.add_waiter(c);
    l.settle();
    BOOST_TEST(c.told.empty());
    c.peer_writes();
    c.then = [&] {
        if (c.told.size() == 3) c.watch(0);
    };
    for (int i = 0; i < 10; ++i) l.settle();
    BOOST_TEST(c.told == std::vector<std::uint32_t>(3, EPOLLIN));
}

// The client that is read speculatively must not starve the others.
BOOST_AUTO_TEST_CASE(a_client_that_is_always_ready_starves_nobody) {
    looped l;
    watched busy(l.p), quiet(l.p);
    for (auto* c : {&busy, &quiet}) {
        c->watch(EPOLLIN);
        l.p.add_waiter(*c);
    }
    busy.peer_writes();  // and never reads it
    const auto settle_until = [&](auto& told, std::size_t n) {
        for (int i = 0; i < 1000 && told.size() < n; ++i) l.settle();
        return told.size() >= n;
    };
    BOOST_TEST(settle_until(busy.told, 5));
    quiet.peer_writes();
    quiet.then = [&] { quiet.watch(0); };
    BOOST_TEST(settle_until(quiet.told, 1));
}

// The poller reads speculatively for a short time only: a stream with a slow logic delayed others
// by 64 of its bursts.
BOOST_AUTO_TEST_CASE(a_slow_client_does_not_run_twice_while_another_is_ready) {
    looped l;
    watched busy(l.p), quiet(l.p);
    for (auto* c : {&busy, &quiet}) {
        c->watch(EPOLLIN);
        l.p.add_waiter(*c);
    }
    busy.peer_writes();  // and never reads it
    int asked_before = 0;
    busy.then = [&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(2));  // its logic computes
        if (busy.asked == 5) {
            quiet.peer_writes();
            asked_before = busy.asked;
        }
    };
    quiet.then = [&] { quiet.watch(0); };
    for (int i = 0; i < 1000 && quiet.told.empty(); ++i) l.settle();
    BOOST_TEST(quiet.told.size() == 1u);
    BOOST_TEST(busy.asked - asked_before <= 3);
}

// A loop without work must end: so run() of a stopped server returns.
BOOST_AUTO_TEST_CASE(the_loop_has_work_only_while_a_client_waits) {
    looped l;
    watched c(l.p);
    c.watch(EPOLLIN);
    l.settle();
    BOOST_TEST(l.io.stopped());
    l.p.add_waiter(c);
    l.settle();
    BOOST_TEST(!l.io.stopped());
    l.p.remove_waiter(c);
    l.settle();
    BOOST_TEST(l.io.stopped());
    l.p.add_waiter(c);  // and again
    c.peer_writes();
    c.then = [&] { c.watch(0); };
    l.settle();
    BOOST_TEST(c.told.size() == 1u);
}

// Its memory may be in use again: an event of this round must not reach it.
BOOST_AUTO_TEST_CASE(a_client_deregistered_within_a_round_gets_no_event) {
    looped l;
    auto a = std::make_unique<watched>(l.p), b = std::make_unique<watched>(l.p);
    unsigned told = 0;
    a->then = [&] {
        ++told;
        b.reset();
        a->watch(0);
    };
    b->then = [&] {
        ++told;
        a.reset();
        b->watch(0);
    };
    for (auto* c : {a.get(), b.get()}) {
        c->watch(EPOLLIN);
        l.p.add_waiter(*c);
        c->peer_writes();
    }
    for (int i = 0; i < 5; ++i) l.settle();
    BOOST_TEST(told == 1u);
}

// The poller remembers the only client of the last rounds, to read it first in the next. If it kept
// a pointer to a destroyed client, the next round would use freed memory.
BOOST_AUTO_TEST_CASE(a_deregistered_client_is_not_read_speculatively) {
    looped l;
    watched c(l.p), other(l.p);
    for (auto* one : {&c, &other}) {
        one->watch(EPOLLIN);
        l.p.add_waiter(*one);
    }
    c.peer_writes();
    c.then = [&] {
        if (c.told.size() < 2) return;
        c.watch(0);
        l.p.deregister(c.ends[0], c);
    };
    for (int i = 0; i < 10; ++i) l.settle();
    BOOST_TEST(c.told.size() == 2u);
    // Here its memory would be another's. It lives on, so that a call of it can be counted.
    c.watch(EPOLLIN);
    char byte = 0;
    BOOST_TEST(::recv(c.ends[0], &byte, 1, 0) == 1);
    const int asked = c.asked;
    other.peer_writes();
    other.then = [&] { other.watch(0); };
    for (int i = 0; i < 3; ++i) l.settle();
    BOOST_TEST(other.told.size() == 1u);
    BOOST_TEST(c.asked == asked);
}

// An exception of a handler leaves run(); other clients must still get their events.
BOOST_AUTO_TEST_CASE(after_an_exception_other_clients_get_their_events) {
    looped l;
    watched a(l.p), b(l.p);
    for (auto* c : {&a, &b}) {
        c->watch(EPOLLIN);
        l.p.add_waiter(*c);
        c->peer_writes();
        c->then = [c] {
            c->watch(0);
            throw std::runtime_error("of a user");
        };
    }
    BOOST_CHECK_THROW(l.settle(), std::runtime_error);
    BOOST_CHECK_THROW(l.settle(), std::runtime_error);
    l.settle();
    BOOST_TEST(a.told.size() == 1u);
    BOOST_TEST(b.told.size() == 1u);
}

// The client has not dealt with its event.
BOOST_AUTO_TEST_CASE(a_client_that_throws_gets_its_event_again) {
    looped l;
    watched c(l.p);
    c.watch(EPOLLIN);
    l.p.add_waiter(c);
    c.peer_writes();
    c.then = [&] {
        if (c.told.size() == 1) throw std::runtime_error("of a user");
        c.watch(0);
    };
    BOOST_CHECK_THROW(l.settle(), std::runtime_error);
    l.settle();
    BOOST_TEST(c.told.size() == 2u);
}

#ifndef NDEBUG
// Such a program compiles, and loses answers at times: a debug build ends at once.
BOOST_AUTO_TEST_CASE(two_threads_that_run_one_loop_end_a_debug_build) {
    int output[2];
    BOOST_TEST_REQUIRE(::pipe(output) == 0);
    const pid_t child = ::fork();
    if (child == 0) {
        ::dup2(output[1], STDERR_FILENO);
        looped l;
        watched c(l.p);
        c.watch(EPOLLIN);
        l.p.add_waiter(c);
        c.peer_writes();  // and nobody reads it: the loop has work without end
        std::thread other([&] { l.io.run(); });
        l.io.run();
        ::_exit(0);
    }
    ::close(output[1]);
    std::string said(200, ' ');
    const auto n = ::read(output[0], said.data(), said.size());
    ::close(output[0]);
    int status = 0;
    BOOST_TEST(::waitpid(child, &status, 0) == child);
    BOOST_TEST(WIFSIGNALED(status));
    BOOST_TEST(WTERMSIG(status) == SIGABRT);
    BOOST_TEST(n > 0);
    BOOST_TEST(said.find("two threads run the io_context") != said.npos);
}

// One thread sets the server up and another runs the loop: a loop may change its thread.
BOOST_AUTO_TEST_CASE(another_thread_may_run_the_loop_later) {
    looped l;
    watched c(l.p);
    c.watch(EPOLLIN);
    l.p.add_waiter(c);
    c.peer_writes();
    for (int i = 0; i < 2; ++i) std::thread([&] { l.settle(); }).join();
    BOOST_TEST(c.told.size() >= 2u);
}
#endif

// The io_context destroys coroutines that wait at its end; others end elsewhere.
BOOST_AUTO_TEST_CASE(the_end_of_the_loop_abandons_clients_with_waiters) {
    struct client final : ice::poller::client {
        bool ready(std::uint32_t) override { return true; }
        void abandon() noexcept override { abandoned = true; }
        void leave_to_parent() override {}
        bool abandoned = false;
    } waited_for, other;
    auto l = std::make_unique<looped>();
    l->p.enroll(waited_for);
    l->p.enroll(other);
    l->p.add_waiter(waited_for);
    l->p.add_waiter(other);
    l->p.remove_waiter(other);
    l.reset();
    BOOST_TEST(waited_for.abandoned);
    BOOST_TEST(!other.abandoned);
}

// Until exec a child process has duplicates of all sockets.
BOOST_AUTO_TEST_CASE(a_duplicate_of_a_descriptor_does_not_keep_it_watched) {
    looped l;
    int copy = -1;
    std::vector<std::uint32_t> told;
    watched other(l.p);
    other.watch(EPOLLIN);
    l.p.add_waiter(other);
    {
        watched c(l.p);
        c.watch(EPOLLIN);
        l.p.add_waiter(c);
        copy = ::fcntl(c.ends[0], F_DUPFD_CLOEXEC, 0);
        c.peer_writes();
    }
    l.settle();  // would be told to memory that is free
    l.settle();
    BOOST_TEST(other.told.empty());
    ::close(copy);
}

BOOST_AUTO_TEST_SUITE_END()
