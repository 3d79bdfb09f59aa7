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
#include <exception>
#include <ice/detail/connection_pool.hpp>
#include <ice/resource_action.hpp>
#include <optional>
#include <utility>

namespace ice {

// A resource that one caller has. The destructor gives it back to the pool, which keeps it if
// is_clean() says so. If not, or if an exception destroys the lease, the pool calls reset(), and
// closes the resource if there is none. A caller that has lost the connection calls discard().
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
        if (lease_.is_empty() || is_discarded_) return;
        const bool is_thrown = std::uncaught_exceptions() != exceptions_;
        resource_pool<T>::end_lease(std::move(lease_), is_thrown);
    }

    // The resource, valid as long as the lease. Requires: the lease was not moved from. Not for a
    // temporary lease, whose resource is another caller's already: give the lease a name.
    T& operator*() const& noexcept {
        assert(!lease_.is_empty());
        return *resource_;
    }
    T* operator->() const& noexcept { return &**this; }
    T& operator*() const&& = delete;
    T* operator->() const&& = delete;

    // The pool closes the resource at the end of the lease. `why` is for the breaker of its
    // address, and for the counters: errc::closed, truncated and bad_message, and errors of the
    // system, are failures of the upstream. So is errc::request_timeout, for the breaker only if
    // the lease has lasted for half of pool_timeouts::request, at most 5 s. Errors that ice does
    // not know, such as those of a query, are the caller's.
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
    // and connecting included, and at most pool_timeouts::acquire. Unlike pool::acquire() it does
    // not bound the lease: drain() waits for its end, and stop() closes the resource then, so give
    // what you do with the resource a timeout. Callers get resources in the order of their calls.
    // The counters count it as a request, and the end of the lease as a reply, a timeout or a
    // failure, as discard() says.
    // Errors are those of pool::acquire(): condition::not_executed holds for all but a cancelled or
    // stopped call. Any coroutine on the loop's thread may call it at any time.
    task<pool_result<resource_lease<T>>> acquire(duration timeout) {
        if (timeout <= duration::zero()) co_return co_await refuse_late<resource_lease<T>>();
        call mine(*this, timeout);
        connection_lease leased = try_acquire(mine.begin);
        if (leased.is_empty()) {
            auto taken = co_await wait_for_connection(mine.until);
            if (!taken) co_return mine.failed(taken.error());
            leased = std::move(taken->own);
        }
        keep(leased);
        T& resource = *of(leased.connection()).resource;
        mine.leased();
        co_return resource_lease<T>(std::move(leased), resource);
    }
    task<pool_result<resource_lease<T>>> acquire() { return acquire(timeouts().request); }

private:
    friend class resource_lease<T>;

    resource_pool(std::shared_ptr<server_context> context, pool_options o,
                  std::shared_ptr<const functions> f)
        : connection_pool(
              std::move(context), one_at_a_time(std::move(o)),
              [f] { return std::make_unique<resource_connection>(f); }, "connect"),
          does_(std::move(f)) {
        if (!does_->connect) throw_needs("a .connect() that makes a resource");
    }
    static pool_options one_at_a_time(pool_options o) {
        o.limits.pipeline = 1;
        return o;
    }

    // The end of a lease that was not discarded.
    static void end_lease(connection_lease leased, bool is_thrown) noexcept {
        auto& self = static_cast<resource_pool&>(leased.pool());
        leased.mark_reusable(!is_thrown);
        if (!self.does_->reset || self.core().is_stopped() || self.core().is_draining()) return;
        if (is_thrown || !self.is_clean(leased.connection())) reset_later(std::move(leased));
    }

    static resource_connection& of(pool_connection& c) noexcept {
        return static_cast<resource_connection&>(c);
    }

    task<error_code> open(pool_connection& c) override {
        std::optional<result<T>> made;
        auto work = connect_to(does_->connect(c.at->where), made);
        auto runs = within(timeouts().connect, std::move(work));
        const bool in_time = co_await std::move(runs);
        if (made && *made) {
            of(c).resource.emplace(**std::move(made));  // late: it is closed with `c`
            co_return in_time ? error_code() : make_error_code(errc::connect_timeout);
        }
        if (!in_time) co_return errc::connect_timeout;
        const error_code ec = made->error();
        const bool is_of_system =
            kind_of(ec) == failure_kind::closed && ec.category() != category();
        co_return not_opened(c, is_of_system ? connect_error(ec) : ec);
    }
    static task<> connect_to(task<result<T>> work, std::optional<result<T>>& made) {
        auto got = co_await std::move(work);
        made.emplace(std::move(got));
    }
    task<error_code> check_health(pool_connection& c) override {
        return run_within(timeouts().check, does_->check(*of(c).resource));
    }
    task<error_code> reset(pool_connection& c) override {
        return run_within(timeouts().handshake, does_->reset(*of(c).resource));
    }
    task<error_code> run_within(duration most, task<error_code> work) {
        error_code ec = errc::request_timeout;
        auto runs = within(most, keep_error(std::move(work), ec));
        const bool in_time = co_await std::move(runs);
        co_return in_time ? ec : make_error_code(errc::request_timeout);
    }
    static task<> keep_error(task<error_code> work, error_code& ec) {
        ec = co_await std::move(work);
    }

    bool is_clean(pool_connection& c) noexcept override {
        if (!does_->is_clean) return true;
        try {
            return does_->is_clean(*of(c).resource);
        } catch (...) {
            log_thrown_by("is_clean");
            return false;
        }
    }
    bool has_room(pool_connection&) noexcept override { return false; }
    void cancel(pool_connection&) noexcept override {}
    pool_core::outcome ended(pool_connection& c, bool reusable, error_code why) noexcept override {
        const bool keeps = reusable && is_clean(c);
        if (kind_of(why) == failure_kind::bad_reply && why.category() != category()) why = {};
        if (!c.is_checked) {  // the lease of a caller
            if (why) count(why, kind_of(why), true);
            else ++core().counters().replies;
        }
        return {.is_clean = keeps, .has_replied = keeps, .why = why};
    }
    std::shared_ptr<const functions> does_;
};

}  // namespace ice
