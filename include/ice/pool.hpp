// pool: connections to one upstream, or to several upstreams that give the same replies. Each
// connection serves one request at a time, unless pool_limits::pipeline lets requests share it.
// A reply reaches only its own caller: the pool uses a connection again only with proof that
// nothing of the former request is left on it.
#pragma once

#include <exception>
#include <ice/detail/pipelined_pool.hpp>
#include <ice/lease.hpp>
#include <optional>
#include <utility>

namespace ice {

// What srv.add() returns for a tcp_client_action, and srv.get() for its name. P is the protocol, R
// the type of what a request returns. Use it only on the loop's thread. The server owns the
// pool: references to it are valid as long as the server.
template <protocol P, class R = owned_t<message_t<P>>>
class pool : public pipelined_pool<P, R> {
    static_assert(!detail::is_view<R>,
                  "ice: what a pool's request gives owns its bytes: the connection goes back, and "
                  "later replies come to lie where this one was");
    using base = pipelined_pool<P, R>;
    using base::context, base::is_cancelled, base::is_pipelined, base::keep, base::let_others_run;
    using base::logic_, base::made_at_once, base::net, base::now, base::prepare_retry;
    using base::settings_, base::try_acquire;
    using base::timeouts, base::wait_for_connection;
    using typename base::call, typename base::connection_lease;

public:
    using protocol_type = P;
    // What request() returns if it succeeds.
    using reply_type = R;
    using typename base::forwarded, typename base::reply_logic;

    // For server::add(), whose comment lists what it throws.
    pool(std::shared_ptr<server_context> owner, pool_options o, P p, reply_logic logic,
         health_check<P> check)
        : base(std::move(owner), std::move(o), std::move(logic)), protocol_(std::move(p)),
          check_(std::move(check)) {
        if (std::constructible_from<R, message_t<P>&&> || logic_) return;
        this->throw_needs("a .logic() to make of a reply what its name promises");
    }

    // Sends `message` on a free connection, and returns its reply, which owns its bytes. Takes at
    // most `timeout` (default: pool_timeouts::request) from the co_await on, waiting for a
    // connection, connecting, and a logic of replies that waits included.
    // The task keeps `message`; if that is a view, its bytes must be valid until the task ends.
    // Any coroutine on the loop's thread may call it at any time, however many calls are pending.
    //
    // Errors after which the request was not executed (condition::not_executed): errc::pool_full,
    // acquire_timeout, breaker_open, connect_timeout, connect_error(..), host_not_found,
    // name_resolution_failed, handshake_failed, handshake_timeout, upstream_closes, not_sent,
    // unencodable, draining.
    // Errors after which it may have been executed: request_timeout, pipeline_stalled, closed,
    // truncated, bad_message, message_too_large, write_timeout, stopped, those of sockets, and what
    // the logic of replies returns (reply_refused if that means not_executed). A request that is
    // too long gets message_too_large, though nothing was sent: failure() tells the two apart.
    // The pool repeats a request by itself only if no byte of it was sent (pool_limits::retries).
    //
    // A refused request returns after the loop has run everything else that was ready, so a caller
    // that repeats it in a loop does not block others. With a `timeout` of 0 or less the pool sends
    // nothing and returns errc::acquire_timeout.
    // Does not compile for a temporary aggregate with g++ 12: docs/coroutine-traps.md.
    template <class M>
    task<pool_result<R>> request(M&& message, duration timeout) {
        detail::refuse_braced_aggregate<M>();
        using own = std::decay_t<M>;
        if (timeout <= duration::zero()) return this->template refuse_late<R>();
        return is_pipelined()
                   ? this->template shared_exchange<own>(std::forward<M>(message), timeout)
                   : exchange<own>(std::forward<M>(message), timeout);
    }
    template <class M>
    task<pool_result<R>> request(M&& message) {
        return request(std::forward<M>(message), timeouts().request);
    }

    // The same as request(), for a message of forward() that try_request() has not sent, or that
    // finish() wants repeated.
    template <class M>
    task<pool_result<R>> request_on(forwarded& f, M message) {
        if (!f.has_begun()) co_return co_await request(std::move(message));
        if (f.is_unsent) {
            const error_code why_not = co_await prepare_retry(f.begun->until);
            if (why_not) co_return f.begun->failed(why_not);
        }
        auto again =
            this->template shared_exchange<M>(std::move(message), duration::zero(), &*f.begun);
        co_return co_await std::move(again);
    }

