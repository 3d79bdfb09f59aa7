// simulation: servers, pools and peers in virtual time, on a network in memory that behaves as TCP
// does and has the faults that the test sets. Virtual hours pass in milliseconds, and the same seed
// gives the same run.
//
//     ice::testing::simulation sim;
//     ice::server srv(sim.net());
//     srv.add(ice::tcp_server_action{..}.protocol(ice::line{}).logic(my_logic));
//     auto reply = sim.run(sim.ask<ice::line>(address, "question"));
#pragma once

#include <cstdint>
#include <exception>
#include <forward_list>
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

// It must outlive every server, session and channel made in it: declare it first. One thread uses
// it; two simulations in two threads are independent.
class ICE_API simulation {
public:
    explicit simulation(std::uint64_t seed = 1);
    // Destroys the coroutines that have not ended.
    ~simulation();
    simulation(const simulation&) = delete;
    simulation& operator=(const simulation&) = delete;

    // -- the world

    // The transport of this machine: "127.0.0.1" and "localhost". Pass it to servers.
    const std::shared_ptr<transport>& net() const noexcept { return net_; }
    // The transport of another machine with that IP address. The first call makes the machine; each
    // has a "localhost" of its own.
    std::shared_ptr<transport> host(const std::string& ip);
    // Lookups of `name` return these addresses, in this order, without delay; with an empty list
    // they fail with errc::host_not_found.
    void resolves(std::string name, std::vector<std::string> ips);
    // Each lookup of `name` takes that long from now on. An hour simulates a name server that never
    // answers. resolves() of the name ends this.
    void lookup_takes(std::string name, duration);
    // Each lookup of `name` fails with `why`, such as errc::name_resolution_failed, until
    // resolves() of the name.
    void lookup_fails(std::string name, error_code why);

    // The settings of the network, which the test may change at any time. The reference is valid as
    // long as the simulation.
    testing::faults& faults() noexcept;
    // How often that fault has happened. A test checks with it that a fault it set does happen.
    std::uint64_t fired(fault) const noexcept;

    // The number of operations of the network so far: connects, accepts, reads and writes.
    std::uint64_t operations() const noexcept;
    // Lets operation number `n`, counted from 0, fail with `error`, an errno; operations() is the
    // number of the next one. An error that a socket does not survive, such as ECONNRESET, breaks
    // the connection at both ends. Only one operation is set at a time.
    void fail_operation(std::uint64_t n, int error) noexcept;

    // -- time

    // The virtual time. Unlike transport::now() it never moves the clock (fault::clock_moves).
    time_point now() const noexcept;

    // The instant for which the loop waited last: everything due by then has run. It equals now()
    // unless fault::clock_moves or fault::late_loop has moved time since. What must happen
    // by `t` may come late if the loop is late: let a test fail only if it has not happened when
    // last_idle() > t.
    time_point last_idle() const noexcept;

    // Runs until `done()` returns true. It calls `done` whenever the loop is about to wait. Returns
    // false if `timeout` of virtual time has passed before; fault::late_loop can make that later.
    // Rethrows what a spawned coroutine threw. Throws std::runtime_error if a million handlers run
    // in one instant, as then something spins.
    template <class Condition>
    bool run_until(Condition done, duration timeout = std::chrono::hours(1)) {
        const time_point end = after(now(), timeout);
        do {
            run_ready();
            if (done()) return true;
        } while (step(end));
        return false;
    }
    // Runs everything that is due within `span` from now().
    void run_for(duration span) {
        run_until([] { return false; }, span);
    }

    // Makes the smallest step: runs one handler that is ready or, if none is, lets the next event
    // happen. Returns false if there is no event. To interrupt a run at each of its points, count
    // its steps in one run; then make 0, 1, 2.. of them in further runs.
    bool advance();

