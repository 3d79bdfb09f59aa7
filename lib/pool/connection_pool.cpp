// Reports to the core what callers and connections do, and carries out its actions.
#include <fmt/format.h>

#include <asio/error.hpp>
#include <asio/this_coro.hpp>
#include <exception>
#include <ice/detail/cancel_at.hpp>
#include <ice/detail/connection_pool.hpp>
#include <new>
#include <optional>
#include <stdexcept>

namespace ice {
namespace {

// The shortest interval of what is repeated, so that a setting of 0 does not spin.
constexpr duration least_interval = std::chrono::milliseconds(1);

pool_core::options core_options(const std::string& name, const pool_options& o) {
    if (o.size == 0) throw std::invalid_argument(fmt::format("pool '{}': a size of 0", name));
    if (o.upstreams.empty())
        throw std::invalid_argument(fmt::format("pool '{}': no address", name));
    pool_core::options made{o.size, o.limits, o.timeouts, o.backoff, o.breaker, o.check_every};
    made.timeouts.retry_interval = std::max(o.timeouts.retry_interval, least_interval);
    made.limits.outbox = std::max<std::size_t>(o.limits.outbox, 1);
    made.timeouts.refresh = std::max(o.timeouts.refresh, least_interval);
    made.check_every = std::max(o.check_every, least_interval);
    return made;
}

}  // namespace

// A caller in the queue. It lives in the caller's coroutine, whose end takes it out of the queue.
struct connection_pool::waiter : pool_caller {
    waiter(connection_pool& p, bool may_share)
        : pool(p), woken(p.net_->executor()), late(p.net_->deadlines(), too_late, this) {
        shares = may_share;
    }
    ~waiter() {
        pool.core_.leave(*this, pool.now());
        take().release();
        pool.carry_out();
    }
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    static void too_late(void* self) {
        auto& me = *static_cast<waiter*>(self);
        me.failed = errc::acquire_timeout;
        me.woken.set();
    }
    // What the core has given; empty if that is nothing. It is clean, until it is used.
    connection_lease take() {
        if (given == nullptr) return {};
        connection_lease taken(pool.shared_from_this(), *std::exchange(given, nullptr));
        taken.mark_reusable();
        return taken;
    }

    connection_pool& pool;
    event woken;
    deadline late;
};

// What an attempt to connect has. stop() destroys one that has not begun: this reports its end.
struct connection_pool::attempt {
    attempt(std::shared_ptr<connection_pool> p, pool_connection* c) noexcept
        : pool(std::move(p)), connection(c) {}
    attempt(attempt&& other) noexcept
        : pool(std::move(other.pool)), connection(std::exchange(other.connection, nullptr)) {}
    attempt& operator=(attempt&&) = delete;
    ~attempt() {
        if (connection == nullptr || !pool->core_.is_stopped()) return;
        pool->core_.connect_failed(*connection, errc::stopped, pool->now());
        pool->carry_out();
    }

