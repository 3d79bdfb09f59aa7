// Connections of a pool: when to make one, to which address, which one it replaces, and what the
// failure of an address means for the callers that wait.
#include <algorithm>
#include <cassert>
#include <ice/detail/pool_core.hpp>
#include <new>

namespace ice {
namespace {

// An attempt that takes longer does not keep callers from another address (RFC 8305, section 5).
constexpr duration attempt_delay = std::chrono::milliseconds(250);

}  // namespace

void pool_core::set_retry(upstream& u, time_point at) noexcept {
    u.retry = at;
    due_by(at);
}

std::size_t pool_core::established() const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(all_, [](const auto& c) {
        const bool is_trial = c->at->breaker.is_current(c->trial);  // mutant: trial_is_extra
        return c->state != states::connecting && !c->is_retiring && !is_trial;
    }));
}

std::size_t pool_core::attempts() const noexcept {
    return static_cast<std::size_t>(std::ranges::count_if(all_, [](const auto& c) {
        return c->state == states::connecting && !c->is_extra && !c->is_stalled;
    }));
}

void pool_core::start(time_point now) noexcept {
    for (upstream_name& n : upstreams_.names()) refresh(n);
    open_first(now);
}

void pool_core::open_first(time_point now) noexcept {
    meet_demand(now, std::max(options_.limits.preconnect, options_.limits.min_connections));
}

void pool_core::meet_demand(time_point now, std::size_t least) noexcept {
    if (is_over() || upstreams_.size() == 0) return;
    if (draining_) least = 0;
    const std::size_t wanted = std::max(waiting_, least);  // mutant: attempts_wanted
    const std::size_t kept = draining_ ? 0 : options_.limits.min_connections;
    std::size_t begun = attempts(), all = established() + begun;
    while (all < options_.size && (begun < wanted || all < kept)) {
        upstream* const u = upstreams_.next(now);
        if (u == nullptr || !connect_to(*u, now, !u->is_available())) return;
        ++begun;
        ++all;
    }
}

// Begins an attempt. Returns false if the breaker lets none through, or memory has run out. An
// `is_extra` one counts neither for what callers wait for nor for the size of the pool.
bool pool_core::connect_to(upstream& u, time_point now, bool is_extra) noexcept {
    const bool is_trial = !u.breaker.is_closed();
    // A trial that was given up counts, as its caller may keep the connection.
    if (is_trial && established() > options_.size) return false;  // mutant: trials_in_vain
    const breaker::trial trial = is_trial ? u.breaker.begin_trial(now) : 0;
    if (is_trial && trial == 0) return false;
    try {
        idle_.reserve(all_.size() + 1);  // giving a connection back must not fail
        all_.push_back(make_());
    } catch (const std::bad_alloc&) {
        u.breaker.left(trial);
        due_by(after(now, options_.timeouts.retry_interval));
        return false;
    }
    pool_connection& c = *all_.back();
    c.at = u.shared_from_this();
    c.trial = trial;
    c.is_extra = is_extra || is_trial;
    c.begun = now;
    ++u.open;
    ++u.connecting;
    ++u.connects;
    ++connecting_;
    ++counters_.connects;
    if (upstreams_.size() != 1) due_by(after(now, attempt_delay));
    add(c, kinds::connect);
    return true;
}

// The attempt that needs no caller.
void pool_core::try_again(upstream& u, time_point now) noexcept {
    u.retry = never;
    if (is_over() || u.is_available() || u.is_removed || u.connecting != 0) return;
    if (!u.breaker.is_closed() && now < u.breaker.due()) return set_retry(u, u.breaker.due());
    if (!connect_to(u, now, true)) set_retry(u, after(now, options_.timeouts.retry_interval));
}

