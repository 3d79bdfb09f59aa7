// resource_action: describes a resource_pool: its name, its addresses, and what it does with the
// connections of another library.
#pragma once

#include <concepts>
#include <functional>
#include <ice/action.hpp>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace ice {

// The name of a pool of resources of type T, for add() and get() alike. The text must be valid as
// long as the name is used; a string literal always is. For a name from configuration:
// srv.get(resource_name<T>{text}).
template <class T>
struct resource_name {
    std::string_view text;
};

template <class T>
class resource_pool;

// Describes a pool of at most `size` resources at `where`, as tcp_client_action does for sessions;
// what is said there of several addresses, names and descriptors holds here. A resource is a T that
// can be moved, such as a std::unique_ptr to what a C library has returned. The functions are
// called on the loop's thread. What they refer to must outlive the server. `connect` is needed.
// Without a meaning here: pool_limits::message, outbox and pipeline. pool_timeouts::handshake is
// the time of reset(), as connect() makes a resource that is ready.
template <class T>
class resource_action : public pool_setters<resource_action<T>> {
    using resource_action::pool_setters::options_;
    static_assert(std::move_constructible<T>, "ice: a resource can be moved: it lives in its pool");

public:
    resource_action(pool_addresses where, resource_name<T> name, std::size_t size)
        : resource_action(std::move(where), std::string(name.text), size) {}
    // A name from configuration.
    resource_action(pool_addresses where, std::string name, std::size_t size)
        : resource_action::pool_setters({std::move(name), std::move(where.all), size}) {}

    // Sets the coroutine that makes a resource, ready for use:
    //     task<result<T>> connect(const address& where)
    // `where` is one of the pool's addresses, or an IP address of one of its names. After
    // pool_timeouts::connect, and in stop(), the pool cancels the coroutine
    // (asio::cancellation_type::terminal): let it wait only for operations of Asio or ice, as the
    // pool waits for its end. That time is for all it does, a login included. After an error or an
    // exception the pool tries again after a pause (backoff); callers that get no resource
    // meanwhile return errc::handshake_failed, with the error as failure::cause(). An error of the
    // system, such as std::errc::connection_refused, they return as connect_error().
    template <class F>
    resource_action&& connect(F f) && {
        static_assert(std::is_invocable_r_v<task<result<T>>, F&, const address&>,
                      "ice: connect of a resource_action is a coroutine that is called with "
                      "(const address&) and returns a task<result<T>>");
        functions_.connect = std::move(f);
        return std::move(*this);
    }
    // Sets what says whether a resource is as good as new: its peer has not closed it, and nothing
    // of its last caller is left, such as an open transaction or an answer that nobody has read:
    //     bool is_clean(T&)
    // It must not wait. The pool calls it at the end of each lease, before each lease, and once a
    // second while the resource is idle. If it returns false, or throws, which is logged, the pool
    // closes the resource; at the end of a lease it calls reset() first. Without is_clean() the
    // pool keeps each resource whose lease ends without an exception.
    template <class F>
    resource_action&& is_clean(F f) && {
        static_assert(std::is_invocable_r_v<bool, F&, T&>,
                      "ice: is_clean of a resource_action is called with (T&) and returns a bool");
        functions_.is_clean = std::move(f);
        return std::move(*this);
    }
    // Sets the coroutine that ends what a lease has left on a resource, such as a query that still
    // runs, or an open transaction:
    //     task<error_code> reset(T&)
    // The pool calls it at the end of a lease if is_clean() returns false then, or if an exception
    // destroys the lease, such as that of a caller that was cancelled; not after discard(). Without
    // an error the pool uses the resource again if is_clean() returns true; else it closes it.
    // Callers wait for it as for a leased resource. The pool cancels it after
    // pool_timeouts::handshake, and in stop(), and waits for its end. The error counts as that of
    // discard(). An exception is logged. In a drain the pool resets nothing.
    template <class F>
    resource_action&& reset(F f) && {
        static_assert(std::is_invocable_r_v<task<error_code>, F&, T&>,
                      "ice: reset of a resource_action is a coroutine that is called with (T&) and "
                      "returns a task<error_code>");
        functions_.reset = std::move(f);
        return std::move(*this);
    }
    // Sets what closes a resource before the destructor of T. It must not wait. What it throws is
    // dropped. By default the destructor is all.
    template <class F>
    resource_action&& close(F f) && {
        static_assert(std::invocable<F&, T&>,
                      "ice: close of a resource_action is called with (T&)");
        functions_.close = std::move(f);
        return std::move(*this);
    }
    // Sets the coroutine that asks an idle resource whether its upstream works, such as by SELECT
    // 1, and how long a resource is unused before that:
    //     task<error_code> check(T&)
    // The pool cancels it after pool_timeouts::check. After an error or an exception the pool
    // closes the resource. It checks one resource at a time. Intervals below 1 ms mean 1 ms.
    template <class F>
    resource_action&& health_check(F f, duration interval) && {
        static_assert(std::is_invocable_r_v<task<error_code>, F&, T&>,
                      "ice: a health check of a resource_action is a coroutine that is called with "
                      "(T&) and returns a task<error_code>");
        functions_.check = std::move(f);
        options_.check_every = interval;
        return std::move(*this);
    }

    // Overloads for an lvalue: they do not compile, and their error says what to write.
    template <class A>
    detail::lvalue_action<A> connect(const A&) &;
    template <class A>
    detail::lvalue_action<A> is_clean(const A&) &;
    template <class A>
    detail::lvalue_action<A> reset(const A&) &;
    template <class A>
    detail::lvalue_action<A> close(const A&) &;
    template <class A>
    detail::lvalue_action<A> health_check(const A&, duration) &;

private:
    friend class server;
    friend class resource_pool<T>;

    struct functions {
        std::function<task<result<T>>(const address&)> connect;
        std::function<bool(T&)> is_clean;
        std::function<task<error_code>(T&)> reset;
        std::function<void(T&)> close;
        std::function<task<error_code>(T&)> check;
    };

    functions functions_;
};

}  // namespace ice