    std::shared_ptr<connection_pool> pool;
    pool_connection* connection;  // null: its end was reported
};

connection_pool::connection_pool(std::shared_ptr<server_context> context, pool_options o,
                                 pool_core::factory make, std::string_view opens)
    : context_(std::move(context)),
      net_(context_->transport_for(fmt::format("pool '{}'", o.name), std::move(o.transport))),
      name_(std::move(o.name)), opens_(opens),
      core_(
          core_options(name_, o), o.upstreams, [net = net_.get()] { return net->random(); },
          std::move(make)),
      attempts_(net_->executor()), tick_(
                                       net_->deadlines(),
                                       [](void* self) {
                                           auto& me = *static_cast<connection_pool*>(self);
                                           me.core_.tick(me.now());
                                           me.carry_out();
                                       },
                                       this) {
    net_->budget().reserve(size());
}

void connection_pool::throw_needs(std::string_view what) const {
    throw std::invalid_argument(fmt::format("pool '{}': it needs {}", name_, what));
}

connection_pool::~connection_pool() { net_->budget().unreserve(size()); }

// Warns if all pools together may want more descriptors than are reserved for pools.
void connection_pool::start() {
    const std::size_t all = net_->descriptors(), wanted = net_->budget().reserved();
    const std::size_t kept =
        connections_allowed(unlimited, all) - connections_allowed(unlimited, all, wanted);
    if (kept < wanted)
        context_->write(
            log_level::warning, "few descriptors",
            fmt::format("pool '{}': the process may open {} descriptors; {} are kept for "
                        "pools, and they may want {}",
                        name_, all, kept, wanted));
    core_.start(now());
    carry_out();
}

// -- callers

connection_pool::connection_lease connection_pool::try_acquire(time_point at) {
    while (pool_connection* const c = core_.acquire(at)) {
        if (is_clean(*c)) return {shared_from_this(), *c};  // mutant: idle_in
        core_.stale(*c, at);
        carry_out();
    }
    return {};
}

// What was pushed has been sent since then, in part, so an outbox may have room again.
pool_connection* connection_pool::share(pool_caller* k, time_point at) noexcept {
    for (const auto& c : core_.connections()) {
        if (c->is_full && has_room(*c)) core_.sent(*c);
    }
    pool_connection* const shared = core_.share(k, at);
    carry_out();
    return shared;
}

connection_pool::acquired connection_pool::try_share(time_point at) {
    connection_lease idle = try_acquire(at);
    if (!idle.is_empty()) return acquired(std::move(idle));
    pool_connection* const shared = share(nullptr, at);
    return shared != nullptr ? acquired(*shared) : acquired(std::move(idle));
}

task<result<connection_pool::acquired>> connection_pool::wait_for_connection(time_point until,
                                                                             bool shares) {
    std::optional<waiter> w;
    // A caller that handles its cancellation itself may ask after it, as to clean up.
    const bool was_cancelled = is_cancelled(co_await asio::this_coro::cancellation_state);
    for (;;) {
        const time_point at = now();
        connection_lease idle = try_acquire(at);
        if (!idle.is_empty()) co_return acquired(std::move(idle));
        pool_connection* shared = shares ? share(w ? &*w : nullptr, at) : nullptr;
        if (shared != nullptr) co_return acquired(*shared);
        const bool is_first = !w;
        if (is_first) w.emplace(*this, shares);
        const error_code refused = core_.wait(*w, at);
        carry_out();
        if (refused) {
            w.reset();
            if (is_first) co_await let_others_run();  // mutant: refusal_yields
            co_return refused;
        }
        if (is_first) w->late.set(std::min(until, after(at, timeouts().acquire)));
        while (w->given == nullptr) {
            if (w->failed) co_return w->failed;  // its time ended while it was given a dead one
            const error_code cancelled = co_await w->woken.wait();
            w->woken.clear();
            // The caller may be cancelled after it was woken, and before it runs.
            const auto state = co_await asio::this_coro::cancellation_state;
            const bool cancelled_since = !was_cancelled && is_cancelled(state);
            if (cancelled || cancelled_since)  // mutant: woken_and_cancelled
                co_return asio::error::operation_aborted;
            if (w->given != nullptr) break;
            if (w->failed) co_return w->failed;
            shared = share(&*w, now());
            if (shared != nullptr) co_return acquired(*shared);
        }
        connection_lease mine = w->take();
        if (is_clean(mine.connection())) {  // mutant: served_input
            mine.mark_reusable(false);
            co_return acquired(std::move(mine));
        }
        if (core_.is_stopped()) co_return errc::stopped;  // stop() has run since
        core_.stale(mine.give_up(), now());
        carry_out();
    }
}

void connection_pool::keep(connection_lease& l) noexcept {
    core_.kept(l.connection(), now());
    carry_out();
}

void connection_pool::release(pool_connection& c, bool reusable, error_code why) noexcept {
    core_.released(c, ended(c, reusable, why), now());
    carry_out();
}

// -- ending

void connection_pool::one_ended() noexcept {
    if (!core_.is_empty()) return;
    tick_.clear();
    if (when_empty_) when_empty_();
}

void connection_pool::drain() {
    core_.drain(now());
    carry_out();
    drain_idle_leases();
}

void connection_pool::stop() {
    core_.stop();
    carry_out();
    tick_.clear();  // it would keep a loop of the user's running
    attempts_.cancel();
}

// -- actions

void connection_pool::carry_out_all() noexcept {
    while (pool_action* const a = core_.next_action())
        carry_out_one(*a, std::exchange(a->todo, pool_action::kinds::none));
    for (const pool_event& e : core_.events()) write(e);
    if (core_.due() >= tick_.at()) return;
    try {
        tick_.set(core_.due());
    } catch (const std::bad_alloc&) {  // the next event sets it
    }
}

void connection_pool::carry_out_one(pool_action& a, pool_action::kinds what) noexcept {
    using kinds = pool_action::kinds;
    const auto connection = [&]() -> pool_connection& { return static_cast<pool_connection&>(a); };
    const auto self = shared_from_this();
    const auto no_memory = std::make_error_code(std::errc::not_enough_memory);
    switch (what) {
        case kinds::connect: {
            pool_connection& c = connection();
            const auto failed = [self, no_memory, &c] {
                if (self->core_.is_stopped()) return;  // ~attempt() has reported it
                self->core_.connect_failed(c, no_memory, self->now());
                self->carry_out();
            };
            try {
                attempts_.spawn(open_one({self, &c}), [failed](std::exception_ptr) { failed(); });
            } catch (const std::bad_alloc&) { failed(); }
            break;
        }
        case kinds::resolve: {
            upstream_name& n = *static_cast<pool_lookup&>(a).name;
            const auto failed = [self, no_memory, &n] {
                self->core_.resolve_failed(n, no_memory, self->now());
                self->carry_out();
            };
            try {
                attempts_.spawn(look_up(self, n), [failed](std::exception_ptr) { failed(); });
            } catch (const std::bad_alloc&) { failed(); }
            break;
        }
        case kinds::check:
            try {
                spawn(context_, check(connection_lease(shared_from_this(), connection())), name_);
            } catch (...) {  // the lease has ended, and with it the check
            }
            break;
        case kinds::look:
            if (!is_clean(connection())) core_.stale(connection(), now());
            break;
        case kinds::cancel: cancel(connection()); break;
        case kinds::close: std::unique_ptr<pool_connection>(&connection()).reset(); break;
        case kinds::wake: static_cast<waiter&>(static_cast<pool_caller&>(a)).woken.set(); break;
        case kinds::none: break;
    }
}

void connection_pool::write(const pool_event& e) noexcept {
    const auto say = [&](log_level level, std::string_view event, std::string_view text) {
        context_->write(level, event, fmt::format("pool '{}': {}{}", name_, e.where, text));
    };
    using kinds = pool_event::kinds;
    try {
        switch (e.kind) {
            case kinds::down:
                say(log_level::warning, "upstream is down", fmt::format(": {}", e.why.message()));
                break;
            case kinds::back: say(log_level::info, "upstream is back", " is back"); break;
            case kinds::trips:
                say(log_level::warning, "upstream does not answer",
                    fmt::format(": {} requests in a row have failed, the last: {}", e.failures,
                                e.why.message()));
                break;
            case kinds::answers: say(log_level::info, "upstream answers", " answers again"); break;
            case kinds::unresolved:
                say(log_level::warning, "name is not resolved",
                    fmt::format(": {}", e.why.message()));
                break;
            case kinds::resolved: say(log_level::info, "name is resolved", " is resolved"); break;
        }
    } catch (...) {  // no memory for a line of the log
    }
}

// -- what the pool waits for on behalf of its core

task<> connection_pool::open_one(attempt a) {
    connection_pool& me = *a.pool;
    pool_connection& c = *a.connection;
    error_code ec;
    try {
        ec = co_await me.open(c);
    } catch (const std::bad_alloc&) {
        ec = std::make_error_code(std::errc::not_enough_memory);
    } catch (...) {
        ec = errc::stopped;
        if (!me.core_.is_stopped()) {
            me.log_thrown_by(me.opens_, c.at.get());
            ec = not_opened(c, errc::handshake_failed);
        }
    }
    a.connection = nullptr;
    if (ec) me.core_.connect_failed(c, ec, me.now());
    else me.core_.connected(c, me.now());
    me.carry_out();
}

error_code connection_pool::not_opened(pool_connection& c, error_code ec) noexcept {
    if (ec == condition::not_executed && ec != errc::handshake_failed) return ec;
    c.at->handshake_error = ec;
    return errc::handshake_failed;
}

task<bool> connection_pool::within(duration most, task<> work) {
    return cancel_at(net_->executor(), net_->deadlines(), after(now(), most), std::move(work));
}

task<> connection_pool::look_up(std::shared_ptr<connection_pool> me, upstream_name& n) {
    auto found = co_await me->net_->resolve(n.where, after(me->now(), me->timeouts().connect));
    if (found) me->core_.resolved(n, *found, me->now());
    else me->core_.resolve_failed(n, found.error(), me->now());
    me->carry_out();
}

task<> connection_pool::check(connection_lease leased) {
    const auto self = leased.pool().shared_from_this();
    pool_counters& counters = self->core_.counters();
    error_code ec;
    const bool alive = self->is_clean(leased.connection());
    if (alive) {
        try {
            ec = co_await self->check_health(leased.connection());
        } catch (...) {
            self->log_thrown_by("health check");
            ec = errc::bad_message;
        }
    }
    if (self->core_.is_stopped()) co_return;
    if (!alive) ++counters.stale;
    else if (ec) ++counters.checks_failed;
    else leased.mark_reusable();
    leased.fail(ec);
}

void connection_pool::reset_later(connection_lease leased) noexcept {
    const auto self = leased.pool().shared_from_this();
    leased.mark_reusable(false);
    try {  // in a turn of the loop: it must not run within the destructor of a lease
        self->attempts_.spawn(reset_and_release(std::move(leased)), [](std::exception_ptr) {});
    } catch (...) {  // no memory: the connection is closed
    }
}

task<> connection_pool::reset_and_release(connection_lease leased) {
    const auto self = leased.pool().shared_from_this();
    error_code ec;
    try {
        ec = co_await self->reset(leased.connection());
    } catch (...) {
        if (!self->core_.is_stopped()) self->log_thrown_by("reset");
        ec = errc::bad_message;
    }
    if (!ec) leased.mark_reusable();
    leased.fail(ec);
}

void connection_pool::log_thrown_by(std::string_view what, const upstream* at) noexcept {
    try {
        context_->write(log_level::error, fmt::format("{} threw", what),
                        fmt::format("pool '{}'{}: its {} threw: {}", name_,
                                    at != nullptr ? fmt::format(" of {}", at->text()) : "", what,
                                    detail::what_of(std::current_exception())));
    } catch (...) {}  // no memory for a line of the log
}

}  // namespace ice
