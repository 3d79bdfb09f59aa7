// simulation: servers, pools and peers in virtual time, on a network in memory that behaves as TCP
// does and has the faults that the test sets. Hours pass in milliseconds; a seed repeats its run.
//
//     ice::testing::simulation sim;
//     ice::server srv(sim.net());
//     srv.add(ice::tcp_server_action{..}.protocol(ice::line{}).logic(my_logic));
//     auto reply = sim.run(sim.ask<ice::line>(address, "question"));
#pragma once

#include <cstdint>
#include <exception>
#include <ice/detail/export.hpp>
#include <ice/detail/server_context.hpp>
#include <ice/server.hpp>
#include <ice/session.hpp>
#include <ice/testing/faults.hpp>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace ice::testing {

class network;

// Must outlive every server, session and channel made in it: declare it first.
class ICE_API simulation {
public:
    explicit simulation(std::uint64_t seed = 1);
    ~simulation();  // destroys the coroutines that still run
    simulation(const simulation&) = delete;
    simulation& operator=(const simulation&) = delete;

    // -- the world

    // This machine: "127.0.0.1" and "localhost".
    const std::shared_ptr<transport>& net() const noexcept { return net_; }
    // The machine of that address. The first call makes it.
    std::shared_ptr<transport> host(const std::string& ip);
    // Lookups of `name` return these addresses, in this order, without delay; with an empty list
    // they fail with errc::host_not_found.
    void resolves(std::string name, std::vector<std::string> ips);
    // Each lookup of `name` takes so long. An hour simulates a name server that never answers.
    void lookup_takes(std::string name, duration);
    // Each lookup of `name` fails with `why`, such as errc::name_resolution_failed.
    void lookup_fails(std::string name, error_code why);

    // May be changed at any time.
    testing::faults& faults() noexcept;
    // How often that fault has happened.
    std::uint64_t fired(fault) const noexcept;

    // Operations of the network so far: connects, accepts, reads and writes.
    std::uint64_t operations() const noexcept;
    // The operation `n` of them (operations() is the next) fails with `error`, an errno. After one
    // that a socket does not survive, as ECONNRESET, its connection is broken at both ends.
    void fail_operation(std::uint64_t n, int error) noexcept;

    // -- time

    // Does not move the clock, as transport::now() may (fault::clock_moves).
    time_point now() const noexcept;

    // The instant for which the loop waited last: everything due by then has run. It equals now()
    // unless fault::clock_moves or fault::late_loop has moved time since. What must end by `t`
    // although the loop may be late is not yet finished when last_idle() > t.
    time_point last_idle() const noexcept;

    // Runs until `done()`, which is asked whenever the loop is about to wait. False if `timeout`
    // has passed before; fault::late_loop can make that later. Rethrows what a spawned coroutine
    // threw.
    // Throws std::runtime_error if a million handlers run in one instant: something spins.
    template <class Condition>
    bool run_until(Condition done, duration timeout = std::chrono::hours(1)) {
        const time_point end = after(now(), timeout);
        do {
            run_ready();
            if (done()) return true;
        } while (step(end));
        return false;
    }
    void run_for(duration span) {
        run_until([] { return false; }, span);
    }

    // The smallest step: one handler that is ready, or, if none is, the next event. False if there
    // is none. To interrupt a run at each of its points: count its steps; make 0, 1, 2.. of them.
    bool advance();

    // Runs a coroutine to its end, beside everything else, and gives what it gives.
    // Throws std::runtime_error if it has not ended after `timeout`, and what it throws.
    template <class T>
    T run(task<T> work, duration timeout = std::chrono::hours(1)) {
        // Shared: in vain, the coroutine lives longer than this call.
        auto made = std::make_shared<std::optional<T>>();
        spawn(keep(std::move(work), made));
        if (run_until([&] { return made->has_value(); }, timeout)) return *std::move(*made);
        throw std::runtime_error("simulation: waited in vain for a coroutine");
    }
    void run(task<> work, duration timeout = std::chrono::hours(1)) {
        run(finished(std::move(work)), timeout);
    }

    // Runs beside everything else; see run_until() for what it throws.
    void spawn(task<> work);

    // -- peers

    // Connects, sends `message`, and gives the reply; all within `timeout`.
    template <protocol P, class M>
    task<result<owned_t<message_t<P>>>> ask(address to, M&& message,
                                            duration timeout = std::chrono::minutes(1)) {
        detail::refuse_braced_aggregate<M>();
        return ask_with_own<P, std::decay_t<M>>(std::move(to), std::forward<M>(message), timeout);
    }

    // A peer's side of a conversation: send(), receive(); its end closes the connection.
    template <protocol P>
    task<result<std::unique_ptr<session<P>>>> open(address to,
                                                   duration timeout = std::chrono::minutes(1)) {
        auto bytes = co_await net()->connect(std::move(to), after(now(), timeout));
        if (!bytes) co_return bytes.error();
        co_return std::make_unique<session<P>>(*std::move(bytes), P{}, uid(++peers_), settings_);
    }

    // What a peer may do with a channel of this world, beyond closing it: to say that it sends no
    // more and go on reading, as shutdown(2) does; and to break the connection, as a reset does.
    static void half_close(channel&);
    static void reset(channel&);

    // -- finding out

    // For the test's own choices: they do not disturb the network's.
    dice& chance() noexcept { return chance_; }

    // No coroutine runs or waits, no byte is in flight, no deadline is set.
    bool quiescent() const noexcept;

    // A hash of all events: two runs that differ anywhere have different ones.
    std::uint64_t hash() const noexcept;
    // The last 200 events, one a line.
    std::string history() const;
    // A line of the test's own for the history, and for the hash. `what` is a literal.
    void note(const char* what, std::uint64_t a = 0, std::uint64_t b = 0);
    // How often the clock has advanced.
    std::uint64_t events() const noexcept;

private:
    template <protocol P, class M>
    task<result<owned_t<message_t<P>>>> ask_with_own(address to, M message, duration timeout) {
        const time_point until = after(now(), timeout);
        auto peer = co_await open<P>(std::move(to), timeout);
        if (!peer) co_return peer.error();
        (*peer)->set_deadline(until, errc::request_timeout);
        const error_code unsent = co_await (*peer)->send(message);
        if (unsent) co_return unsent;
        auto reply = co_await (*peer)->receive();
        if (!reply) co_return reply.error();
        co_return owned_t<message_t<P>>(*std::move(reply));
    }

    template <class T>
    static task<> keep(task<T> work, std::shared_ptr<std::optional<T>> made) {
        T value = co_await std::move(work);
        made->emplace(std::move(value));
    }
    static task<bool> finished(task<> work) {
        co_await std::move(work);
        co_return true;
    }
    void run_ready();
    bool step(time_point end);  // to the next event; to `end`, and false, if that comes first

    std::unique_ptr<network> network_;
    std::shared_ptr<transport> net_;
    session_settings settings_;
    std::uint64_t peers_ = 0;
    dice chance_;
};

}  // namespace ice::testing
