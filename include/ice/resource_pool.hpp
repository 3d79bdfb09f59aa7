// resource_pool: a pool of connections that another library makes, such as those of libpq or of a
// MySQL client: with the back-off, breaker, health check, limits, drain and counters of pool<P>.
//     constexpr ice::resource_name<pg> db{"db"};
//     srv.add(ice::resource_action{ice::address("127.0.0.1:5432"), db, 4}
//                 .connect(connect).is_clean(is_clean).close(close));
//     auto leased = co_await srv.get(db).acquire();  // in a logic, say
//     if (!leased) co_return leased.failure().text();
//     use(**leased);  // a pg
#pragma once

#include <cassert>
#include <concepts>
#include <exception>
#include <functional>
#include <ice/detail/cancel_at.hpp>
#include <ice/detail/connection_pool.hpp>
#include <new>
#include <optional>
#include <utility>

namespace ice {

// The name of a pool of resources of type T, for add() and get() alike. The text must be valid as
// long as the name is used; a string literal always is.
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
template <class T>
class resource_action {
    static_assert(std::move_constructible<T>, "ice: a resource can be moved: it lives in its pool");

public:
    resource_action(pool_addresses where, resource_name<T> name, std::size_t size)
        : resource_action(std::move(where), std::string(name.text), size) {}
    // A name from configuration.
    resource_action(pool_addresses where, std::string name, std::size_t size)
        : options_{std::move(name), std::move(where.all), size} {}

    // Sets the coroutine that makes a resource, ready for use:
    //     task<result<T>> connect(const address& where)
    // `where` is one of the pool's addresses, or an IP address of one of its names. After
    // pool_timeouts::connect, and in stop(), the pool cancels the coroutine
    // (asio::cancellation_type::terminal): let it wait only for operations of Asio or ice, as the
    // pool waits for its end. After an error or an exception the pool tries again after a pause
    // (backoff); the error is failure::cause() of callers that get no resource meanwhile.
    resource_action&& connect(std::function<task<result<T>>(const address&)> f) && {
        functions_.connect = std::move(f);
        return std::move(*this);
    }
    // Sets what says whether a resource is as good as new: its peer has not closed it, and nothing
    // of its last caller is left, such as an open transaction or an answer that nobody has read:
    //     bool is_clean(T&)
    // It must not wait. The pool calls it at the end of each lease, before each lease, and once a
    // second while the resource is idle. If it returns false or throws, the pool closes the
    // resource. Without it the pool keeps each resource whose lease ends without an exception.
    resource_action&& is_clean(std::function<bool(T&)> f) && {
        functions_.is_clean = std::move(f);
        return std::move(*this);
    }
    // Sets what closes a resource before the destructor of T. It must not wait. By default the
    // destructor is all.
    resource_action&& close(std::function<void(T&)> f) && {
        functions_.close = std::move(f);
        return std::move(*this);
    }
    // Sets the coroutine that asks an idle resource whether its upstream works, such as by SELECT
    // 1, and how long a resource is unused before that:
    //     task<error_code> check(T&)
    // The pool cancels it after pool_timeouts::check. After an error or an exception the pool
    // closes the resource. It checks one resource at a time. Intervals below 1 ms mean 1 ms.
    resource_action&& health_check(std::function<task<error_code>(T&)> f, duration interval) && {
        functions_.check = std::move(f);
        options_.check_every = interval;
        return std::move(*this);
    }

    // As those of tcp_client_action. Without a meaning here: pool_limits::message, outbox and
    // pipeline, and pool_timeouts::handshake, as connect() makes a resource that is ready.
    resource_action&& limits(const pool_limits& l) && {
        options_.limits = l;
        return std::move(*this);
    }
    resource_action&& timeouts(const pool_timeouts& t) && {
        options_.timeouts = t;
        return std::move(*this);
    }
    resource_action&& backoff(const backoff_limits& b) && {
        options_.backoff = b;
        return std::move(*this);
    }
    resource_action&& breaker(const breaker_limits& b) && {
        options_.breaker = b;
        return std::move(*this);
    }
    resource_action&& transport(std::shared_ptr<ice::transport> t) && {
        options_.transport = std::move(t);
        return std::move(*this);
    }

private:
    friend class server;
    friend class resource_pool<T>;

    struct functions {
        std::function<task<result<T>>(const address&)> connect;
        std::function<bool(T&)> is_clean;
        std::function<void(T&)> close;
        std::function<task<error_code>(T&)> check;
    };

    pool_options options_;
    functions functions_;
};

// A resource that one caller has. The destructor gives it back to the pool, which keeps it if
// is_clean() says so. The pool closes it if an exception destroys the lease. A caller whose
// operation failed calls discard().
template <class T>
class resource_lease {
public:
    // Made by resource_pool::acquire().
    resource_lease(connection_pool::connection_lease l, T& resource) noexcept
        : lease_(std::move(l)), resource_(&resource) {}
    // A lease that was moved from has no resource: only destroy it.
    resource_lease(resource_lease&&) noexcept = default;
    resource_lease& operator=(resource_lease&&) = delete;
    ~resource_lease() {
        if (!lease_.is_empty() && !is_discarded_ && std::uncaught_exceptions() == exceptions_)
            lease_.mark_reusable();
    }

    // The resource, valid as long as the lease. Requires: the lease was not moved from.
    T& operator*() const noexcept {
        assert(!lease_.is_empty());
        return *resource_;
    }
    T* operator->() const noexcept { return &**this; }

