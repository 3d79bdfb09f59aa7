// One request to a pool, from its call to its result: what is counted, and what the caller is told.
#include <ice/pool.hpp>
#include <utility>

namespace ice {

pool_base::call::call(pool_base& p, duration timeout)
    : pool(p.shared_from_this()), begin(p.now()), until(after(begin, timeout)) {
    ++p.counters_.requests;
}

void pool_base::call::succeeded() noexcept {
    ++pool->counters_.replies;
    duration& all = pool->counters_.request_time;
    all = add_sat(all, pool->now() - begin);
}

std::shared_ptr<const failure> pool_base::call::failed(error_code ec, connection_lease& leased) {
    at = &leased.upstream();
    leased.fail(ec);
    return failed(ec, leased.session().bytes().data().size());
}

std::shared_ptr<const failure> pool_base::call::refused(error_code ec, connection_lease& leased) {
    at = &leased.upstream();
    if (ec != errc::bad_message) return failed(ec);
    leased.mark_reusable(false);
    return failed(ec, leased);
}

std::shared_ptr<const failure> pool_base::call::failed(error_code ec, std::size_t unparsed) {
    const upstreams& all = pool->upstreams_;
    error_code cause = at != nullptr ? at->cause() : all.begin()->cause();
    for (auto u = all.begin(); at == nullptr && !cause && u != all.end(); ++u) cause = u->cause();
    if (sent && ec == condition::not_executed)
        cause = std::exchange(ec, make_error_code(errc::reply_refused));
    auto why = std::make_shared<const failure>(
        ec, cause, sent, pool->name_, at != nullptr ? at->where.text() : all.text(), unparsed);
    pool->count(*why, pool->now() - begin);
    return why;
}

void pool_base::count(const failure& f, duration took) noexcept {
    pool_counters& c = counters_;
    c.request_time = add_sat(c.request_time, took);
    if (f.code() == errc::request_timeout) ++c.timeouts;
    else if (!f.may_have_been_executed()) ++c.refused;
    else ++c.failures;
    switch (f.kind()) {
        case failure_kind::closed: ++c.closed; break;
        case failure_kind::truncated: ++c.truncated; break;
        case failure_kind::bad_reply: ++c.bad_replies; break;
        case failure_kind::breaker: ++c.breaker_open; break;
        default: break;
    }
}

}  // namespace ice
