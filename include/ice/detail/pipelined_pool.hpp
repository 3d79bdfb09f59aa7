// pipelined_pool: the part of pool<P, R> for connections that several requests share. They join a
// pipeline, and one coroutine for each connection assigns the replies.
#pragma once

#include <concepts>
#include <exception>
#include <ice/detail/pipeline.hpp>
#include <ice/detail/pool_base.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace ice {

template <protocol P, class R>
class pipelined_pool : public pool_base {
public:
    // What turns a reply into what request() returns.
    using reply_logic = typename tcp_client_action<P, R>::reply_logic;

    // The entry of a request in the pipeline of a connection that several requests share.
    struct pending_reply : pending_request {
        // Takes a reply that no logic of replies makes something of; or false: it goes to `reply`.
        virtual bool keep(message_t<P>&) { return false; }

        std::optional<result<R>> reply;
        std::exception_ptr thrown;  // by the logic of replies
    };

    // Who derives from it is told by resume() or resume_later() that the request is over. Its
    // destruction abandons the request. It serves one request after the other.
    struct forwarded : pending_reply {
        // Before the next request. Requires: is_over().
        void reset() noexcept {
            pending_reply::reset();
            this->reply.reset();
            this->thrown = nullptr;
        }
        // The request is over, and keep() has the reply.
        void succeeded() noexcept { begun->succeeded(this->ended); }
        // Whether it is counted, and has no result yet.
        bool has_begun() const noexcept { return begun && !begun->is_over(); }
        // The result of another request that is over; none if request_on() has to repeat it.
        // Rethrows what the logic of replies has thrown.
        std::optional<pool_result<R>> finish() { return pipelined_pool::finish(*begun, *this); }

        std::optional<call> begun;  // holds the pool from the first request on
    };

    // Sends `message` on a shared connection that has room at this moment, for forward(). `now` is
    // by the clock of `other`, so that one reading serves a burst. When the request is over, it
    // calls f.resume(). Returns false if nothing was sent, as request_on() does what else is to be
    // done.
    template <class M>
    bool try_request(forwarded& f, const M& message, time_point now, const transport& other) {
        f.reset();
        if (!is_pipelined() || timeouts().request <= duration::zero()) return false;
        const time_point at = &other == &net() ? now : this->now();
        const auto begin = [&]() -> call& {
            if (f.begun) f.begun->again(timeouts().request, at);
            else f.begun.emplace(*this, timeouts().request, at);
            return *f.begun;
        };
        if (pool_connection* const again = core().share_again(at))
            return !join(line_of(*again), message, begin(), f, at).refused;
        acquired taken = try_share(at);
        if (taken.is_empty()) return false;
        return !join(std::move(taken), message, begin(), f, at).refused;
    }

protected:
    pipelined_pool(std::shared_ptr<server_context> context, pool_options o, reply_logic logic)
        : pool_base(std::move(context), std::move(o)), logic_(std::move(logic)) {}

    // Turns a reply into what request() returns. None if that takes a coroutine.
    std::optional<result<R>> made_at_once(message_t<P>& reply) {
        if (logic_.plain) return logic_.plain(std::move(reply));
        if constexpr (std::constructible_from<R, message_t<P>&&>) {
            if (!logic_) return result<R>(R(std::move(reply)));
        }
        return std::nullopt;
    }

    // A request of a coroutine, which waits only for its own `pending`: so its timeout ends its
    // wait and leaves the connection to the others. `begun` is the same request before, of
    // forward().
    template <class M>
    task<pool_result<R>> shared_exchange(M message, duration timeout, call* begun = nullptr) {
        call mine = begun ? call(*this, *begun) : call(*this, timeout);
        time_point at = begun ? now() : mine.begin;
        for (;; at = now()) {
            acquired taken = try_share(at);
            if (taken.is_empty()) {
                auto waited = co_await wait_for_connection(mine.until, true);
                if (!waited) co_return mine.failed(waited.error());
                taken = *std::move(waited);
                at = now();
            }
            pending_reply pending;
            const joined as = join(std::move(taken), message, mine, pending, at);
            if (as.refused && !as.is_lost) {
                co_await let_others_run();
                co_return mine.failed(as.refused);
            }
            if (!as.refused) {
                if (!pending.is_over()) co_await pending.wait();
                auto made = finish(mine, pending);
                if (made) co_return *std::move(made);
                if (is_cancelled(co_await asio::this_coro::cancellation_state))
                    co_return mine.failed(asio::error::operation_aborted);
            }
            const error_code why_not = co_await prepare_retry(mine.until);
            if (why_not) co_return mine.failed(why_not);
        }
    }