    // Leases a connection for several messages, all of them within `timeout` (default:
    // pool_timeouts::request) from the co_await on. The counters count it as one request.
    // Its errors and refusals are those of request(), but nothing was sent yet. Any coroutine on
    // the loop's thread may call it at any time.
    task<pool_result<lease<P>>> acquire(duration timeout) {
        if (timeout <= duration::zero()) co_return co_await this->template refuse_late<lease<P>>();
        call mine(*this, timeout);
        connection_lease leased = try_acquire(mine.begin);
        if (leased.is_empty()) {
            auto taken = co_await wait_for_connection(mine.until);
            if (!taken) co_return mine.failed(taken.error());
            leased = connection_lease(std::move(taken->own));
        }
        keep(leased);
        leased.session().set_deadline(mine.until, errc::request_timeout);
        mine.leased();
        co_return lease<P>(std::move(leased));
    }
    task<pool_result<lease<P>>> acquire() { return acquire(timeouts().request); }

private:
    // A request on a connection that no other request uses meanwhile. Its destruction at any
    // co_await closes the connection, as `leased` is not marked reusable before the reply is whole.
    // It receives while it sends, as an upstream may reply before it has read the whole request:
    // then the connection has unsent bytes, and is not used again.
    template <class M>
    task<pool_result<R>> exchange(M message, duration timeout) {
        call mine(*this, timeout);
        for (time_point at = mine.begin;; at = now()) {
            connection_lease leased = try_acquire(at);  // the usual case costs no coroutine frame
            if (leased.is_empty()) {
                auto taken = co_await wait_for_connection(mine.until);
                if (!taken) co_return mine.failed(taken.error());
                leased = connection_lease(std::move(taken->own));
            }
            auto& peer = static_cast<session<P>&>(leased.session());
            peer.set_deadline(mine.until, errc::request_timeout);
            const std::uint64_t before = peer.bytes().sent();
            const error_code refused = peer.begin_send(message);
            if (refused) {  // by the protocol: nothing was sent
                leased.mark_reusable();
                mine.at = leased.upstream();
                leased.release();
                co_await let_others_run();
                co_return mine.failed(refused);
            }
            auto reply = co_await peer.receive();       // mutant: receive_reply
            mine.sent = peer.bytes().sent() != before;  // mutant: sent_before
            if (!mine.sent) {  // a reply before the first byte answers no request
                mine.at = leased.upstream();
                leased.release();  // the upstream was closing it: another one serves this request
                if (is_cancelled(co_await asio::this_coro::cancellation_state))
                    co_return mine.failed(asio::error::operation_aborted);
                const error_code why_not = co_await prepare_retry(mine.until);
                if (why_not) co_return mine.failed(why_not);
                mine.at = nullptr;
                continue;
            }
            if (!reply) co_return mine.failed(reply.error(), leased);
            leased.mark_reusable();  // the reply is whole, whatever the logic makes of it
            auto made = made_at_once(*reply);
            if (!made) {
                mine.at = leased.upstream();
                auto runs = make_on_lease(leased, *std::move(reply), mine.until, made);
                const error_code late = co_await std::move(runs);
                if (late) co_return mine.failed(late);
            }
            if (!*made) co_return mine.refused(made->error(), leased);
            mine.succeeded(now());
            co_return **std::move(made);
        }
    }

    // Runs a logic of replies that waits, until `until`. After an error it keeps the connection,
    // whose buffer may have the reply, and closes it at its end.
    task<error_code> make_on_lease(connection_lease& leased, message_t<P> reply, time_point until,
                                   std::optional<result<R>>& made) {
        using run = typename reply_logic::template run<connection_lease>;
        const auto state = std::make_shared<run>(std::move(leased));
        state->held.mark_reusable(false);
        std::exception_ptr thrown;
        try {
            auto runs = logic_.run_until(until, net(), std::move(reply), state);
            const error_code late = co_await std::move(runs);
            if (late) co_return late;
        } catch (...) { thrown = std::current_exception(); }
        leased = std::move(state->held);
        leased.mark_reusable();
        if (thrown) std::rethrow_exception(thrown);
        made = std::move(state->made);
        co_return error_code();
    }

    // What pool_base needs of the protocol.
    std::unique_ptr<session_base> make_session(std::unique_ptr<channel> bytes) override {
        return std::make_unique<session<P>>(std::move(bytes), protocol_, context()->next_uid(),
                                            settings_);
    }
    task<error_code> shake_hands(session_base& s) override {
        return static_cast<session<P>&>(s).shake_hands(timeouts().handshake);
    }
    task<error_code> reset_session(session_base& s) override {
        return static_cast<session<P>&>(s).reset(timeouts().handshake);
    }
    task<error_code> ask_for_health(session_base& s) override {
        return check_(static_cast<session<P>&>(s));
    }

    P protocol_;
    health_check<P> check_;
};

}  // namespace ice
