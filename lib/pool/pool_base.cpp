// Reports to the core what callers and connections do, and carries out its actions.
#include <fmt/format.h>

#include <asio/error.hpp>
#include <asio/this_coro.hpp>
#include <ice/detail/pipeline.hpp>
#include <ice/pool.hpp>
#include <new>
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
struct pool_base::waiter : pool_caller {
    waiter(pool_base& p, bool may_share)
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
        connection_lease taken(pool.shared_from_this(),
                               static_cast<session_connection&>(*std::exchange(given, nullptr)));
        taken.mark_reusable();
        return taken;
    }

    pool_base& pool;
    event woken;
    deadline late;
};

pool_base::pool_base(std::shared_ptr<server_context> context, pool_options o)
    : context_(std::move(context)),
      net_(context_->transport_for(fmt::format("pool '{}'", o.name), std::move(o.transport))),
      name_(std::move(o.name)), size_(o.size),
      core_(
          core_options(name_, o), o.upstreams, [net = net_.get()] { return net->random(); },
          [] { return std::make_unique<session_connection>(); }),
      attempts_(net_->executor()), tick_(
                                       net_->deadlines(),
                                       [](void* self) {
                                           auto& me = *static_cast<pool_base*>(self);
                                           me.core_.tick(me.now());
                                           me.carry_out();
                                       },
                                       this) {
    settings_.is_duplex = true;
    settings_.limits.outbox = core_.settings().limits.outbox;
    settings_.limits.message = o.limits.message;
    settings_.timeouts.handshake = o.timeouts.handshake;
    net_->budget().reserve(size_);
}

pool_base::~pool_base() { net_->budget().unreserve(size_); }

void pool_base::throw_needs_logic() const {
    throw std::invalid_argument(fmt::format(
        "pool '{}': it needs a .logic() to make of a reply what its name promises", name_));
}

