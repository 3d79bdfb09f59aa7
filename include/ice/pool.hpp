// pool: a running client action. Connections to one upstream, lent to one request at a time.
// A reply reaches only its requester: a connection returns only with proof that it is clean.
#pragma once

#include <exception>
#include <ice/pipeline.hpp>
#include <ice/pool_base.hpp>
#include <optional>
#include <stdexcept>
#include <utility>

namespace ice {

// A connection on loan for more than one message, as transactions need it: lease->send(..),
// lease->receive(). Not returned, but closed, if an exception ends it.
template <protocol P>
class lease {
public:
    explicit lease(pool_base::loan l) noexcept : loan_(std::move(l)) {}
    lease(lease&&) noexcept = default;
    lease& operator=(lease&&) = delete;
    ~lease() {
        if (std::uncaught_exceptions() == exceptions_) loan_.settle();
    }

    session<P>* operator->() const noexcept { return static_cast<session<P>*>(&loan_.session()); }
    session<P>& operator*() const noexcept { return *operator->(); }

private:
    pool_base::loan loan_;
    int exceptions_ = std::uncaught_exceptions();
};

template <protocol P, class R = owned_t<message_t<P>>>
class pool : public pool_base {
public:
    using reply_type = R;
    using reply_logic = typename tcp_client_action<P, R>::reply_logic;

    pool(std::shared_ptr<environment> env, address where, std::string name, std::size_t size, P p,
         reply_logic logic, const pool_limits& l, const pool_timeouts& t, const backoff_limits& b)
        : pool_base(std::move(env), options{std::move(name), std::move(where), size, l, t, b}),
          protocol_(std::move(p)), logic_(std::move(logic)) {
        if (std::constructible_from<R, message_t<P>&&> || logic_) return;
        throw std::invalid_argument(
            fmt::format("pool '{}': it needs a .logic() to make of a reply what its name promises",
                        this->name()));
    }

    // Sends `message` on a free connection, and gives its reply: owned, as the connection goes
    // back. Ends within `timeout` (pool_timeouts::request), waiting and connecting included.
    // Errors: errc::pool_full, pool_wait_timeout, connect_timeout, connect_error(..), unpackable:
    // not executed (condition::not_executed); request_timeout, upstream_stuck, closed, cut_short,
    // bad_message, or what the socket says: it may have been executed. A view in `message` must
    // live until the end.
    template <class M>
    task<result<R>> request(M message, duration timeout) {
        const auto alive = shared_from_this();  // the server may end before the caller
        const time_point begin = now();
        const time_point until = after(begin, timeout);
        auto work = is_pipelined() ? shared_exchange(std::move(message), until)
                                   : exchange(std::move(message), until);
        auto made = co_await std::move(work);
        count_outcome(made.error(), now() - begin);
        co_return made;
    }
    template <class M>
    task<result<R>> request(M message) {
        return request(std::move(message), timeouts().request);
    }

    // A connection for a longer talk, all of it within `timeout`. It goes back when the lease ends,
    // if each message sent has had its reply and nothing is left over.
    task<result<lease<P>>> acquire(duration timeout) {
        const auto alive = shared_from_this();
        const time_point until = after(now(), timeout);
        auto taken = co_await take(until);
        if (!taken) co_return taken.error();
        taken->session().within(until, errc::request_timeout);
        co_return lease<P>(*std::move(taken));
    }
    task<result<lease<P>>> acquire() { return acquire(timeouts().request); }

private:
    template <class M>
    task<result<R>> exchange(M message, time_point until) {
        for (;;) {
            auto taken = co_await take(until);
            if (!taken) co_return taken.error();
            auto& peer = static_cast<session<P>&>(taken->session());
            peer.within(until, errc::request_timeout);
            const std::uint64_t before = peer.bytes().sent();
            const error_code unsent = co_await peer.send(message);
            if (unsent) {
                if (peer.is_untouched())
                    taken->settle();  // the message was refused, not the connection
                else if (peer.bytes().sent() == before) {  // it was just dying
                    if (may_retry(until)) continue;
                    co_return errc::not_sent;
                }
                co_return unsent;
            }
            auto reply = co_await peer.receive();
            if (!reply) co_return reply.error();
            auto made = co_await make_of(*std::move(reply));
            if (made) taken->settle();
            co_return made;
        }
    }

    // A caller beside others, whose replies come in the order of their requests.
    struct shared_place : pipeline::place {
        using place::place;
        std::optional<result<R>> reply;
    };

    template <class M>
    task<result<R>> shared_exchange(M message, time_point until) {
        for (;;) {
            auto taken = co_await take(until, true);
            if (!taken) co_return taken.error();
            std::unique_ptr<pipeline> opened;
            if (!taken->is_empty()) opened = std::make_unique<pipeline>(*std::move(taken));
            pipeline& line = opened ? *opened : *shared_line();
            auto& peer = static_cast<session<P>&>(line.session());
            const std::uint64_t begin = peer.bytes().sent() + peer.bytes().unsent();
            shared_place mine(*env()->net);
            const error_code refused = peer.push(message);
            if (refused == errc::unpackable || refused == errc::outbox_full) co_return refused;
            if (refused) {
                if (may_retry(until)) continue;
                co_return errc::not_sent;
            }
            line.join(mine, begin, until);
            if (opened) spawn(env(), hand_out_replies(self(), std::move(opened)), name());
            const error_code cancelled = co_await mine.over.wait();
            if (mine.reply) co_return *std::move(mine.reply);
            if (cancelled) co_return cancelled;
            if (mine.failed == errc::not_sent && may_retry(until)) continue;
            co_return mine.failed;
        }
    }

    static task<> hand_out_replies(std::shared_ptr<pool> self, std::unique_ptr<pipeline> line) {
        auto& peer = static_cast<session<P>&>(line->session());
        line->fail(errc::bad_message);  // unless another reason comes: the logic of replies threw
        while (line->size() != 0) {
            peer.within(line->due(), errc::upstream_stuck);
            auto reply = co_await peer.receive();
            if (!reply) co_return line->fail(reply.error());
            if (!line->is_sent()) co_return line->fail(errc::bad_message);  // a reply to nothing
            if (line->caller() != nullptr) {
                auto made = co_await self->make_of(*std::move(reply));
                auto* const caller = static_cast<shared_place*>(line->caller());
                if (caller != nullptr) caller->reply = made;
                if (!made) co_return line->fail(made.error());
            }
            line->answered();
        }
    }

    std::shared_ptr<pool> self() { return std::static_pointer_cast<pool>(shared_from_this()); }

    task<result<R>> make_of(message_t<P> reply) {
        if constexpr (std::constructible_from<R, message_t<P>&&>) {
            if (!logic_) co_return R(std::move(reply));
        }
        auto made = co_await logic_(std::move(reply));
        co_return made;
    }

    std::unique_ptr<session_base> make_session(std::unique_ptr<channel> bytes) override {
        return std::make_unique<session<P>>(std::move(bytes), protocol_, uid(), settings_);
    }
    task<error_code> shake_hands(session_base& s) override {
        return static_cast<session<P>&>(s).shake_hands(timeouts().handshake);
    }

    P protocol_;
    reply_logic logic_;
};

}  // namespace ice
