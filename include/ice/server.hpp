// server: runs actions on one thread and one event loop: each action that is added to it becomes a
// listener or a pool.
#pragma once

#include <concepts>
#include <ice/detail/export.hpp>
#include <ice/detail/task_group.hpp>
#include <ice/listener.hpp>
#include <ice/pool.hpp>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ice {

// ice/resource_pool.hpp has these.
template <class T>
class resource_action;
template <class T>
struct resource_name;
template <class T>
class resource_pool;
// ice/link.hpp has these.
template <protocol P, class L>
class tcp_link_action;
template <protocol P>
struct link_name;
template <protocol P>
class link;
class link_base;

namespace detail {

template <protocol P, class A>
    requires logic_for<logic_in_t<A>, P>
class running_link;

// What only asio::io_context has among Asio's contexts and executors. A concept, as including its
// header would slow down every file of the user.
template <class Context>
concept is_io_context = requires(Context& c) {
    asio::any_io_executor(c.get_executor());
    c.run();
    c.restart();
};

}  // namespace detail

class ICE_API server {
public:
    // On an asio::io_context of its own, which run() runs. Calls open_standard_streams().
    server();
    // On an asio::io_context of the user, who runs it: `server srv{io};`. The server then has no
    // run() and handles no signals. The io_context must outlive the server.
    // Requires: one thread runs the io_context, and only that thread calls the server. ice has no
    // locks: calls from two threads are a data race. To use more cores, run more servers.
    // A library that is built without NDEBUG ends the program when it sees a second thread.
    template <class Context>
        requires(!std::convertible_to<Context&, std::shared_ptr<ice::transport>> &&
                 !std::derived_from<std::remove_const_t<Context>, server>)
    explicit server(Context& io) : server(make_socket_transport(io.get_executor())) {
        static_assert(detail::is_io_context<Context>,
                      "ice: a server runs on an asio::io_context that one thread runs, and on no "
                      "thread_pool, strand or executor");
    }
    // On another transport, such as a simulated one.
    explicit server(std::shared_ptr<ice::transport>);
    // Stops the server. If run() was never called, it destroys the coroutines that were spawned on
    // its own io_context; they have not begun. After run() there is nothing to destroy. On a user's
    // io_context coroutines live until what they wait for ends. If logics refer to the server, or
    // to objects that die before the io_context, call stop() and run the io_context until it is out
    // of work before destroying the server.
    ~server();
    server(const server&) = delete;
    server& operator=(const server&) = delete;

    // Listens at once, and serves while the loop runs. The reference is valid as long as the
    // server.
    // Throws std::runtime_error: "cannot listen on 127.0.0.1:9999: Address already in use".
    // If the action has a transport, its connections get all that a transport gives from that one:
    // deadlines, the count of descriptors, random numbers. Drain, stop and report() treat it as any
    // other. Here and below, throws std::invalid_argument if that transport runs on another
    // io_context than the server.
    template <protocol P, class L>
    listener<P>& add(tcp_server_action<P, L> a) {
        static_assert(
            (logic_for<detail::logic_in_t<L>, P>),
            "ice: the protocol has no packet(), or several that fit, for what this logic answers");
        auto* const added = new detail::running_listener<P, L>(
            context_, a.where_, std::move(a.protocol_), std::move(a.logic_), a.limits_, a.timeouts_,
            std::move(a.transport_));
        keep(std::unique_ptr<listener_base>(added));
        return *added;
    }

    // Connects while the loop runs; the pool keeps trying an upstream that is down. The reference
    // is valid as long as the server. Throws std::invalid_argument if another pool has the name,
    // the size is 0, there is no address, or the pool needs a logic to turn a reply into its R.
    template <protocol P, class R>
    pool<P, R>& add(tcp_client_action<P, R> a) {
        auto* const added = new pool<P, R>(context_, std::move(a.options_), std::move(a.protocol_),
                                           std::move(a.reply_logic_), std::move(a.check_));
        keep(std::unique_ptr<connection_pool>(added));
        return *added;
    }

    // The same for a pool of what another library connects: ice/resource_pool.hpp. Throws
    // std::invalid_argument also if the action has no .connect().
    template <class T>
    resource_pool<T>& add(resource_action<T> a) {
        auto* const added = new resource_pool<T>(context_, std::move(a));
        keep(std::unique_ptr<connection_pool>(added));
        return *added;
    }

    // Connects while the loop runs, and again whenever the connection has ended: ice/link.hpp.
    // Throws std::invalid_argument if another link has the name, or there is no address.
    template <protocol P, class L>
    link<P>& add(tcp_link_action<P, L> a) {
        auto* const added =
            new detail::running_link<P, L>(context_, std::move(a.options_), std::move(a.protocol_),
                                           std::move(a.logic_), std::move(a.heartbeat_));
        keep(std::unique_ptr<link_base>(added));
        return *added;
    }