// Connects for a caller although all upstreams are down. Returns false if no attempt is in flight
// for it: then the caller fails at once instead of waiting for nothing.
bool pool_core::connect_while_down(time_point now) noexcept {
    bool tries = false;  // tries all addresses that are due, as any of them may be back
    for (upstream_name& n : upstreams_.names()) {
        if (n.is_resolved || n.is_resolving || !n.health.may_try(now)) continue;
        refresh(n);
        tries = true;
    }
    while (connecting_ == 0 || tries) {
        upstream* const u = upstreams_.size() == 0 ? nullptr : upstreams_.next(now);
        if (u == nullptr || !connect_to(*u, now, true)) break;
        tries = true;
    }
    // One caller may wait for a trial that is connecting: a trial needs a request.
    const auto is_in_trial = [](const auto& u) {
        return u->connecting != 0 && !u->health.is_failing();
    };
    return tries || (waiting_ == 0 && std::ranges::any_of(upstreams_.all(), is_in_trial));
}

void pool_core::end_attempt(pool_connection& c) noexcept {
    upstream& u = *c.at;
    --u.connecting;
    --connecting_;
    c.is_stalled = false;
    u.is_stalled = std::ranges::any_of(
        all_, [&](const auto& i) { return i->is_stalled && i->at.get() == &u; });
}

void pool_core::connected(pool_connection& c, time_point now) noexcept {
    upstream& u = *c.at;
    const auto held = u.shared_from_this();
    end_attempt(c);
    const bool is_extra = std::exchange(c.is_extra, false);
    c.state = states::idle;  // in no list yet
    if (is_over()) return close(c);
    u.retry = never;
    const bool recovered = u.health.connected();
    if (recovered) report(pool_event::kinds::back, u);
    c.begun = c.since = c.used = now;
    c.retires = after(now, jittered(options_.timeouts.max_lifetime));
    due_by(c.retires);
    // If not, the breaker has opened since the attempt began, or a newer trial has replaced this.
    bool is_wanted = !u.is_removed && (u.breaker.is_closed() || u.breaker.is_current(c.trial));
    if (is_wanted && c.trial == 0) {
        const bool is_surplus = established() > options_.size;
        pool_connection* const other = is_extra || is_surplus ? to_replace(c, now) : nullptr;
        if (other != nullptr && may_retire(*other)) retire(*other, now);
        else is_wanted = !is_surplus;
    }
    if (is_wanted) {
        c.is_new = true;
        give(c, now);
    } else {
        close(c);
        if (!u.breaker.is_closed()) set_retry(u, after(now, options_.timeouts.retry_interval));
    }
    if (recovered && is_wanted) open_first(now);
    else meet_demand(now);  // callers may have come while attempts took long
    fail_if_down();
}

duration pool_core::jittered(duration most) noexcept {
    return most == no_timeout ? no_timeout : duration(most - any_up_to(most / 4, random_()));
}

void pool_core::connect_failed(pool_connection& c, error_code why, time_point now) noexcept {
    const auto u = c.at;
    end_attempt(c);
    close(c);
    if (!stopped_) open_failed(*u, why, now);
}

// Logs only the first failure of an outage: the counters have the others.
void pool_core::open_failed(upstream& u, error_code why, time_point now) noexcept {
    ++counters_.connect_failures;
    ++u.connect_failures;
    const bool is_first_failure = !u.health.is_failing();
    const time_point again = u.health.failed(why, now, random_());
    fail_if_down();
    if (!u.is_removed) set_retry(u, again);
    look_up_soon(u, now);
    if (!is_down()) {  // another address serves instead
        const pool_limits& l = options_.limits;
        const std::size_t all = established() + attempts();
        meet_demand(now, all < std::max(l.preconnect, l.min_connections) ? attempts() + 1 : 0);
    }
    if (is_first_failure) report(pool_event::kinds::down, u, u.cause());
}

// -- replacing

bool pool_core::needs_replacement(const pool_connection& c, time_point now) const noexcept {
    return c.retires <= now || c.at->is_removed;
}