    reply_logic logic_;

private:
    // What became of a request that was to join a pipeline: if it was refused, nothing was sent.
    struct joined {
        error_code refused;  // by the protocol, or as the connection is lost
        bool is_lost = false;
    };

    // Queues a request on a connection, with the first one on a free connection a pipeline, whose
    // replies assign_replies() receives for all callers.
    template <class M>
    joined join(acquired taken, const M& message, call& mine, pending_reply& pending,
                time_point now) {
        if (taken.shared != nullptr)
            return join(line_of(*taken.shared), message, mine, pending, now);
        auto opened = std::make_unique<pipeline>(connection_lease(std::move(taken.own)));
        const joined as = join(*opened, message, mine, pending, now);
        if (!as.refused) spawn(context(), assign_replies(self(), std::move(opened)), name());
        return as;
    }
    template <class M>
    joined join(pipeline& line, const M& message, call& mine, pending_reply& pending,
                time_point now) {
        auto& peer = static_cast<session<P>&>(line.session());
        const std::uint64_t begin = peer.bytes().sent() + peer.bytes().unsent();
        if (mine.at != line.upstream()) mine.at = line.upstream();
        bool is_full = false;
        {
            const pipeline::room_guard room(*this, pending);
            const error_code refused = peer.push(message);  // if packet() throws, nothing is queued
            if (refused) return {refused, bool(peer.bytes().cancelled())};
            is_full = line.join(pending, begin, mine.until, now);
        }
        mine.sent = true;
        if (is_full) watch_outbox(line);
        return {};
    }

    // The result of a request that was in a pipeline; none if no byte of it was sent.
    static std::optional<pool_result<R>> finish(call& mine, pending_reply& pending) {
        if (pending.thrown) std::rethrow_exception(pending.thrown);
        if (pending.reply && *pending.reply) {
            mine.succeeded(pending.ended);
            return **std::move(pending.reply);
        }
        if (pending.reply) return mine.failed(pending.reply->error());
        mine.sent = !pending.is_unsent;
        if (mine.sent) return mine.failed(pending.failed, pending.unparsed);  // mutant: was_sent
        return std::nullopt;
    }

    // Receives replies and gives each to the oldest request that has none, whether or not its
    // caller still waits. Ends with the last reply, or when the connection fails; the destructor
    // of the pipeline then tells the callers that are left.
    static task<> assign_replies(std::shared_ptr<pipelined_pool> self,
                                 std::unique_ptr<pipeline> line) {
        auto& peer = static_cast<session<P>&>(line->session());
        line->fail(errc::bad_message);  // the reason if the protocol throws
        time_point at = self->now();    // read once for the replies of one read
        while (line != nullptr) {
            std::optional<message_t<P>> reply = peer.arrived();
            if (!reply) {
                peer.set_deadline(line->due(), errc::pipeline_stalled);
                auto received = co_await peer.receive();
                if (!received) co_return line->fail(received.error());
                reply.emplace(*std::move(received));
                at = self->now();
            }
            if (!line->is_sent()) co_return line->fail(errc::bad_message);  // it answers no request
            if (line->caller() != nullptr) {
                std::exception_ptr thrown;
                std::optional<result<R>> made;
                bool is_kept = false;
                try {
                    if (!self->logic_)
                        is_kept = static_cast<pending_reply*>(line->caller())->keep(*reply);
                    if (!is_kept) made = self->made_at_once(*reply);
                    if (!is_kept && !made) {
                        const time_point until = line->caller()->until();
                        peer.set_deadline(never, errc{});  // it is that of the upstream
                        auto runs = reply_logic::run_on_copy(self->logic_, until, self->net(),
                                                             *std::move(reply), self);
                        made = co_await std::move(runs);
                        at = self->now();
                    }
                } catch (...) { thrown = std::current_exception(); }
                const bool is_malformed = made && made->error() == errc::bad_message;
                auto* const caller = static_cast<pending_reply*>(line->caller());
                if (caller != nullptr && !is_kept) {
                    caller->thrown = thrown;
                    caller->reply = std::move(made);
                }
                if (is_malformed) co_return line->fail(errc::bad_message);
            }
            pending_request* const over = line->pop_oldest(at);
            // Before the caller asks again: the next request needs proof that nothing is left.
            if (line->size() == 0) line.reset();  // mutant: pipeline_ends_first
            if (over != nullptr) over->resume();  // mutant: resume_caller
        }
    }

    std::shared_ptr<pipelined_pool> self() {
        return std::static_pointer_cast<pipelined_pool>(shared_from_this());
    }
};

}  // namespace ice