    // Runs a coroutine to its end, with everything else, and returns its result. Throws
    // std::runtime_error if it has not ended after `timeout` of virtual time. Rethrows what it
    // throws. Not to be called from within a coroutine of the simulation.
    template <class T>
    T run(task<T> work, duration timeout = std::chrono::hours(1)) {
        // Shared, as the coroutine outlives this call if it does not end in time.
        auto made = std::make_shared<std::optional<T>>();
        spawn(keep(std::move(work), made));
        if (run_until([&] { return made->has_value(); }, timeout)) return *std::move(*made);
        throw std::runtime_error("simulation: waited in vain for a coroutine");
    }
    void run(task<> work, duration timeout = std::chrono::hours(1)) {
        run(finished(std::move(work)), timeout);
    }

    // Starts a coroutine, which the next run function runs. run_until() rethrows what it throws.
    void spawn(task<> work);

    // -- peers

    // Connects, sends `message`, and returns the reply, all within `timeout`: errc::connect_timeout
    // or errc::request_timeout. Then it closes the connection. The task keeps a copy of `message`;
    // if that is a view, its bytes must be valid until the task ends.
    template <protocol P, class M>
    task<result<owned_t<message_t<P>>>> ask(address to, M&& message,
                                            duration timeout = std::chrono::minutes(1)) {
        detail::refuse_braced_aggregate<M>();
        return ask_with_own<P, std::decay_t<M>>(std::move(to), std::forward<M>(message), timeout);
    }

    // Connects within `timeout`, and returns the peer's session, for send() and receive(). It
    // performs no handshake. The destructor of the session closes the connection.
    template <protocol P>
    task<result<std::unique_ptr<session<P>>>> open(address to,
                                                   duration timeout = std::chrono::minutes(1)) {
        return open_with(std::move(to), P{}, settings_, timeout);
    }
    // The same with a protocol that has options or a state, and with the timeouts of this session.
    // `message`, `idle` and `write` end its receive() and send(); the others have no effect, as
    // only the test runs this session.
    template <class Q, class P = std::remove_cvref_t<Q>>
        requires protocol<P>
    task<result<std::unique_ptr<session<P>>>> open(address to, Q&& p,
                                                   const ice::timeouts& times = {},
                                                   duration timeout = std::chrono::minutes(1)) {
        detail::refuse_braced_aggregate<Q>();
        session_settings& own = own_settings_.emplace_front();
        own.timeouts = times;
        return open_with(std::move(to), P(std::forward<Q>(p)), own, timeout);
    }

    // Ends the sending side of a channel; the peer can go on reading, as after shutdown(2).
    // Requires, as reset(): the channel is of this simulation. Throws std::bad_cast otherwise.
    static void half_close(channel&);
    // Breaks the connection: the other end sees ECONNRESET.
    static void reset(channel&);

    // -- observing

    // Random numbers for the choices of the test. Using them does not change those of the network.
    dice& chance() noexcept { return chance_; }

    // Whether no coroutine runs or waits, no byte is in flight, and no deadline is set. A test
    // expects it after a drain: nothing was left behind.
    bool quiescent() const noexcept;

    // A hash of all events. Two runs that differ anywhere have different hashes, unless 64 bits
    // collide.
    std::uint64_t hash() const noexcept;
    // The last 200 events, one a line, with their virtual time: print it when a test fails.
    std::string history() const;
    // Adds a line of the test to the history and to the hash. The simulation keeps the pointer, so
    // `what` is a string literal.
    void note(const char* what, std::uint64_t a = 0, std::uint64_t b = 0);
    // How many events of the network and deadlines have happened: the length of a run.
    std::uint64_t events() const noexcept;

private:
    template <protocol P>
    task<result<std::unique_ptr<session<P>>>> open_with(address to, P p, session_settings& settings,
                                                        duration timeout) {
        auto bytes = co_await net()->connect(std::move(to), after(now(), timeout));
        if (!bytes) co_return bytes.error();
        co_return std::make_unique<session<P>>(*std::move(bytes), std::move(p), uid(++peers_),
                                               settings);
    }

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
    // Moves to the next event and lets it happen. If `end` is earlier, moves to `end` and returns
    // false.
    bool step(time_point end);

    // Sessions refer to them, also those of coroutines that the network destroys.
    session_settings settings_;
    std::forward_list<session_settings> own_settings_;
    std::unique_ptr<network> network_;
    std::shared_ptr<transport> net_;
    std::uint64_t peers_ = 0;
    dice chance_;
};

}  // namespace ice::testing
