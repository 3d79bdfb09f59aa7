// poller: storage that sockets share, and whom it tells of what.
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

// 10,000 connections at rest with a buffer each are what made them large.
BOOST_AUTO_TEST_CASE(one_piece_of_storage_goes_from_socket_to_socket) {
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

// The beginning of a message stays with its socket, in a piece of its own size.
BOOST_AUTO_TEST_CASE(what_is_not_consumed_stays) {
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

// What is large is not copied to and fro for each read of a few bytes: that would be O(n * n).
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

// A message of 100 MB must not be what the loop keeps for ever.
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

BOOST_AUTO_TEST_CASE(a_client_is_told_until_it_has_dealt_with_it) {
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

// The one that is guessed to be ready again must not keep the others waiting.
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

// A client whose work takes long is asked again without a look at the others only for a moment:
// a connection that streams, with a slow logic, delayed others by 64 of its bursts.
BOOST_AUTO_TEST_CASE(a_slow_client_is_not_asked_twice_while_another_is_ready) {
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

// A loop whose work is done must end: that is how a stopped server's run() returns.
BOOST_AUTO_TEST_CASE(the_loop_has_work_only_while_somebody_waits) {
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

// Its memory is another's: an event of this round must not reach it.
BOOST_AUTO_TEST_CASE(who_is_forgotten_within_a_round_is_told_nothing) {
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

// The poller remembers who was alone in the last rounds, to ask it first in the next. A session
// that stops waiting and then ends must be forgotten: the next round would call into free memory.
BOOST_AUTO_TEST_CASE(a_forgotten_client_that_watches_nothing_is_not_asked) {
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

// What a user's handler throws leaves run(); the others must not wait for ever after it.
BOOST_AUTO_TEST_CASE(an_exception_costs_nobody_else_its_event) {
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

// Nor itself: it has dealt with nothing.
BOOST_AUTO_TEST_CASE(who_throws_is_told_again) {
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
// It compiles, and loses answers now and then: a debug build says so at once.
BOOST_AUTO_TEST_CASE(two_threads_that_run_one_loop_are_told_so) {
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

// Set-up in one thread, and the loop in another: each thread that has ended hands it on.
BOOST_AUTO_TEST_CASE(a_thread_may_hand_the_loop_on) {
    looped l;
    watched c(l.p);
    c.watch(EPOLLIN);
    l.p.add_waiter(c);
    c.peer_writes();
    for (int i = 0; i < 2; ++i) std::thread([&] { l.settle(); }).join();
    BOOST_TEST(c.told.size() >= 2u);
}
#endif

// Who waits when the io_context is destroyed is destroyed with it; the others end elsewhere.
BOOST_AUTO_TEST_CASE(the_end_of_the_loop_abandons_who_is_waited_for) {
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

// A child process of a server that has not yet called exec has copies of all sockets.
BOOST_AUTO_TEST_CASE(a_copy_of_the_descriptor_elsewhere_does_not_keep_it_watched) {
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