// Which connection ends for `by`: an old one, or one of the address that has more than its share.
// An idle one is best, then the oldest.
pool_connection* pool_core::to_replace(const pool_connection& by, time_point now) const noexcept {
    const std::size_t share = by.at->share();
    pool_connection* best = nullptr;
    const auto rank = [&](const pool_connection& c) {
        return (needs_replacement(c, now) ? 1U << 20 : 0) +
               2 * static_cast<unsigned>(std::min<std::size_t>(c.at->share(), 1U << 18)) +
               (c.state == states::idle ? 1 : 0);
    };
    for (const auto& i : all_) {
        pool_connection& c = *i;
        if (&c == &by || c.state == states::connecting || c.is_retiring || c.trial != 0) continue;
        const bool is_turn = share == 1 && c.at != by.at && after(c.begun, turn_of_address) <= now;
        if (!needs_replacement(c, now) && !is_turn && c.at->share() <= share) continue;
        if (best == nullptr || rank(c) > rank(*best) ||
            (rank(c) == rank(*best) && c.begun < best->begun))
            best = &c;
    }
    return best;
}

bool pool_core::may_retire(const pool_connection& c) const noexcept {
    std::size_t retiring = 0;
    for (const auto& u : upstreams_.all()) retiring += u->retiring;
    return c.state == states::idle || retiring < most_replaced();  // mutant: may_retire
}

// Begins attempts for old connections, which go on serving until the attempts succeed. One that a
// caller has alone is replaced when it comes back, even if the next caller has it at once.
void pool_core::replace_old(time_point now, const pool_connection* back) noexcept {
    if (is_closing()) return;
    std::size_t old = 0, begun = 0;
    for (const auto& c : all_) {
        if (c->state == states::connecting) begun += c->is_extra && !c->is_stalled ? 1 : 0;
        else if (c->is_retiring) ++begun;
        else if ((c->state == states::idle || c->is_shared || c.get() == back) &&
                 needs_replacement(*c, now))
            ++old;
    }
    if (old == 0) return;
    // With a lifetime near 0 it would go on without a pause.
    if (now < replace_again_) return due_by(replace_again_);  // mutant: replace_pause
    replace_again_ = after(now, options_.timeouts.retry_interval);
    due_by(replace_again_);
    for (; old != 0; --old, ++begun) {
        if (begun >= most_replaced()) return;  // mutant: replaced_at_once
        upstream* const u = upstreams_.next_available();
        if (u == nullptr || !connect_to(*u, now, true)) return;
    }
}

// If an address has less than its share, begins an attempt to connect to it: also if it has no
// connection and the pool has room. If the pool is smaller than the number of its addresses, they
// take turns.
void pool_core::rebalance(const pool_connection& c, time_point now) noexcept {
    if (is_closing()) return;
    upstream* next = nullptr;  // of those that lack connections, the one that was used longest ago
    for (const auto& u : upstreams_.all()) {
        if (!u->is_available() || u->connecting != 0 || u == c.at) continue;
        if (u->open != 0 && u->open + 1 >= c.at->share()) continue;
        if (next == nullptr || u->last_leased < next->last_leased) next = u.get();
    }
    if (next == nullptr) return;
    const bool has_room = established() + attempts() < options_.size;  // mutant: room_for_address
    const bool is_turn =
        has_room || after(c.begun, turn_of_address) <= now;  // mutant: turn_of_address
    if (!is_turn && next->open + 1 >= c.at->share()) return;
    if (has_room || may_retire(c)) connect_to(*next, now, !has_room);
}

// Ends a connection that another one has replaced: now, or when it comes back.
void pool_core::retire(pool_connection& c, time_point now) noexcept {
    ++(needs_replacement(c, now) ? counters_.aged : counters_.rebalanced);
    c.is_retiring = true;
    ++c.at->retiring;
    if (c.state == states::idle) close(c);
}

