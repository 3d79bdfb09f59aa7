// action: describes a listener or a pool. server::add() makes it run.
#pragma once

#include <functional>
#include <ice/address.hpp>
#include <ice/detail/reply_logic.hpp>
#include <ice/health_check.hpp>
#include <ice/limits.hpp>
#include <ice/logic.hpp>
#include <ice/protocols/raw.hpp>
#include <ice/transport.hpp>
#include <initializer_list>
#include <memory>
#include <string>
#include <vector>

namespace ice {

namespace detail {

// What the setters of an lvalue would return: it does not compile.
template <class T>
struct lvalue_action {
    static_assert(!std::same_as<T, T>,
                  "ice: an action is built in one expression, srv.add(tcp_server_action{where}"
                  ".logic(f)), or by std::move(action).logic(f)");
};

}  // namespace detail

// Describes a listener: it listens on an address, parses messages of `P`, and sends what the logic
// answers. Nothing is opened before server::add(). An action is a value; each setter takes it as
// an rvalue and returns it, so that a description is one chain:
//     srv.add(tcp_server_action{where}.protocol(telnet{}).logic(gettime).limits({..}));
template <protocol P = raw, class L = echo>
class tcp_server_action {
public:
    // Port 0 lets the kernel choose a port: listener::endpoint() has it.
    explicit tcp_server_action(address where) : where_(std::move(where)) {}
    // Sets all parts at once, for protocol() and logic() below. Users call the constructor above.
    tcp_server_action(address where, P p, L l, ice::limits limits, ice::timeouts timeouts,
                      std::shared_ptr<ice::transport> net)
        : where_(std::move(where)), protocol_(std::move(p)), logic_(std::move(l)), limits_(limits),
          timeouts_(timeouts), transport_(std::move(net)) {}

    // Sets the protocol; without it the listener uses `raw`. Each connection gets a copy of `p`,
    // so `p` may hold settings, and the copies the state of their connections. Call it before
    // logic(): the protocol says which messages the logic takes.
    template <class Q>
    auto protocol(Q p) && {
        static_assert(
            ice::protocol<Q>,
            "ice: a protocol has parse(std::string_view), which returns ice::parsed<M>, and "
            "can be copied");
        static_assert(
            std::same_as<L, echo>,
            "ice: call .protocol() before .logic(): what a logic is called with depends on "
            "the protocol");
        return tcp_server_action<Q, L>(std::move(where_), std::move(p), std::move(logic_), limits_,
                                       timeouts_, std::move(transport_));
    }

    // Sets the logic; without it the listener uses `echo`. One `l` serves all connections, so what
    // it stores is shared by all of them; with per_session(l) each connection has a copy. Its calls
    // need no lock: they all run on the loop's thread. What it refers to must outlive the server.
    // A logic is called with (message) or (message, session<P>&). It returns an answer,
    // std::optional of one (nothing is sent if it is empty), void, or a task of one of these; or it
    // is a whole conversation: logic.hpp.
    template <class M>
    auto logic(M l) && {
        detail::check_logic<detail::logic_in_t<M>, P>();
        return tcp_server_action<P, M>(std::move(where_), std::move(protocol_), std::move(l),
                                       limits_, timeouts_, std::move(transport_));
    }

    // Replaces all limits of the listener; the default is limits{}. Sizes are in bytes.
    tcp_server_action&& limits(const ice::limits& l) && {
        limits_ = l;
        return std::move(*this);
    }
    // Replaces all timeouts of the listener; the default is timeouts{}.
    tcp_server_action&& timeouts(const ice::timeouts& t) && {
        timeouts_ = t;
        return std::move(*this);
    }
    // Sets the transport of this listener alone, such as one that encrypts; the default, and what
    // null means, is the server's. The listener shares its ownership. server::add() says more.
    tcp_server_action&& transport(std::shared_ptr<ice::transport> t) && {
        transport_ = std::move(t);
        return std::move(*this);
    }

    // Overloads for an lvalue: they do not compile, and their error says what to write.
    template <class A>
    detail::lvalue_action<A> protocol(const A&) &;
    template <class A>
    detail::lvalue_action<A> logic(const A&) &;
    template <class T = void>
    detail::lvalue_action<T> limits(const ice::limits&) &;
    template <class T = void>
    detail::lvalue_action<T> timeouts(const ice::timeouts&) &;
    template <class T = void>
    detail::lvalue_action<T> transport(const std::shared_ptr<ice::transport>&) &;

private:
    friend class server;

