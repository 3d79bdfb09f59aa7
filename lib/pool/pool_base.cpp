// What a pool of sessions adds to a pool: the handshake, the proof that a session is clean, its
// reset, and the room of a shared connection.
#include <algorithm>
#include <asio/error.hpp>
#include <asio/this_coro.hpp>
#include <ice/detail/pipeline.hpp>

namespace ice {
namespace {

// Replies that one connection assigns before other connections have their turn, as many as a read
// usually brings. After each batch the clients that have got replies are sent them, so smaller ones
// take more writes: with the 64 of a listener a gateway spends twice the time in the kernel.
constexpr std::size_t reply_batch = 512;

}  // namespace

pool_base::pool_base(std::shared_ptr<server_context> context, pool_options o)
    : connection_pool(
          std::move(context), o, [] { return std::make_unique<session_connection>(); },
          "handshake") {
    settings_.duplex_below = unlimited;  // mutant: is_duplex
    settings_.limits.outbox = core().settings().limits.outbox;
    settings_.limits.message = o.limits.message;
    settings_.limits.batch = reply_batch;
    settings_.timeouts.handshake = o.timeouts.handshake;
}

// -- connections

task<error_code> pool_base::open(pool_connection& one) {
    auto& c = static_cast<session_connection&>(one);
    auto connected = co_await net().connect(c.at->where, after(now(), timeouts().connect));
    if (!connected) co_return connected.error();
    if (core().is_stopped()) co_return errc::stopped;
    c.session = make_session(*std::move(connected));
    session_base& s = *c.session;
    error_code ec = co_await shake_hands(s);
    if (!ec && !s.skip_input()) ec = errc::bad_message;  // bytes without a request
    s.bytes().deadline(never, errc{});
    co_return ec ? not_opened(c, ec) : ec;
}

task<error_code> pool_base::check_health(pool_connection& c) {
    session_base& s = *static_cast<session_connection&>(c).session;
    s.set_deadline(after(now(), timeouts().check), errc::request_timeout);
    return ask_for_health(s);
}

bool pool_base::is_clean(pool_connection& c) noexcept {
    return static_cast<session_connection&>(c).session->has_no_input();
}

bool pool_base::has_room(pool_connection& c) noexcept { return !line_of(c).is_full(); }

void pool_base::cancel(pool_connection& one) noexcept {
    auto& c = static_cast<session_connection&>(one);
    if (c.session) c.session->bytes().cancel(errc::stopped);
}

pool_core::outcome pool_base::ended(pool_connection& c, bool reusable, error_code why) noexcept {
    session_base& s = *static_cast<session_connection&>(c).session;
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
    return o;
}

void pool_base::drain_idle_leases() {
    for (const auto& i : core().connections()) {
        const auto& c = static_cast<const session_connection&>(*i);
        if (c.state == pool_connection::states::busy) c.session->drain_when_idle();
    }
}

// -- requests

std::shared_ptr<const failure> pool_base::call::failed(error_code ec, connection_lease& leased) {
    at = leased.upstream();
    leased.fail(ec);
    return failed(ec, leased.session().bytes().data().size());
}

std::shared_ptr<const failure> pool_base::call::refused(error_code ec, connection_lease& leased) {
    at = leased.upstream();
    if (ec != errc::bad_message) return failed(ec);  // mutant: own_error
    leased.mark_reusable(false);
    return failed(ec, leased);
}

// The caller may be cancelled while others run: Asio would throw at its next co_await.
task<error_code> pool_base::prepare_retry(time_point until) {
    co_await let_others_run();  // mutant: retry_yields
    if (is_cancelled(co_await asio::this_coro::cancellation_state))
        co_return asio::error::operation_aborted;
    const time_point at = now();
    co_return at < until&& core().may_retry(at) ? error_code() : make_error_code(errc::not_sent);
}

void pool_base::watch_outbox(pipeline& line) {
    spawn(context(), wake_if_sent(self(), line.connection()), name());
}

// It waits beside the coroutine that receives, so the connection may end before the wait returns.
task<> pool_base::wake_if_sent(std::shared_ptr<pool_base> me, session_connection& c) {
    const ice::uid id = c.session->uid();
    const auto is_it = [&](const auto& one) {
        return one.get() == &c && c.line != nullptr && c.session->uid() == id;
    };
    while (std::ranges::any_of(me->core().connections(), is_it) && c.line->is_full()) {
        auto room = c.session->bytes().wait_for_room();
        if (co_await std::move(room)) co_return;
    }
    if (!std::ranges::any_of(me->core().connections(), is_it)) co_return;
    me->core().sent(c);
    me->carry_out();
}

// -- leases

// Closed, the connection still counts as one that has answered: so a lease may end a trial.
void pool_base::end_lease(connection_lease leased, bool resets) noexcept {
    pool_base& self = leased.pool();
    session_base& s = leased.session();
    if (!leased.is_reusable() || s.is_untouched()) return;  // mutant: lease_leaks
    if (resets && !self.core().is_stopped() && !self.core().is_draining() &&
        s.asked() == s.received())
        return reset_later(std::move(leased));
    try {
        s.close();
    } catch (...) { leased.mark_reusable(false); }  // no memory: the connection is closed
}

task<error_code> pool_base::reset(pool_connection& c) {
    return reset_session(*static_cast<session_connection&>(c).session);
}

}  // namespace ice
