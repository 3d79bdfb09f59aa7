// pool: a running client action. Connections to one upstream, lent to one request at a time.
// A reply reaches only its requester: a connection returns only with proof that it is clean.
#pragma once

#include <exception>
#include <ice/pool_base.hpp>
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
    // not executed (condition::not_executed); request_timeout, closed, cut_short, bad_message, or
    // what the socket says: it may have been executed. A view in `message` must live until the end.
    template <class M>
    task<result<R>> request(M message, duration timeout) {
        const auto alive = shared_from_this();  // the server may end before the caller
        const time_point begin = now();
        auto made = co_await exchange(std::move(message), after(begin, timeout));
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
                else if (peer.bytes().sent() == before && now() < until)
                    continue;  // it was just dying
                co_return unsent;
            }
            auto reply = co_await peer.receive();
            if (!reply) co_return reply.error();
            auto made = co_await make_of(*std::move(reply));
            if (made) taken->settle();
            co_return made;
        }
    }

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
