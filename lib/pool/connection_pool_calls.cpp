// Counts the requests of a pool: each exactly once, whatever becomes of its caller.
#include <asio/error.hpp>
#include <cassert>
#include <ice/detail/connection_pool.hpp>
#include <utility>

namespace ice {

connection_pool::call::call(connection_pool& p, duration timeout, time_point now)
    : pool(p.shared_from_this()), is_over_(true) {
    again(timeout, now);
}

void connection_pool::call::again(duration timeout, time_point now) noexcept {
    assert(is_over_);
    begin = now;
    until = after(now, timeout);
    sent = is_over_ = false;
    ++pool->core_.counters().requests;
    pool->core_.asked(begin);
}

connection_pool::call::call(connection_pool& p, call& begun) noexcept
    : pool(p.shared_from_this()), begin(begun.begin), until(begun.until) {
    begun.is_over_ = true;
}

connection_pool::call::~call() {
    if (is_over_) return;  // mutant: counted_at_its_end
    pool->count(asio::error::operation_aborted, failure_kind::ended, sent);
    over(pool->now());
}

void connection_pool::call::succeeded(time_point end) noexcept {
    ++pool->core_.counters().replies;
    over(end);
}

void connection_pool::call::over(time_point end) noexcept {
    is_over_ = true;
    duration& all = pool->core_.counters().request_time;
    all = add_sat(all, end - begin);
}

std::shared_ptr<const failure> connection_pool::call::failed(error_code ec, std::size_t unparsed) {
    const upstreams& all = pool->core_.upstreams();
    error_code cause = at ? at->cause() : all.cause();
    if (sent && ec == condition::not_executed)  // mutant: sent_is_executed
        cause = std::exchange(ec, make_error_code(errc::reply_refused));
    auto why = std::make_shared<const failure>(ec, cause, sent, pool->name_,
                                               at ? at->text() : all.text(), unparsed);
    pool->count(why->code(), why->kind(), why->may_have_been_executed());
    over(pool->now());
    return why;
}

void connection_pool::count(error_code why, failure_kind kind,
                            bool may_have_been_executed) noexcept {
    pool_counters& c = core_.counters();
    if (why == errc::request_timeout) ++c.timeouts;
    else if (!may_have_been_executed) ++c.refused;
    else ++c.failures;
    switch (kind) {
        case failure_kind::closed: ++c.closed; break;
        case failure_kind::truncated: ++c.truncated; break;
        case failure_kind::bad_reply: ++c.bad_replies; break;
        case failure_kind::breaker: ++c.breaker_open; break;
        default: break;
    }
}

}  // namespace ice