    // The pool closes the resource at the end of the lease. `why` is for the breaker of its
    // address: errc::closed, request_timeout, truncated and bad_message, and errors of sockets, are
    // failures of the upstream. Those of the caller, such as of its SQL, are not.
    void discard(error_code why = {}) noexcept {
        is_discarded_ = true;
        lease_.fail(why);
    }

private:
    connection_pool::connection_lease lease_;
    T* resource_;
    int exceptions_ = std::uncaught_exceptions();
    bool is_discarded_ = false;
};

// What srv.add() returns for a resource_action, and srv.get() for its name. Use it only on the
// loop's thread. The server owns it: references to it are valid as long as the server.
template <class T>
class resource_pool : public connection_pool {
    using functions = typename resource_action<T>::functions;

    // It may outlive the pool's own members, so it shares the functions.
    struct resource_connection final : pool_connection {
        explicit resource_connection(std::shared_ptr<const functions> f) : does(std::move(f)) {}
        ~resource_connection() override {
            if (!resource || !does->close) return;
            try {
                does->close(*resource);
            } catch (...) {  // the resource ends all the same
            }
        }
        std::shared_ptr<const functions> does;
        std::optional<T> resource;  // none before it is connected
    };

public:
    // For server::add(), whose comment lists what it throws.
    resource_pool(std::shared_ptr<server_context> context, resource_action<T> a)
        : resource_pool(std::move(context), std::move(a.options_),
                        std::make_shared<const functions>(std::move(a.functions_))) {}

    // Leases a resource, within `timeout` (default: pool_timeouts::request), waiting for a free one
    // and connecting included, and at most pool_timeouts::acquire. The counters count it as one
    // request and one reply. Callers get resources in the order of their calls. The pool does not
    // end a lease: drain() waits for it, and stop() closes the resource at its end, so give what
    // you do with the resource a timeout.
    // Errors are those of pool::acquire(): condition::not_executed holds for all but a cancelled or
    // stopped call. Any coroutine on the loop's thread may call it at any time.
    task<pool_result<resource_lease<T>>> acquire(duration timeout) {
        call mine(*this, timeout);
        if (timeout <= duration::zero()) {
            co_await let_others_run();
            co_return mine.failed(errc::acquire_timeout);
        }
        connection_lease leased = try_acquire();
        if (leased.is_empty()) {
            auto taken = co_await wait_for_connection(mine.until);
            if (!taken) co_return mine.failed(taken.error());
            leased = std::move(taken->own);
        }
        keep(leased);
        mine.succeeded();
        T& resource = *of(leased.connection()).resource;
        co_return resource_lease<T>(std::move(leased), resource);
    }
    task<pool_result<resource_lease<T>>> acquire() { return acquire(timeouts().request); }

private:
    resource_pool(std::shared_ptr<server_context> context, pool_options o,
                  std::shared_ptr<const functions> f)
        : connection_pool(std::move(context), one_at_a_time(std::move(o)),
                          [f] { return std::make_unique<resource_connection>(f); }),
          does_(std::move(f)) {
        if (!does_->connect) throw_needs("a .connect() that makes a resource");
    }
    static pool_options one_at_a_time(pool_options o) {
        o.limits.pipeline = 1;
        return o;
    }

    static resource_connection& of(pool_connection& c) noexcept {
        return static_cast<resource_connection&>(c);
    }

    task<error_code> open(pool_connection& c) override {
        std::optional<result<T>> made;
        auto work = connect_to(does_->connect(c.at->where), made);
        auto runs = cancel_at(net().executor(), net().deadlines(), after(now(), timeouts().connect),
                              std::move(work));
        const bool in_time = co_await std::move(runs);
        if (made && *made)
            of(c).resource.emplace(**std::move(made));  // late: it is closed with `c`
        if (!in_time) co_return errc::connect_timeout;
        co_return *made ? error_code() : refused(c, made->error());
    }
    static task<> connect_to(task<result<T>> work, std::optional<result<T>>& made) {
        auto got = co_await std::move(work);
        made.emplace(std::move(got));
    }
    // Errors of the library are failure::cause() of errc::handshake_failed; those of sockets and
    // lookups are the error itself.
    static error_code refused(pool_connection& c, error_code ec) {
        if (ec == condition::not_executed) return ec;
        c.at->handshake_error = ec;
        return errc::handshake_failed;
    }

    task<error_code> check_health(pool_connection& c) override {
        error_code ec = errc::request_timeout;
        auto work = check_one(does_->check(*of(c).resource), ec);
        auto runs = cancel_at(net().executor(), net().deadlines(), after(now(), timeouts().check),
                              std::move(work));
        const bool in_time = co_await std::move(runs);
        co_return in_time ? ec : make_error_code(errc::request_timeout);
    }
    static task<> check_one(task<error_code> work, error_code& ec) {
        ec = co_await std::move(work);
    }

    bool is_clean(pool_connection& c) noexcept override {
        try {
            return !does_->is_clean || does_->is_clean(*of(c).resource);
        } catch (...) { return false; }
    }
    bool has_room(pool_connection&) noexcept override { return false; }
    void cancel(pool_connection&) noexcept override {}
    pool_core::outcome ended(pool_connection& c, bool reusable, error_code why) noexcept override {
        const bool keeps = reusable && is_clean(c);
        return {.is_clean = keeps, .has_replied = keeps, .why = why};
    }

    std::shared_ptr<const functions> does_;
};

}  // namespace ice