    // The pool of that name; the types are those of the name. Throws std::invalid_argument if there
    // is no such pool, or if its protocol or its R is another one.
    template <protocol P, class R>
    pool<P, R>& get(pool_name<P, R> name) {
        return get<P, R>(name.text);
    }
    // The same for a name from configuration: srv.get<telnet>("timeserver").
    template <protocol P, class R = owned_t<message_t<P>>>
    pool<P, R>& get(std::string_view name) {
        if (auto* found = dynamic_cast<pool<P, R>*>(&find(name))) return *found;
        throw_other_type("pool", name);
    }
    template <class T>
    resource_pool<T>& get(resource_name<T> name) {
        if (auto* found = dynamic_cast<resource_pool<T>*>(&find(name.text))) return *found;
        throw_other_type("pool", name.text);
    }
    // The same for a link.
    template <protocol P>
    link<P>& get(link_name<P> name) {
        if (auto* found = dynamic_cast<link<P>*>(&find_link(name.text))) return *found;
        throw_other_type("link", name.text);
    }

    // Runs a coroutine of the server beside its actions, such as one that measures or refreshes
    // something. It begins when the caller has returned to the loop.
    // The server cancels it (asio::cancellation_type::terminal) in stop(), at the end of run(), and
    // in a drain when listeners and pools have finished. Then what the coroutine waits for returns
    // or throws asio::error::operation_aborted, and each later co_await throws it (as
    // std::system_error): let that leave the coroutine. run() returns when the coroutine has ended;
    // 500 ms after the cancellation it destroys a coroutine that still waits.
    // The server logs any other exception that leaves the coroutine as an error of `name`, and goes
    // on. After stop() or run() it destroys `work` at once.
    // What a reference or view among the coroutine's parameters refers to must live as long as
    // run(), or, on an io_context of the user, until the coroutine has ended.
    void spawn(task<> work, std::string_view name);

    // The steady clock of the transport, virtual in a simulation.
    time_point now() const { return context_->net->now(); }
    // Returns after `span`. Throws std::system_error with asio::error::operation_aborted if the
    // caller is cancelled meanwhile, as a coroutine of spawn() is at the end.
    task<> sleep(duration span) { return context_->net->sleep(span); }
    // A limit on that clock, for all() and first_of().
    time_limit within(duration span) const { return context_->net->within(span); }

    // Serves until stop() or the end of a drain.
    // Signals: SIGINT and SIGTERM drain, also if they arrive between the first add() and run(); a
    // second one stops. SIGUSR1 writes report() to the log. If one of these signals is ignored at
    // the first add(), it stays ignored, as in a background job of a script. From the first add()
    // until the end of the server SIGPIPE does nothing: sockets never raise it, but stdout and
    // stderr do when nobody reads them. Child processes do not inherit that.
    // When run() returns or throws, each coroutine on its loop has ended or was destroyed where it
    // waited: logics, callers of pools, and what was spawned by spawn() or on executor(). So
    // coroutines may refer to objects that live as long as run() does, even if they were made after
    // the server.
    // Work that is posted to executor() later never begins, and is destroyed with the server; open
    // no socket on it then.
    // Throws std::logic_error if the user runs the io_context, and passes on what a handler of the
    // user throws, which ends the server. It does not pass on std::bad_alloc: one event is lost,
    // and the server goes on.
    void run();

    // Listeners accept no more connections, answer the messages that have arrived or begun to
    // arrive (timeouts::message), and close each connection when it is idle. Then the pools finish
    // their requests and refuse others with errc::draining, and the links close their connections
    // (link_timeouts::drain). Then the server cancels the coroutines
    // of spawn(), and run() returns. After half of `grace_period`, receive() of a lease without a
    // request in flight returns errc::draining. After `grace_period` the server stops.
    void drain(duration grace_period);
    void drain() { drain(drain_timeout); }

    // Closes all connections now; run() returns.
    void stop();

    // Writes its state to the log, at level info: a line for each pool and listener, for each of
    // the first 100 connections of a listener, and for the coroutines of spawn().
    void report();

    // For Asio's own functions: co_spawn(srv.executor(), ..), timers.
    const asio::any_io_executor& executor() const noexcept { return context_->net->executor(); }

    // The network of the server, to connect without a pool. Valid as long as the server.
    ice::transport& transport() const noexcept { return *context_->net; }

    // The log of this server. srv.log().to(function) redirects it.
    ice::log& log() noexcept { return context_->log; }

    // `grace_period` of drain() without arguments, and of signals. Process managers usually allow
    // 30 s before they kill.
    duration drain_timeout = std::chrono::seconds(30);

private:
    struct loop;

    server(std::unique_ptr<loop>, std::shared_ptr<ice::transport>);
    void keep(std::unique_ptr<listener_base>);
    void keep(std::unique_ptr<connection_pool>);
    void keep(std::unique_ptr<link_base>);
    connection_pool& find(std::string_view name) const;
    link_base& find_link(std::string_view name) const;
    [[noreturn]] static void throw_other_type(std::string_view kind, std::string_view name);
    void one_emptied() noexcept;
    void end_if_empty();
    void finish();
    void each_transport(void (ice::transport::*what)());
    void run_loop();
    void run_what_is_ready();
    void end_coroutines();
    static void grace_period_ended(void* self);
    void take_signals();
    void await_signal();

    std::unique_ptr<loop> loop_;  // none on a loop of the user's
    std::shared_ptr<server_context> context_;
    std::vector<std::shared_ptr<listener_base>> listeners_;
    std::map<std::string, std::shared_ptr<connection_pool>, std::less<>> pools_;
    std::map<std::string, std::shared_ptr<link_base>, std::less<>> links_;
    deadline grace_period_, half_grace_period_, emptied_;
    task_group spawned_;
    enum class state { serving, draining, stopping, finished } state_ = state::serving;
};

}  // namespace ice