// Warns if all pools together may want more descriptors than are reserved for pools.
void pool_base::start() {
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

session_connection* pool_base::take_idle() noexcept {
    for (;;) {
        auto* const c = static_cast<session_connection*>(core_.acquire(now()));
        if (c == nullptr) return c;
        if (c->session->has_no_input()) return c;  // mutant: idle_in
        core_.stale(*c, now());
        carry_out();
    }
}

pool_base::connection_lease pool_base::try_acquire() {
    session_connection* const c = take_idle();
    return c != nullptr ? connection_lease(shared_from_this(), *c) : connection_lease();
}

// What was pushed has been sent since then, in part, so an outbox may have room again.
pool_connection* pool_base::share(const pool_caller* k, time_point at) noexcept {
    for (const auto& c : core_.connections()) {
        if (c->is_full && !line_of(*c).is_full()) core_.has_room(*c);
    }
    return core_.share(k, at);
}

task<result<pool_base::acquired>> pool_base::wait_for_connection(time_point until, bool shares) {
    std::optional<waiter> w;
    for (;;) {
        connection_lease idle = try_acquire();
        if (!idle.is_empty()) co_return acquired(std::move(idle));
        const time_point at = now();
        pool_connection* shared = shares ? share(w ? &*w : nullptr, at) : nullptr;
        if (shared != nullptr) co_return acquired(line_of(*shared));
        const bool is_first = !w;
        if (is_first) w.emplace(*this, shares);
        const error_code refused = core_.wait(*w, at);
        carry_out();
        if (refused) {
            w.reset();
            if (is_first) co_await let_others_run();
            co_return refused;
        }
        if (is_first) w->late.set(std::min(until, after(at, timeouts().acquire)));
        while (w->given == nullptr) {
            const error_code cancelled = co_await w->woken.wait();
            w->woken.clear();
            if (w->given != nullptr) break;
            if (cancelled) co_return cancelled;
            if (w->failed) co_return w->failed;
            shared = share(&*w, now());
            if (shared != nullptr) co_return acquired(line_of(*shared));
        }
        connection_lease mine = w->take();
        if (mine.session().has_no_input()) {  // mutant: served_input
            mine.mark_reusable(false);
            co_return acquired(std::move(mine));
        }
        if (core_.is_stopped()) co_return errc::stopped;  // stop() has run since
        core_.stale(mine.give_up(), now());
        carry_out();
    }
}

void pool_base::watch_outbox(pipeline& line) {
    if (line.is_full()) spawn(context_, wake_if_sent(shared_from_this(), line.connection()), name_);
}

// The caller may be cancelled while others run: Asio would throw at its next co_await.
task<error_code> pool_base::prepare_retry(time_point until) {
    co_await let_others_run();
    const auto stop = co_await asio::this_coro::cancellation_state;
    if (stop.cancelled() != asio::cancellation_type::none) co_return asio::error::operation_aborted;
    const time_point at = now();
    co_return at < until&& core_.may_retry(at) ? error_code() : make_error_code(errc::not_sent);
}

void pool_base::release(session_connection& c, bool reusable, error_code why) noexcept {
    session_base& s = *c.session;
    try {
        reusable = reusable && s.skip_input();  // mutant: skip_input
    } catch (...) { reusable = false; }         // of the protocol
    const exchange_state state{
        .asked = s.asked(),
        .replied = s.received(),
        .unsent = s.bytes().unsent(),
        .residual = s.bytes().data().size(),
        .failed = s.failed() || s.bytes().cancelled(),
        .reusable = reusable,
    };
    const pool_core::outcome o{
        .is_clean = may_return(state), .has_replied = reusable && s.received() != 0, .why = why};
    if (o.is_clean) {
        s.begin_lease();
        s.set_deadline(never, errc{});      // mutant: request_time_ends
        s.bytes().deadline(never, errc{});  // mutant: request_timer_ends
    }
    core_.released(c, o, now());
    carry_out();
}

// -- ending

void pool_base::one_ended() noexcept {
    if (!core_.is_empty()) return;
    tick_.clear();
    if (when_empty_) when_empty_();
}

void pool_base::drain() {
    core_.drain(now());
    carry_out();
    drain_idle_leases();
}

void pool_base::drain_idle_leases() {
    for (const auto& i : core_.connections()) {
        const auto& c = static_cast<const session_connection&>(*i);
        if (c.state == pool_connection::states::busy) c.session->drain_when_idle();
    }
}

void pool_base::stop() {
    core_.stop();
    carry_out();
    attempts_.cancel();
}

// -- actions

void pool_base::carry_out_all() noexcept {
    while (pool_action* const a = core_.next_action())
        carry_out_one(*a, std::exchange(a->todo, pool_action::kinds::none));
    for (const pool_event& e : core_.events()) write(e);
    if (core_.due() >= tick_.at()) return;
    try {
        tick_.set(core_.due());
    } catch (const std::bad_alloc&) {  // the next event sets it
    }
}

void pool_base::carry_out_one(pool_action& a, pool_action::kinds what) noexcept {
    using kinds = pool_action::kinds;
    const auto connection = [&]() -> session_connection& {
        return static_cast<session_connection&>(static_cast<pool_connection&>(a));
    };
    const auto self = shared_from_this();
    const auto no_memory = std::make_error_code(std::errc::not_enough_memory);
    switch (what) {
        case kinds::connect: {
            session_connection& c = connection();
            const auto failed = [self, no_memory, &c] {
                self->core_.connect_failed(c, no_memory, self->now());
                self->carry_out();
            };
            try {
                attempts_.spawn(open_one(self, c), [failed](std::exception_ptr) { failed(); });
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
            if (!connection().session->has_no_input()) core_.stale(connection(), now());
            break;
        case kinds::cancel:
            if (connection().session) connection().session->bytes().cancel(errc::stopped);
            break;
        case kinds::close: std::unique_ptr<session_connection>(&connection()).reset(); break;
        case kinds::wake: static_cast<waiter&>(static_cast<pool_caller&>(a)).woken.set(); break;
        case kinds::none: break;
    }
}

void pool_base::write(const pool_event& e) noexcept {
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

}  // namespace ice
