// Callers and leases: which caller gets which connection, and what the end of a lease means.
#include <algorithm>
#include <ice/detail/pool_core.hpp>
#include <ice/failure.hpp>

namespace ice {

pool_connection::~pool_connection() = default;

pool_core::pool_core(const options& o, const std::vector<address>& where,
                     std::function<std::uint64_t()> random, factory make)
    : options_(o), upstreams_(where, o.backoff, o.timeouts.retry_interval, o.breaker),
      make_(std::move(make)), budget_(o.limits.retries), random_(std::move(random)) {
    for (upstream_name& n : upstreams_.names()) lookups_.emplace_back().name = &n;
}

pool_core::~pool_core() {
    while (pool_action* const a = next_action()) {
        if (a->todo == kinds::close)
            std::unique_ptr<pool_connection>(static_cast<pool_connection*>(a));
    }
}

// -- actions

void pool_core::add(pool_action& a, kinds todo) noexcept {
    if (std::exchange(a.todo, todo) != kinds::none) return;  // it is in the list
    a.after = nullptr;
    (last_action_ != nullptr ? last_action_->after : actions_) = &a;
    last_action_ = &a;
}

void pool_core::forget(pool_action& a) noexcept {
    if (a.todo == kinds::none) return;
    pool_action* before = nullptr;
    for (pool_action* i = actions_; i != &a; i = i->after) before = i;
    (before != nullptr ? before->after : actions_) = a.after;
    if (last_action_ == &a) last_action_ = before;
    a.todo = kinds::none;
}

pool_action* pool_core::next_action() noexcept {
    pool_action* const a = actions_;
    if (a == nullptr) return nullptr;
    actions_ = a->after;
    if (actions_ == nullptr) last_action_ = nullptr;
    return a;
}

// -- callers

void pool_core::asked(time_point now) noexcept { budget_.request(now_ = now); }

bool pool_core::may_retry(time_point now) noexcept {
    if (is_closing() || !budget_.take(now)) return false;
    ++counters_.retries;
    return true;
}

pool_connection* pool_core::acquire(time_point now) noexcept {
    now_ = now;
    if (idle_.empty()) return nullptr;
    auto best = idle_.end() - 1;
    for (auto i = best; upstreams_.size() != 1 && i != idle_.begin();) {
        --i;
        if ((*i)->at->last_leased < (*best)->at->last_leased) best = i;
    }
    pool_connection& c = **best;
    idle_.erase(best);
    lease(c, now);
    return &c;
}

void pool_core::lease(pool_connection& c, time_point now) noexcept {
    upstream& u = *c.at;
    c.state = states::busy;
    ++busy_;
    if (u.asked++ == 0) u.asked_since = now;
    c.leased = now;
    // The caller of a trial may have no timeout: another trial may begin after this time.
    const duration most = options_.timeouts.request;
    u.breaker.give_up(c.trial, after(now, most == no_timeout ? pool_timeouts().request : most));
    if (u.breaker.is_current(c.trial)) set_retry(u, u.breaker.due());
    u.last_leased = ++leases_;
}

bool pool_core::is_down() const noexcept {
    const auto is_first_lookup = [](const upstream_name& n) {
        return !n.is_resolved && !n.health.is_failing();
    };
    return idle_.empty() && upstreams_.are_down() &&
           std::ranges::none_of(upstreams_.names(), is_first_lookup);
}

// Why a caller may not wait for a connection; no error if it may.
error_code pool_core::why_refused(time_point now) noexcept {
    if (stopped_) return errc::stopped;
    if (draining_) return errc::draining;  // mutant: drain_refuses
    if (is_down() && !connect_while_down(now)) return upstreams_.why();
    // Callers for which a connection is made, or may be made, do not wait for others.
    const std::size_t ready = established();
    const std::size_t room =
        ready < options_.size ? options_.size - ready : 0;  // mutant: room_for_callers
    if (waiting_ >= room && waiting_ - room >= options_.limits.max_waiters) return errc::pool_full;
    return {};
}

error_code pool_core::wait(pool_caller& k, time_point now) noexcept {
    now_ = now;
    if (k.ticket == 0) {
        if (const error_code refused = why_refused(now)) return refused;
        k.ticket = ++tickets_;
        k.since = now;
        ++counters_.waited;
    } else {
        if (stopped_) return errc::stopped;
        if (is_down() && connecting_ == 0) return upstreams_.why();
        due_by(now);  // a drain that seemed to be over has stopped the ticks
    }
    k.given = nullptr;
    enqueue(k);
    meet_demand(now);
    return {};
}

// A caller that was given a dead connection waits again, at its place.
void pool_core::enqueue(pool_caller& k) noexcept {
    pool_caller* before = last_;  // mutant: place_in_queue
    while (before != nullptr && before->ticket > k.ticket) before = before->before;
    k.before = before;
    k.behind = before != nullptr ? before->behind : first_;
    (k.before != nullptr ? k.before->behind : first_) = &k;
    (k.behind != nullptr ? k.behind->before : last_) = &k;
    k.is_waiting = true;
    ++waiting_;
    waiting_alone_ += k.shares ? 0 : 1;
}

void pool_core::unlink(pool_caller& k) noexcept {
    (k.before != nullptr ? k.before->behind : first_) = k.behind;
    (k.behind != nullptr ? k.behind->before : last_) = k.before;
    k.before = k.behind = nullptr;
    k.is_waiting = false;
    notified_ -= std::exchange(k.is_notified, false) ? 1 : 0;
    --waiting_;
    waiting_alone_ -= k.shares ? 0 : 1;
}

void pool_core::leave(pool_caller& k, time_point now) noexcept {
    now_ = now;
    forget(k);
    if (k.ticket != 0) counters_.wait_time = add_sat(counters_.wait_time, now - k.since);
    if (k.is_waiting) unlink(k);
    if (!k.joins) wake_sharers();  // otherwise joined() does
}

void pool_core::fail_waiters(error_code why) noexcept {
    while (first_ != nullptr) {
        pool_caller& k = *first_;
        unlink(k);
        k.failed = why;
        add(k, kinds::wake);
    }
}

// If no address serves and no attempt is in flight, no caller that waits can get a connection.
void pool_core::fail_if_down() noexcept {
    const auto is_resolving = [](const upstream_name& n) {
        return n.is_resolving && !n.is_resolved;
    };
    if (is_down() && connecting_ == 0 && std::ranges::none_of(upstreams_.names(), is_resolving))
        fail_waiters(upstreams_.why());
}

// -- leases

// Gives the connection to the first caller in the queue, or makes it idle.
void pool_core::give(pool_connection& c, time_point now) noexcept {
    if (first_ != nullptr) {
        pool_caller& k = *first_;
        unlink(k);
        lease(c, now);
        c.is_new = !c.is_proven;
        k.given = &c;  // mutant: give
        add(k, kinds::wake);
        return;
    }
    if (draining_) return close(c);
    c.state = states::idle;
    c.is_new = false;
    idle_.push_back(&c);
    if (look_ == never) look_ = after(now, look_interval);
    due_by(std::min({after(c.used, options_.timeouts.idle), check_of(c), c.retires, look_}));
}

void pool_core::stale(pool_connection& c, time_point now) noexcept {
    upstream& u = *c.at;
    const auto held = u.shared_from_this();
    const bool closes_at_once = c.is_new;  // before its first use
    ++counters_.stale;
    if (c.state == states::busy) end_lease(c, now);
    close(c);
    if (closes_at_once && !stopped_) return open_failed(u, errc::upstream_closes, now);
    watch_breakers();
    meet_demand(now);
    fail_if_down();
}

void pool_core::end_lease(pool_connection& c, time_point now) noexcept {
    upstream& u = *c.at;
    --busy_;
    if (!c.is_kept) end_asking(u, now);
    if (found_ == &c) in_a_row_ = 0;
    c.is_shared = c.is_full = c.is_new = c.is_kept = false;
    c.requests = 0;
}

void pool_core::end_asking(upstream& u, time_point now) noexcept {
    if (--u.asked == 0) u.silence = add_sat(u.silence, now - u.asked_since);
}

void pool_core::kept(pool_connection& c, time_point now) noexcept {
    c.is_kept = true;
    end_asking(*c.at, now);
}

// A request has had its reply: the upstream answers.
void pool_core::has_replied(pool_connection& c, time_point now) noexcept {
    upstream& u = *c.at;
    u.silence = {};
    u.asked_since = now;
    if (u.breaker.failures() == 0 && u.breaker.is_closed()) return;
    if (!u.breaker.succeeded()) return;
    if (!u.health.is_failing()) u.retry = never;
    report(pool_event::kinds::answers, u);
    // A reply to a request that is no trial may have closed the breaker.
    const auto is_trial = [&](const auto& i) { return i->trial != 0 && i->at.get() == &u; };
    for (auto i = all_.begin(); (i = std::ranges::find_if(all_, is_trial)) != all_.end();)
        end_trial(**i, now);
    wake_sharers();
    open_first(now);
}

// The connection carries a trial, and the breaker is closed now: it counts as the others do.
void pool_core::end_trial(pool_connection& c, time_point now) noexcept {
    c.trial = 0;
    if (c.state == states::connecting || established() <= options_.size) return;
    pool_connection* const other = to_replace(c, now);
    retire(other != nullptr && may_retire(*other) ? *other : c, now);
}

void pool_core::released(pool_connection& c, const outcome& o, time_point now) noexcept {
    now_ = now;
    const bool was_checked = std::exchange(c.is_checked, false);
    if (was_checked) checking_ = false;
    if (o.has_replied && !stopped_) has_replied(c, now);
    else if (o.why && !stopped_) failed(c, o.why, was_checked ? duration() : silence(), now);
    end_lease(c, now);
    if (stopped_) return close(c);
    if (o.is_clean) {
        if (!was_checked) c.used = now;
        returned(c, o.has_replied, now);
    } else {
        ++counters_.discarded;
        close(c);
        watch_breakers();
        meet_demand(now, first_ != nullptr || !upstreams_.are_down() ? 1 : 0);
        fail_if_down();
    }
    if (was_checked) due_by(now);  // the check of the next connection may be due
}

// A clean connection comes back: to a caller, or to the idle ones.
void pool_core::returned(pool_connection& c, bool has_replied, time_point now) noexcept {
    ++counters_.returned;
    upstream& u = *c.at;
    const auto held = u.shared_from_this();
    if (has_replied) {
        c.is_proven = true;
        u.health.replied();
    }
    c.since = now;
    const bool is_ejected = !u.breaker.is_closed() && !u.breaker.is_current(c.trial);
    if (is_ejected || c.is_retiring) {
        close(c);
        watch_breakers();
        meet_demand(now);
        return fail_if_down();
    }
    u.breaker.give_up(c.trial, never);
    const bool is_old = needs_replacement(c, now);
    give(c, now);
    if (is_old) replace_old(now, &c);
    else if (upstreams_.size() != 1) rebalance(c, now);
}

// Counts only errors that the upstream causes: a caller that is cancelled, or a message that cannot
// be encoded, must not open the breaker. A timeout counts if the upstream has been silent for so
// long, as a caller may have a short one.
void pool_core::failed(pool_connection& c, error_code why, duration silence,
                       time_point now) noexcept {
    const failure_kind kind = kind_of(why);
    if (kind != failure_kind::timeout && kind != failure_kind::closed &&
        kind != failure_kind::truncated && kind != failure_kind::bad_reply)
        return;
    // A caller may ask for it: the upstream replies.
    if (why == errc::message_too_large) return;  // mutant: too_large
    upstream& u = *c.at;
    const duration silent =
        c.is_kept ? duration(now - c.leased) : add_sat(u.silence, now - u.asked_since);
    if (kind == failure_kind::timeout && silent < silence) return;  // mutant: is_silent
    if (!u.breaker.failed(why, c.trial, now, random_())) return;
    ++u.trips;
    report(pool_event::kinds::trips, u, why, u.breaker.failures());
    for (std::size_t i = idle_.size(); i-- != 0;) {
        if (idle_[i]->at.get() == &u) close(*idle_[i]);  // mutant: ejected_idle
    }
    set_retry(u, u.breaker.due());
    if (is_down()) fail_waiters(upstreams_.why());
    else meet_demand(now);
}

void pool_core::timed_out(pool_connection& c, time_point now) noexcept {
    if (!stopped_) failed(c, errc::request_timeout, silence(), now);
}

// -- ending

void pool_core::drain(time_point now) noexcept {
    draining_ = true;
    due_ = never;
    while (!idle_.empty()) close(*idle_.back());
    if (waiting_ != 0) return due_by(now);  // mutant: drain_keeps_waiters
    for (const auto& u : upstreams_.all()) u->retry = never;
}

void pool_core::stop() noexcept {
    stopped_ = true;
    due_ = never;
    for (const auto& u : upstreams_.all()) u->retry = never;
    while (!idle_.empty()) close(*idle_.back());
    fail_waiters(errc::stopped);
    // An attempt or a check that the owner has not begun ends by itself, as the pool has stopped.
    for (const auto& c : all_) {
        if (c->todo == kinds::none) add(*c, kinds::cancel);  // mutant: cancel_all
    }
}

}  // namespace ice
