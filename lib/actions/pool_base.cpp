// Assigns connections to callers: which caller gets which connection, and when it gives up.
#include <fmt/format.h>

#include <algorithm>
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

}  // namespace

// A caller in the queue. It lives in the caller's coroutine, whose end takes it out of the queue.
struct pool_base::waiter {
    waiter(pool_base& p, bool s)
        : pool(p), shares(s), woken(p.net_->executor()), late(p.net_->deadlines(), too_late, this),
          since(p.now()) {}
    ~waiter() {
        duration& all = pool.counters_.wait_time;
        all = add_sat(all, pool.now() - since);
        std::erase(pool.waiters_, this);
        pool.wake_sharer();
        pool.one_ended();
    }
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    static void too_late(void* self) { static_cast<waiter*>(self)->fail(errc::acquire_timeout); }
    void fail(error_code why) {
        failed = why;
        woken.set();
    }

    pool_base& pool;
    bool shares;
    event woken;
    deadline late;
    std::optional<connection_lease> given;
    error_code failed;
    time_point since;
};

pool_base::pool_base(std::shared_ptr<server_context> context, pool_options o)
    : context_(std::move(context)),
      net_(context_->transport_for(fmt::format("pool '{}'", o.name), std::move(o.transport))),
      name_(std::move(o.name)), size_(o.size), limits_(o.limits), timeouts_(o.timeouts),
      check_every_(std::max(o.check_every, least_interval)),
      upstreams_(this, o.upstreams, o.backoff, std::max(o.timeouts.retry_interval, least_interval),
                 o.breaker, net_->deadlines()),
      expiry_(
          net_->deadlines(), [](void* p) { static_cast<pool_base*>(p)->expire_idle(); }, this) {
    if (size_ == 0) throw std::invalid_argument(fmt::format("pool '{}': a size of 0", name_));
    if (upstreams_.size() == 0)
        throw std::invalid_argument(fmt::format("pool '{}': no address", name_));
    idle_.reserve(size_);  // release() runs in destructors, where an allocation must not fail
    busy_.reserve(size_);
    timeouts_.retry_interval = std::max(timeouts_.retry_interval, least_interval);
    limits_.outbox = std::max<std::size_t>(limits_.outbox, 1);
    settings_.is_duplex = true;
    settings_.limits.outbox = limits_.outbox;
    settings_.limits.message = o.limits.message;
    settings_.timeouts.handshake = o.timeouts.handshake;
    net_->budget().reserve(size_);
}

pool_base::~pool_base() { net_->budget().unreserve(size_); }

void pool_base::throw_needs_logic() const {
    throw std::invalid_argument(fmt::format(
        "pool '{}': it needs a .logic() to make of a reply what its name promises", name_));
}

// -- assigning

pool_base::connection_lease pool_base::try_acquire() {
    if (!waiters_.empty()) return {nullptr, {}};
    return {shared_from_this(), acquire_idle()};
}

task<result<pool_base::acquired>> pool_base::wait_for_connection(time_point until, bool shares) {
    if (waiters_.empty() && !stopped_ && !draining_) {
        pool_connection free = acquire_idle();
        if (free.session) co_return acquired(connection_lease(shared_from_this(), std::move(free)));
        pipeline* const shared = shares ? pipeline_with_room() : nullptr;
        if (shared) co_return acquired(*shared);
    }
    if (const error_code refused = why_refused()) {
        co_await let_others_run();
        co_return refused;
    }
    ++counters_.waited;
    const time_point deadline = std::min(until, after(now(), timeouts_.acquire));
    bool first = false;  // a caller that was given a dead connection goes to the front
    for (;;) {
        auto served = co_await wait_for_one(deadline, first, shares);
        if (!served || served->shared != nullptr) co_return served;
        session_base& s = served->own.session();
        if (s.has_no_input()) co_return served;  // mutant: served_input
        if (stopped_) co_return errc::stopped;   // stop() has run since assign()
        ++counters_.stale;
        if (!served->own.is_proven()) {  // new: the upstream has closed it before its first use
            open_failed(served->own.upstream(), errc::upstream_closes);
            if (!upstreams_.any_available()) co_return errc::upstream_closes;
        }
        first = true;
        pool_connection free = acquire_idle();
        if (free.session) co_return acquired(connection_lease(shared_from_this(), std::move(free)));
    }
}

// Why a caller may not wait for a connection; no error if it may.
error_code pool_base::why_refused() {
    if (stopped_) return errc::stopped;
    if (draining_) return errc::draining;  // mutant: drain_refuses
    if (is_down() && !connect_while_down()) return upstreams_.why();
    return waiters_.size() >= limits_.max_waiters ? make_error_code(errc::pool_full) : error_code();
}

