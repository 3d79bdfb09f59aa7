// One request to a pool, from its call to its result: what is counted, and what the caller is told.
#include <fmt/format.h>

#include <exception>
#include <ice/pool.hpp>
#include <utility>

namespace ice {

pool_base::call::call(pool_base& p, duration timeout)
    : pool(p.shared_from_this()), begin(p.now()), until(after(begin, timeout)) {
    ++p.core_.counters().requests;
    p.core_.asked(begin);
}

void pool_base::call::succeeded() noexcept {
    pool_counters& c = pool->core_.counters();
    ++c.replies;
    duration& all = c.request_time;
    all = add_sat(all, pool->now() - begin);
}

std::shared_ptr<const failure> pool_base::call::failed(error_code ec, connection_lease& leased) {
    at = leased.upstream();
    leased.fail(ec);
    return failed(ec, leased.session().bytes().data().size());
}

std::shared_ptr<const failure> pool_base::call::refused(error_code ec, connection_lease& leased) {
    at = leased.upstream();
    if (ec != errc::bad_message) return failed(ec);
    leased.mark_reusable(false);
    return failed(ec, leased);
}

std::shared_ptr<const failure> pool_base::call::failed(error_code ec, std::size_t unparsed) {
    const upstreams& all = pool->core_.upstreams();
    error_code cause = at ? at->cause() : all.cause();
    if (sent && ec == condition::not_executed)
        cause = std::exchange(ec, make_error_code(errc::reply_refused));
    auto why = std::make_shared<const failure>(ec, cause, sent, pool->name_,
                                               at ? at->text() : all.text(), unparsed);
    pool->count(*why, pool->now() - begin);
    return why;
}

// Closed, the connection still counts as one that has answered: so a lease may end a trial.
void pool_base::end_lease(connection_lease leased, bool resets) noexcept {
    pool_base& self = leased.pool();
    session_base& s = leased.session();
    if (!leased.is_reusable() || s.is_untouched()) return;
    try {
        if (!resets || self.core_.is_stopped() || self.core_.is_draining() ||
            s.asked() != s.received())
            return s.close();
        leased.mark_reusable(false);
        spawn(self.context_, reset_and_release(std::move(leased)), self.name_);
    } catch (...) {  // no memory: the connection is closed
        if (!leased.is_empty()) leased.mark_reusable(false);
    }
}

// Yields first: it must not run within the destructor of a lease.
task<> pool_base::reset_and_release(connection_lease leased) {
    const auto self = leased.pool().shared_from_this();
    error_code ec;
    try {
        co_await self->net_->yield();
        ec = co_await self->reset(leased.session());
    } catch (...) {
        self->log_thrown_by("reset");
        ec = errc::bad_message;
    }
    if (!ec) leased.mark_reusable();
    leased.fail(ec);
}

void pool_base::log_thrown_by(std::string_view what, std::string_view where) {
    context_->write(log_level::error, fmt::format("{} threw", what),
                    fmt::format("pool '{}'{}: its {} threw: {}", name_, where, what,
                                detail::what_of(std::current_exception())));
}

void pool_base::count(const failure& f, duration took) noexcept {
    pool_counters& c = core_.counters();
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