void pool_core::close(pool_connection& c) noexcept {
    const auto u = c.at;
    forget(c);
    if (c.state == states::idle) std::erase(idle_, &c);
    c.state = states::closed;
    --u->open;
    if (c.is_retiring) --u->retiring;
    u->breaker.left(c.trial);
    const auto owned = std::ranges::find_if(all_, [&](const auto& i) { return i.get() == &c; });
    assert(owned != all_.end());
    (void)owned->release();  // the owner's, by the action
    all_.erase(owned);
    add(c, kinds::close);
    if (u->is_removed) upstreams_.forget_removed();
}

// A trial may have ended without a result. Then the pool begins another one, as there may be no
// caller that would.
void pool_core::watch_breakers() noexcept {
    if (is_over()) return;
    for (const auto& u : upstreams_.all()) {
        if (!u->breaker.is_closed() && !u->is_removed && u->connecting == 0 && u->retry == never)
            set_retry(*u, u->breaker.due());
    }
}

// -- time

void pool_core::tick(time_point now) noexcept {
    due_ = never;
    if (is_over()) return;
    for (const auto& u : upstreams_.all()) {
        if (u->retry <= now) try_again(*u, now);
        due_by(u->retry);
    }
    for (upstream_name& n : upstreams_.names()) {
        if (n.refresh <= now) refresh(n);
        due_by(n.refresh);
    }
    mark_stalled(now);
    expire_idle(now);
    replace_old(now);
    check_one_idle(now);
    look_at_idle(now);
    watch_breakers();
    meet_demand(now);
    const std::size_t open = established();
    for (const auto& c : all_) {
        if (c->state == states::idle) due_by(std::min(end_of(*c, open), check_of(*c)));
        if (c->state != states::connecting && c->retires > now) due_by(c->retires);
    }
}

void pool_core::mark_stalled(time_point now) noexcept {
    if (upstreams_.size() == 1) return;
    for (const auto& c : all_) {
        if (c->state != states::connecting || c->is_stalled) continue;
        const time_point at = after(c->begun, attempt_delay);
        if (at > now) due_by(at);
        else c->is_stalled = c->at->is_stalled = true;  // mutant: stalls
    }
}

// When an idle connection is unused for too long. None of min_connections is.
time_point pool_core::end_of(const pool_connection& c, std::size_t established) const noexcept {
    const std::size_t kept = options_.limits.min_connections;
    if (kept != 0 && established <= kept) return never;  // mutant: min_connections
    return after(c.used, options_.timeouts.idle);
}

void pool_core::expire_idle(time_point now) noexcept {
    std::size_t open = established();
    for (std::size_t i = 0; i < idle_.size();) {
        if (end_of(*idle_[i], open) > now) {  // mutant: expires
            ++i;
            continue;
        }
        if (idle_[i]->trial == 0) --open;
        ++counters_.expired;
        close(*idle_[i]);
    }
}

// Health checks: one at a time, so that the other connections can be leased.
time_point pool_core::check_of(const pool_connection& c) const noexcept {
    return checking_ ? never : after(c.since, options_.check_every);
}

void pool_core::check_one_idle(time_point now) noexcept {
    const auto i = std::ranges::min_element(idle_, {}, [](const auto* c) { return c->since; });
    if (i == idle_.end() || check_of(**i) > now) return;
    pool_connection& c = **i;
    idle_.erase(i);
    lease(c, now);
    c.is_checked = checking_ = true;
    ++counters_.checks;
    add(c, kinds::check);
}

// The upstream may have closed an idle connection: callers find it closed, but min_connections is a
// promise that does not need a caller.
void pool_core::look_at_idle(time_point now) noexcept {
    if (look_ <= now) {
        look_ = idle_.empty() ? never : after(now, look_interval);
        for (pool_connection* c : idle_) add(*c, kinds::look);  // mutant: look
    }
    due_by(look_);
}

}  // namespace ice