    address where_;
    P protocol_{};
    L logic_{};
    ice::limits limits_;
    ice::timeouts timeouts_;
    std::shared_ptr<ice::transport> transport_;
};

// The name of a pool, with its protocol P and the type R of what a request returns; by default R is
// the message type of P, as a copy that owns its bytes. Declare the name once and use it for both
// add() and get(): then the compiler checks the types of all requests.
//     constexpr ice::pool_name<ice::telnet> timeserver{"timeserver"};
//     constexpr ice::pool_name<ice::line, int> counter{"counter"};  // needs .logic() on add()
// The text must be valid as long as the name is used; a string literal always is.
template <protocol P, class R = owned_t<message_t<P>>>
struct pool_name {
    std::string_view text;
};

// The addresses of a pool: one address, or several as a vector or in braces.
struct pool_addresses {
    pool_addresses(address one) : all{std::move(one)} {}
    pool_addresses(std::vector<address> several) : all(std::move(several)) {}
    pool_addresses(std::initializer_list<address> several) : all(several) {}

    std::vector<address> all;
};

// What a pool is made of, except its protocol and its logic. tcp_client_action fills it in.
struct pool_options {
    std::string name;  // unique among the pools of a server
    std::vector<address> upstreams;
    std::size_t size;  // connections to all upstreams together; at least 1
    pool_limits limits{};
    pool_timeouts timeouts{};
    backoff_limits backoff{};
    breaker_limits breaker{};
    duration check_every = no_timeout;            // the interval of health checks
    std::shared_ptr<ice::transport> transport{};  // null: the server's
};

// What the actions of all kinds of pools have.
template <class Action>
class pool_setters {
public:
    // Each of the first four replaces all values of its kind. limits.hpp has the defaults, the
    // reasons, and the counters. Bounds in numbers: callers, bytes, connections, requests.
    Action&& limits(const pool_limits& l) && { return set(options_.limits, l); }
    // Bounds in time: attempts, waits, requests, idle connections, their age, health checks.
    Action&& timeouts(const pool_timeouts& t) && { return set(options_.timeouts, t); }
    // The pauses between attempts to connect to an address that refuses connections.
    Action&& backoff(const backoff_limits& b) && { return set(options_.backoff, b); }
    // When an address that accepts connections gets no more requests, and for how long.
    Action&& breaker(const breaker_limits& b) && { return set(options_.breaker, b); }
    // The transport of this pool alone, as that of a listener above.
    Action&& transport(std::shared_ptr<ice::transport> t) && { return set(options_.transport, t); }

    // Overloads for an lvalue: they do not compile, and their error says what to write.
    template <class T = void>
    detail::lvalue_action<T> limits(const pool_limits&) &;
    template <class T = void>
    detail::lvalue_action<T> timeouts(const pool_timeouts&) &;
    template <class T = void>
    detail::lvalue_action<T> backoff(const backoff_limits&) &;
    template <class T = void>
    detail::lvalue_action<T> breaker(const breaker_limits&) &;
    template <class T = void>
    detail::lvalue_action<T> transport(const std::shared_ptr<ice::transport>&) &;

protected:
    explicit pool_setters(pool_options o) : options_(std::move(o)) {}

    template <class V>
    Action&& set(V& option, V value) {
        option = std::move(value);
        return static_cast<Action&&>(*this);
    }

    pool_options options_;
};

// Describes a pool of at most `size` connections to `where`. srv.add() returns the pool, and
// srv.get(name) finds it later. Nothing is connected before the loop runs. A description is one
// chain, as that of a listener:
//     srv.add(tcp_client_action{where, name, 4}.protocol(line{}).timeouts({..}));
// `size` bounds the requests that are in flight at once, unless pool_limits::pipeline lets requests
// share connections; further callers wait. All connections of a process count against its
// descriptors: listeners leave room for `size` (connections_allowed()).
// With several addresses each gets its share of the connections and of the requests. Their
// upstreams must give the same replies, as any of them may get any request. An address that
// refuses connections gets none until it accepts one again, and an address whose breaker is open
// gets none but the trial. Each address that a host name resolves to is one of them, as long as the
// name has it (pool_timeouts::refresh). `size` 0 and an empty list of addresses make srv.add()
// throw.
template <protocol P, class R = owned_t<message_t<P>>>
class tcp_client_action : public pool_setters<tcp_client_action<P, R>> {
    using tcp_client_action::pool_setters::options_;

public:
    // Turns a reply into what request() returns: see logic().
    using reply_logic = ice::reply_logic<R, message_t<P>>;

