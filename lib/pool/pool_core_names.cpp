// Names of a pool: when to look one up, and what its addresses mean for the pool.
#include <algorithm>
#include <ice/detail/pool_core.hpp>
#include <new>

namespace ice {

void pool_core::refresh(upstream_name& n) noexcept {
    ++counters_.lookups;
    n.is_resolving = true;
    n.refresh = never;
    for (pool_lookup& l : lookups_) {
        if (l.name == &n) add(l, kinds::resolve);
    }
}

// An address of a name fails: perhaps the name has another one by now.
void pool_core::look_up_soon(const upstream& u, time_point now) noexcept {
    for (upstream_name& n : upstreams_.names()) {
        if (&n != u.name || n.is_resolving) continue;
        n.refresh = std::min(n.refresh, after(now, options_.timeouts.retry_interval));
        due_by(n.refresh);
    }
}

void pool_core::resolved(upstream_name& n, const std::vector<address>& found,
                         time_point now) noexcept {
    if (found.empty()) return resolve_failed(n, errc::host_not_found, now);  // mutant: no_address
    n.is_resolving = false;
    if (is_over()) return;
    try {
        upstreams_.replace(n, found);
    } catch (const std::bad_alloc&) {
        return resolve_failed(n, std::make_error_code(std::errc::not_enough_memory), now);
    }
    for (const auto& u : upstreams_.all()) {  // it may have failed while it was removed
        const bool is_idle = u->connecting == 0 && u->retry == never;
        if (is_idle && u->name == &n && !u->is_available() && !u->is_removed) set_retry(*u, now);
    }
    const bool is_first = !std::exchange(n.is_resolved, true);
    if (n.health.connected()) report(pool_event::kinds::resolved, n);
    n.health.replied();
    n.refresh = after(now, jittered(options_.timeouts.refresh));
    due_by(n.refresh);
    mark_stalled(now);  // an attempt may have another address beside it now
    if (is_first) return open_first(now);
    replace_old(now);
    meet_demand(now);
    fail_if_down();
}

// The addresses of the last answer stay: a pool that works survives an outage of its name server.
void pool_core::resolve_failed(upstream_name& n, error_code why, time_point now) noexcept {
    ++counters_.lookups_failed;
    n.is_resolving = false;
    if (is_over()) return;
    const bool is_first_failure = !n.health.is_failing();
    n.refresh = n.health.failed(why, now, random_());
    due_by(n.refresh);
    fail_if_down();
    if (is_first_failure) report(pool_event::kinds::unresolved, n, why);
}

}  // namespace ice