task<result<pool_base::acquired>> pool_base::wait_for_one(time_point until, bool first,
                                                          bool shares) {
    waiter w(*this, shares);
    waiters_.insert(first ? waiters_.begin() : waiters_.end(), &w);
    w.late.set(until);
    open_more(waiters_.size());
    for (;;) {
        const error_code cancelled = co_await w.woken.wait();
        if (w.given) co_return acquired(*std::move(w.given));
        if (cancelled) co_return cancelled;
        if (w.failed) co_return w.failed;
        if (pipeline* const shared = pipeline_with_room()) co_return acquired(*shared);
        w.woken.clear();
    }
}

// Wakes the front of the queue if a pipeline has room for it. It leaves the queue when it runs.
void pool_base::wake_sharer() {
    if (waiters_.empty() || !waiters_.front()->shares || pipeline_with_room() == nullptr) return;
    waiters_.front()->woken.set();
}

pipeline* pool_base::pipeline_with_room() const noexcept {
    pipeline* least = nullptr;
    for (pipeline* line : pipelines_) {
        // A pipeline that is ending gets no more requests: the pool replaces its connection.
        const bool has_room = line->size() < limits_.pipeline &&
                              line->session().bytes().unsent() < limits_.outbox &&
                              line->upstream().breaker.is_closed() && !line->is_ending();
        if (has_room && (least == nullptr || line->size() < least->size())) least = line;
    }
    return least;
}

void pool_base::watch_outbox(session_base& s) {
    if (s.bytes().unsent() < limits_.outbox) return;
    spawn(context_, wake_if_sent(shared_from_this(), s), name_);
}

// It waits beside the coroutine that receives, so the connection may end before the wait returns.
task<> pool_base::wake_if_sent(std::shared_ptr<pool_base> self, session_base& s) {
    const ice::uid id = s.uid();
    const auto is_it = [&](session_base* one) { return one == &s && one->uid() == id; };
    while (std::ranges::any_of(self->busy_, is_it) && s.bytes().unsent() >= self->limits_.outbox) {
        auto room = s.bytes().wait_for_room();
        if (co_await std::move(room)) co_return;
    }
    self->wake_sharer();
}

// The caller may be cancelled while others run: Asio would throw at its next co_await.
task<error_code> pool_base::prepare_retry(time_point until) {
    co_await let_others_run();
    const auto stop = co_await asio::this_coro::cancellation_state;
    if (stop.cancelled() != asio::cancellation_type::none) co_return asio::error::operation_aborted;
    co_return may_retry(until) ? error_code() : make_error_code(errc::not_sent);
}

bool pool_base::may_retry(time_point until) noexcept {
    constexpr std::uint64_t always = 10;  // a percentage of few requests would allow none
    if (stopped_ || draining_ || now() >= until || limits_.retries == 0) return false;
    if (counters_.retries >= always + counters_.requests * limits_.retries / 100) return false;
    ++counters_.retries;
    return true;
}

// Takes the connection that came back last, of the address leased longest ago, so that surplus ones
// expire. Closes those with input, which would become the reply to the next request.
pool_connection pool_base::acquire_idle() {
    while (!idle_.empty()) {
        auto best = idle_.end() - 1;
        for (auto i = best; upstreams_.size() != 1 && i-- != idle_.begin();) {
            if (i->at->last_leased < best->at->last_leased) best = i;
        }
        pool_connection c = std::move(*best);
        idle_.erase(best);
        if (c.session->has_no_input()) return mark_leased(std::move(c));  // mutant: idle_in
        ++counters_.stale;
        c = {};
        watch_breakers();
        keep_open();
    }
    return {};
}

pool_connection pool_base::mark_leased(pool_connection c) {
    busy_.push_back(c.session.get());
    // The caller of a trial may have no timeout: another trial may begin after this time.
    c.at->breaker.give_up(c.trial, after(now(), timeouts_.request));
    c.at->last_leased = ++leases_;
    return c;
}

void pool_base::assign(pool_connection c) {
    if (waiters_.empty()) {
        if (draining_) return;
        idle_.push_back(std::move(c));
        const time_point next = std::min(end_of(idle_.back()), check_of(idle_.back()));
        if (next < expiry_.at()) expiry_.set(next);
        return;
    }
    waiter& first = *waiters_.front();
    c = mark_leased(std::move(c));
    waiters_.pop_front();
    first.given.emplace(shared_from_this(), std::move(c));  // mutant: give
    first.woken.set();
}

void pool_base::release(pool_connection c, bool reusable, error_code why) noexcept {
    std::erase(busy_, c.session.get());
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
    if (stopped_) return;
    try {
        const bool well = reusable && s.received() != 0;
        const bool has_recovered = well && succeeded(*c.at);
        if (!well && why) failed(c, why);
        if (may_return(state)) {
            returned(std::move(c));
        } else {
            ++counters_.discarded;
            c = {};
            watch_breakers();
            if (!waiters_.empty() || !upstreams_.are_down()) open_more(1);
            fail_if_down();
        }
        if (has_recovered) open_first();
    } catch (const std::bad_alloc&) {  // `c` is closed; the next caller makes the pool connect
    }
    one_ended();
}