    tcp_client_action(pool_addresses where, pool_name<P, R> name, std::size_t size, P p = P{})
        : tcp_client_action(std::move(where), std::string(name.text), size, std::move(p)) {}
    // A name from configuration. P is the type of `p`; without `p` write tcp_client_action<P>.
    tcp_client_action(pool_addresses where, std::string name, std::size_t size, P p = P{})
        : tcp_client_action::pool_setters({std::move(name), std::move(where.all), size}),
          protocol_(std::move(p)) {}

    // Replaces the protocol, such as by one with another limit. Its type is that of the pool's
    // name. Each connection gets a copy of `p`.
    template <class Q>
    auto protocol(Q p) && {
        static_assert(std::same_as<Q, P>,
                      "ice: the name of this pool says that it speaks another protocol");
        protocol_ = std::move(p);
        return std::move(*this);
    }

    // Sets the function, plain or a coroutine, that turns a reply into an R or a result<R>. A pool
    // whose R cannot be constructed from a reply needs one. A reply that is a view is valid until
    // the function, or its coroutine, ends. If it returns an error or throws, request() does so,
    // and no other request is affected; but errc::bad_message says that the reply is malformed: the
    // pool closes the connection, with all requests on it, and counts a failure of the upstream.
    // What it refers to must outlive the server. At the end of the request's timeout request()
    // returns, and the pool cancels the coroutine (asio::cancellation_type::terminal). The
    // coroutine may end later; until then the reply stays valid, and a connection that one request
    // uses at a time counts as busy, and is closed then. What it throws after that is dropped.
    //     .logic([](std::string_view reply) -> result<int> {
    //         int n = 0;
    //         const auto end = std::from_chars(reply.begin(), reply.end(), n).ptr;
    //         return end == reply.end() ? result<int>(n) : errc::bad_message;
    //     })
    template <class M>
    auto logic(M l) && {
        static_assert(std::invocable<M&, message_t<P>>,
                      "ice: the logic of a pool is called with (message), a reply");
        using answer = std::invoke_result_t<M&, message_t<P>>;
        if constexpr (detail::is_task<answer>) {
            static_assert(
                std::convertible_to<typename answer::value_type, result<R>>,
                "ice: the logic of a pool gives what the pool's name says, pool_name<P, R>: an "
                "R or a result<R>");
            reply_logic_.plain = nullptr;
            reply_logic_.waits = [l = std::move(l)](message_t<P> reply) mutable {
                return awaited(l(std::move(reply)));
            };
        } else {
            static_assert(
                std::convertible_to<answer, result<R>>,
                "ice: the logic of a pool gives what the pool's name says, pool_name<P, R>: an "
                "R or a result<R>");
            reply_logic_.waits = nullptr;
            reply_logic_.plain = [l = std::move(l)](message_t<P> reply) mutable -> result<R> {
                return l(std::move(reply));
            };
        }
        return std::move(*this);
    }

    // Sends `message` on each connection that was unused for `interval`, and closes the connection
    // if no reply for which `good` returns true arrives within pool_timeouts::check. The pool
    // checks one connection at a time, so the others stay free. A check does not extend
    // pool_timeouts::idle. Intervals below 1 ms mean 1 ms. `good` is called with
    // (const message_t<P>&). See make_health_check() and docs/design.md.
    template <class M, class Good = any_reply>
    tcp_client_action&& health_check(M message, duration interval, Good good = {}) && {
        options_.check_every = interval;
        check_ = make_health_check<P>(std::move(message), std::move(good));
        return std::move(*this);
    }

    // Overloads for an lvalue: they do not compile, and their error says what to write.
    template <class A>
    detail::lvalue_action<A> protocol(const A&) &;
    template <class A>
    detail::lvalue_action<A> logic(const A&) &;

private:
    friend class server;

    template <class T>
    static task<result<R>> awaited(task<T> work) {
        T made = co_await std::move(work);
        co_return result<R>(std::move(made));
    }

    P protocol_;
    reply_logic reply_logic_;
    ice::health_check<P> check_;
};

}  // namespace ice
