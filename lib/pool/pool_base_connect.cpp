// What a pool waits for on behalf of its core: attempts to connect, lookups and health checks.
#include <fmt/format.h>

#include <algorithm>
#include <ice/detail/pipeline.hpp>
#include <new>

namespace ice {

// The pool owns the connection, so it does not matter which parameter is destroyed first.
task<> pool_base::open_one(std::shared_ptr<pool_base> me, session_connection& c) {
    error_code ec;
    try {
        ec = co_await me->connect_and_shake_hands(c);
    } catch (const std::bad_alloc&) {
        ec = std::make_error_code(std::errc::not_enough_memory);
    } catch (...) {
        me->log_thrown_by("handshake", fmt::format(" of {}", c.at->text()));
        ec = c.at->handshake_error = errc::handshake_failed;
    }
    if (ec) me->core_.connect_failed(c, ec, me->now());
    else me->core_.connected(c, me->now());
    me->carry_out();
}

task<error_code> pool_base::connect_and_shake_hands(session_connection& c) {
    auto connected = co_await net_->connect(c.at->where, after(now(), timeouts().connect));
    if (!connected) co_return connected.error();
    if (core_.is_stopped()) co_return errc::stopped;
    c.session = make_session(*std::move(connected));
    session_base& s = *c.session;
    error_code ec = co_await shake_hands(s);
    if (!ec && !s.skip_input()) ec = errc::bad_message;  // bytes without a request
    s.bytes().deadline(never, errc{});
    if (!ec || ec == condition::not_executed) co_return ec;
    c.at->handshake_error = ec;
    co_return errc::handshake_failed;
}

task<> pool_base::look_up(std::shared_ptr<pool_base> me, upstream_name& n) {
    auto found = co_await me->net_->resolve(n.where, after(me->now(), me->timeouts().connect));
    if (found) me->core_.resolved(n, *found, me->now());
    else me->core_.resolve_failed(n, found.error(), me->now());
    me->carry_out();
}

// It waits beside the coroutine that receives, so the connection may end before the wait returns.
task<> pool_base::wake_if_sent(std::shared_ptr<pool_base> me, session_connection& c) {
    const ice::uid id = c.session->uid();
    const auto is_it = [&](const auto& one) {
        return one.get() == &c && c.line != nullptr && c.session->uid() == id;
    };
    while (std::ranges::any_of(me->core_.connections(), is_it) && c.line->is_full()) {
        auto room = c.session->bytes().wait_for_room();
        if (co_await std::move(room)) co_return;
    }
    if (!std::ranges::any_of(me->core_.connections(), is_it)) co_return;
    me->core_.has_room(c);
    me->carry_out();
}

// -- health checks

task<> pool_base::check(connection_lease leased) {
    const auto self = leased.pool().shared_from_this();
    session_base& s = leased.session();
    pool_counters& counters = self->core_.counters();
    error_code ec;
    const bool alive = s.has_no_input();
    if (alive) {
        s.set_deadline(after(self->now(), self->timeouts().check), errc::request_timeout);
        try {
            ec = co_await self->ask_for_health(s);
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

}  // namespace ice
