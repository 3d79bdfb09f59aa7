// forward: a logic that passes each message on to a pool, and answers with the reply. It is the
// fast way for a gateway or a proxy: a message takes no coroutine of its own.
#pragma once

#include <asio/any_io_executor.hpp>
#include <asio/post.hpp>
#include <concepts>
#include <exception>
#include <ice/detail/answer_queue.hpp>
#include <ice/pool.hpp>
#include <optional>
#include <type_traits>
#include <utility>

namespace ice {
namespace detail {

template <class T>
inline constexpr bool is_pool = false;
template <protocol P, class R>
inline constexpr bool is_pool<pool<P, R>> = true;

// Answers nothing instead of a reply.
struct forward_all {
    template <class M>
    std::nullopt_t operator()(const M&) const noexcept {
        return std::nullopt;
    }
};

// The request of a worker of an answer_queue.
template <class Q, class W, passes_on L>
struct passed_on<Q, W, L> final : L::forwarded {
    passed_on(Q& q, W& w) : queue(q), own(w) {}
    // Packs the reply itself if no older request is unanswered. Otherwise keeps it in the memory of
    // the answer before.
    bool keep(typename L::reply_type& from) override {
        using answer = typename L::answer;
        if constexpr (std::same_as<answer, typename kept<typename L::reply_type>::type> &&
                      requires { queue.send_at_once(own, from); }) {
            try {
                if (queue.send_at_once(own, from)) return is_kept = is_sent = true;
            } catch (...) {  // of the client's protocol: the pool has a reply
                own.thrown = std::current_exception();
                return is_kept = true;
            }
        }
        if constexpr (std::is_assignable_v<answer&, const typename L::reply_type&>) {
            if (own.answer) return *own.answer = from, is_kept = true;
        }
        if constexpr (std::constructible_from<answer, typename L::reply_type>)
            return own.answer.emplace(std::move(from)), is_kept = true;
        else return false;
    }
    void resume() override { queue.over(own); }
    void resume_later(const asio::any_io_executor& executor) noexcept override {
        try {
            asio::post(executor,
                       [held = queue.shared_from_this(), &q = queue, &w = own] { q.over(w); });
        } catch (...) { queue.vanished(); }
    }
    Q& queue;
    W& own;
    bool is_kept = false;
    bool is_sent = false;
};

// What forward() returns. `Pool` is a pool<P, R>.
template <class Pool, class Failed, class Instead>
class forward_logic {
public:
    using answer = typename Pool::reply_type;
    using reply_type = message_t<typename Pool::protocol_type>;

    forward_logic(Pool& to, Failed failed, Instead answers)
        : to_(&to), failed_(std::move(failed)), instead_(std::move(answers)) {}

    // As any coroutine logic, where messages are not in flight.
    template <class M>
        requires can_packet<typename Pool::protocol_type, M> && std::copy_constructible<M>
    task<answer> operator()(M message) {
        std::optional<answer> own = instead(std::as_const(message));
        if (own) co_return *std::move(own);
        auto reply = co_await to_->request(message);
        co_return made(std::move(reply), message);
    }

    // What an answer_queue calls instead, for each message in this order.
    using forwarded = typename Pool::forwarded;
    template <class M>
    std::optional<answer> instead(const M& message) {
        return instead_(message);
    }
    // `now` is by the clock of `peer`. Returns false if go_on() has to send it. Otherwise the
    // request ends with f.resume().
    template <class M>
    bool begin(forwarded& f, const M& message, time_point now, session_base& peer) {
        return to_->try_request(f, message, now, peer.bytes().net());
    }
    // The answer to a request that is over; none if go_on() has to repeat it.
    template <class M>
    std::optional<answer> end(forwarded& f, const M& message) {
        auto reply = f.finish();
        if (!reply) return std::nullopt;
        return made(*std::move(reply), message);
    }
    // `message` must be valid until the coroutine ends.
    template <class M>
    task<answer> go_on(forwarded& f, const M& message) {
        auto reply = co_await to_->request_on(f, message);
        co_return made(std::move(reply), message);
    }

private:
    template <class M>
    answer made(pool_result<answer> reply, const M& message) {
        if (reply) return *std::move(reply);
        if constexpr (std::invocable<Failed&, const failure&, const M&>)
            return failed_(reply.failure(), message);
        else return failed_(reply.failure());
    }

    Pool* to_;
    [[no_unique_address]] Failed failed_;
    [[no_unique_address]] Instead instead_;
};

}  // namespace detail

// A logic that answers each message with the reply of `to`, or with what `failed` returns if there
// is none. `failed` is a plain function of (const failure&), or of that and the message, and
// returns what request() of the pool returns:
//     .limits({.in_flight = 64})
//     .logic(forward(upstream, [](const failure& why) { return "no reply: " + why.text(); }))
// `instead` is a plain function of the message. It returns an optional: an answer that is sent in
// place of a reply, and the pool is not asked, or nothing. An exception of either closes the
// connection, as that of any logic.
//
// It does what this coroutine does, and costs half of it if the pool is pipelined
// (pool_limits::pipeline) and has room:
//     auto reply = co_await to.request(message);
//     if (!reply) co_return failed(reply.failure());
//     co_return *std::move(reply);
// Messages are copied, as `failed` may need one. limits::in_flight of the listener says how many
// messages of a connection are with the pool at once; their answers leave in the order of the
// messages. The pool must live as long as the listener, as it does if one server has both. All
// calls are made on the loop's thread.
template <class Pool, class Failed, class Instead = detail::forward_all>
    requires detail::is_pool<Pool>
auto forward(Pool& to, Failed failed, Instead instead = {}) {
    return detail::forward_logic<Pool, Failed, Instead>(to, std::move(failed), std::move(instead));
}

}  // namespace ice