void pool_base::returned(pool_connection c) {
    ++counters_.returned;
    if (c.session->received() != 0) {
        c.is_proven = true;
        c.at->health.replied();
    }
    c.since = now();
    if (!std::exchange(c.is_checked, false)) c.used = c.since;
    if (c.at->breaker.is_closed()) c.trial = 0;
    else if (!c.at->breaker.is_current(c.trial)) return;  // its breaker has opened meanwhile
    const time_point at = c.since;
    const bool aged = c.retires <= at;
    struct upstream* const needy = needs_trial(c, at);
    if (aged || needy != nullptr || should_rebalance(c)) {
        ++(aged ? counters_.aged : counters_.rebalanced);
        c = {};
        watch_breakers();
        if (needy != nullptr) connect_to(*needy, at);
        return open_more(1);
    }
    c.at->breaker.give_up(c.trial, never);
    c.session->begin_lease();
    c.session->set_deadline(never, errc{});      // mutant: request_time_ends
    c.session->bytes().deadline(never, errc{});  // mutant: request_timer_ends
    assign(std::move(c));
}

void pool_base::fail_waiters(error_code ec) {
    for (waiter* w : std::exchange(waiters_, {})) w->fail(ec);
}

// If no address serves and no attempt is in flight, no caller that waits can get a connection.
void pool_base::fail_if_down() {
    if (is_down() && connecting_ == 0) fail_waiters(upstreams_.why());
}

// -- ending

void pool_base::one_ended() noexcept {
    if (draining_ && is_empty() && when_empty_) when_empty_();
}

time_point pool_base::end_of(const pool_connection& i) const noexcept {
    return std::min(after(i.used, timeouts_.idle), i.retires);
}

void pool_base::expire_idle() {
    const time_point at = now();
    counters_.aged += std::erase_if(idle_, [at](const auto& i) { return i.retires <= at; });
    counters_.expired += std::erase_if(idle_, [&](const auto& i) { return end_of(i) <= at; });
    check_one_idle(at);
    time_point next = never;
    for (const pool_connection& i : idle_) next = std::min({next, end_of(i), check_of(i)});
    // If pool_timeouts::idle is near 0, the pool would replace expired connections without a pause.
    const bool keeps = open() < limits_.min_connections;
    const bool too_soon = keeps && at < keep_again_;
    expiry_.set(too_soon ? std::min(next, keep_again_) : next);
    watch_breakers();
    if (!keeps || too_soon) return;
    keep_again_ = after(at, timeouts_.retry_interval);
    keep_open();
}

// -- health checks: one at a time, so that the other connections can be leased

time_point pool_base::check_of(const pool_connection& i) const noexcept {
    return checking_ ? never : after(i.since, check_every_);
}

void pool_base::check_one_idle(time_point now) {
    const auto i =
        std::ranges::min_element(idle_, {}, [this](const auto& one) { return check_of(one); });
    if (i == idle_.end() || check_of(*i) > now) return;
    checking_ = true;
    pool_connection c = std::move(*i);
    idle_.erase(i);
    busy_.push_back(c.session.get());
    c.is_checked = true;
    try {
        spawn(context_, check(connection_lease(shared_from_this(), std::move(c))), name_);
    } catch (...) {
        checking_ = false;
        throw;
    }
}

task<> pool_base::check(connection_lease leased) {
    const auto self = leased.pool().shared_from_this();
    ++self->counters_.checks;
    session_base& s = leased.session();
    error_code ec;
    const bool alive = s.has_no_input();
    if (alive) {
        s.set_deadline(after(self->now(), self->timeouts_.check), errc::request_timeout);
        try {
            ec = co_await self->ask_for_health(s);
        } catch (...) {
            self->log_thrown_by("health check");
            ec = errc::bad_message;
        }
    }
    self->checking_ = false;
    if (self->stopped_) co_return;
    if (!alive) ++self->counters_.stale;
    else if (ec) ++self->counters_.checks_failed;
    else leased.mark_reusable();
    leased.fail(ec);
    leased.release();
    self->expire_idle();  // the check of the next connection may be due
}

void pool_base::drain() {
    draining_ = true;
    drain_idle_leases();
    expiry_.clear();
    idle_.clear();
    if (!waiters_.empty()) return;  // mutant: drain_keeps_waiters
    for (struct upstream& u : upstreams_) u.retry.clear();
}

void pool_base::stop() {
    stopped_ = true;
    for (struct upstream& u : upstreams_) u.retry.clear();
    expiry_.clear();
    idle_.clear();
    fail_waiters(errc::stopped);
    for (session_base* s : busy_) s->bytes().cancel(errc::stopped);
    for (session_base* s : opening_) s->bytes().cancel(errc::stopped);
}

}  // namespace ice
