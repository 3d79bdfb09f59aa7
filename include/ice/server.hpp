// server: what runs actions. One thread, one event loop, as many listeners and pools as are added.
#pragma once

#include <concepts>
#include <ice/export.hpp>
#include <ice/listener.hpp>
#include <ice/pool.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ice {

namespace detail {

// What asio::io_context alone has, of Asio's contexts and executors: its header would bring every
// user's file what it includes.
template <class Context>
concept is_io_context = requires(Context& c) {
    asio::any_io_executor(c.get_executor());
    c.run();
    c.restart();
};

}  // namespace detail

class ICE_API server {
public:
    // With an asio::io_context of its own, which run() runs. Calls open_standard_streams().
    server();
    // On the asio::io_context of the user, who runs it: no run(), no signal handlers. It must
    // outlive the server. `server srv{io};`
    // Requires: one thread runs the io_context, and calls the server while it runs. Nothing in ice
    // is locked: of two threads, each loses answers of the other. For more cores run more servers.
    // A library that is built without NDEBUG ends the program when it sees a second thread.
    template <class Context>
        requires(!std::convertible_to<Context&, std::shared_ptr<transport>> &&
                 !std::derived_from<std::remove_const_t<Context>, server>)
    explicit server(Context& io) : server(make_socket_transport(io.get_executor())) {
        static_assert(detail::is_io_context<Context>,
                      "ice: a server runs on an asio::io_context that one thread runs, and on no "
                      "thread_pool, strand or executor");
    }
    // On any transport, a simulated one for instance.
    explicit server(std::shared_ptr<transport>);
    // Stops, and destroys what still waits. On a loop of its own nothing waits after run(); if
    // run() was never called, what was posted or spawned is destroyed and has not begun. On a loop
    // of the user's, coroutines go on until what they wait for ends: if logics refer to the server,
    // or to what goes before the loop does, stop() it and run the loop until it is out of work
    // first.
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    // Listens at once; serves when the loop runs. The listener lives as long as the server.
    // Throws std::runtime_error: "cannot listen on 127.0.0.1:9999: Address already in use".
    template <protocol P, class L>
    listener<P>& add(tcp_server_action<P, L> a) {
        static_assert(logic_for<L, P>,
                      "ice: the protocol has no packet() for what this logic answers");
        auto added = std::make_shared<detail::running_listener<P, L>>(
            env_, a.where_, std::move(a.protocol_), std::move(a.logic_), a.limits_, a.timeouts_);
        keep(added);
        return *added;
    }

    // Connects when the loop runs; an upstream that is down is tried again for ever. The pool lives
    // as long as the server. Throws std::invalid_argument if the name is taken, the size is 0, or
    // there is no address, or no logic to make of a reply what the name promises.
    template <protocol P, class R>
    pool<P, R>& add(tcp_client_action<P, R> a) {
        auto added =
            std::make_shared<pool<P, R>>(env_, std::move(a.options_), std::move(a.protocol_),
                                         std::move(a.reply_logic_), std::move(a.check_));
        keep(added);
        return *added;
    }

    // The pool of that name, checked at compile time for what it speaks.
    // Throws std::invalid_argument if none was added, or one that speaks another protocol.
    template <protocol P, class R>
    pool<P, R>& get(pool_name<P, R> name) {
        return get<P, R>(name.text);
    }
    // The same for a name from configuration: srv.get<telnet>("timeserver").
    template <protocol P, class R = owned_t<message_t<P>>>
    pool<P, R>& get(std::string_view name) {
        if (auto* found = dynamic_cast<pool<P, R>*>(&find(name))) return *found;
        throw_other_protocol(name);
    }

    // Serves until stop() or the end of a drain. SIGINT and SIGTERM drain, also if they came since
    // the first add(); a second one stops. SIGUSR1 writes report() to the log. One of them that is
    // ignored at the first add() stays so, as in a background job of a script. From the first add()
    // until the server's end SIGPIPE does nothing, where it would end the program: sockets never
    // raise it, but stdout and stderr do when nobody reads them. Children do not inherit that.
    // When it returns or throws, all coroutines on its loop have ended, or were destroyed where
    // they still waited: logics, callers of pools, and what the user has spawned on executor(). So
    // they may refer to whatever lives as long as run() does, even if it was made after the server.
    // executor() still takes work then, which never begins and is destroyed with the server; no
    // socket must be opened on it any more.
    // Throws std::logic_error on a loop of the user's, and what a handler of the user's throws,
    // which ends the server; but not std::bad_alloc: one event is lost with it, the server goes on.
    void run();

    // Accepts no more, answers what has arrived or begun to arrive (timeouts::message), and closes
    // each connection as it falls silent; then the pools take no more requests (errc::draining) and
    // end those that they have; then run() returns. Leases that only wait for messages get
    // errc::draining after half of `patience`. What still runs after it is stopped.
    void drain(duration patience);
    void drain() { drain(drain_timeout); }

    // Closes everything now; run() returns.
    void stop();

    // Writes what goes on to the log, as info: a line for each pool, listener and connection (the
    // first 100 of a listener).
    void report();

    // For plain Asio beside ice: co_spawn(srv.executor(), ..), timers.
    const asio::any_io_executor& executor() const noexcept { return env_->net->executor(); }

    // Where lines of the log go: srv.log().to(function).
    ice::log& log() noexcept { return env_->log; }

    // What the signals' drain waits for. 30 s: what process managers allow before they kill.
    duration drain_timeout = std::chrono::seconds(30);

private:
    struct loop;

    server(std::unique_ptr<loop>, std::shared_ptr<transport>);
    void keep(std::shared_ptr<listener_base>);
    void keep(std::shared_ptr<pool_base>);
    pool_base& find(std::string_view name) const;
    [[noreturn]] static void throw_other_protocol(std::string_view pool);
    void one_emptied() noexcept;
    void end_if_empty();
    void finish();
    void run_loop();
    void run_what_is_ready();
    void end_coroutines();
    static void patience_ended(void* self);
    void take_signals();
    void await_signal();

    std::unique_ptr<loop> loop_;  // none on a loop of the user's
    std::shared_ptr<environment> env_;
    std::vector<std::shared_ptr<listener_base>> listeners_;
    std::map<std::string, std::shared_ptr<pool_base>, std::less<>> pools_;
    deadline patience_, half_patience_, emptied_;
    enum class state { serving, draining, stopping, finished } state_ = state::serving;
};

}  // namespace ice
