// reply_logic: what a pool makes of a reply, by a plain function or by a coroutine with a deadline.
#pragma once

#include <functional>
#include <ice/detail/cancel_at.hpp>
#include <ice/protocol.hpp>
#include <ice/result.hpp>
#include <ice/transport.hpp>
#include <memory>
#include <optional>
#include <utility>

namespace ice {

// Turns a reply of type M into what request() returns. tcp_client_action::logic() sets one of the
// two functions; a pool that needs no logic has neither.
template <class R, class M>
struct reply_logic {
    std::function<result<R>(M)> plain;
    std::function<task<result<R>>(M)> waits;

    explicit operator bool() const noexcept { return plain || waits; }

    // One run of `waits`. It lives until the coroutine has ended, which may be after its deadline.
    template <class Held>
    struct run {
        explicit run(Held h) : held(std::move(h)) {}
        Held held;  // what the coroutine needs: this logic, and the bytes of the reply
        std::optional<typename detail::kept<M>::type> copy;
        std::optional<result<R>> made;  // the result, if it has ended
    };

    // Calls `waits` with `reply`. Returns as abandon_at() does: after an error `state` stays with
    // the coroutine. Requires: `state` holds this logic.
    template <class Held>
    task<error_code> run_until(time_point until, transport& net, M reply,
                               std::shared_ptr<run<Held>> state) {
        auto work = store(*this, std::move(reply), *state);
        return abandon_at(net.executor(), net.deadlines(), until, std::move(work), state);
    }

    // The same with a copy of the reply, if it is a view: so the buffer of its connection is free
    // when this returns. A view whose type cannot view a copy has no deadline.
    template <class Held>
    static task<std::optional<result<R>>> run_on_copy(reply_logic& logic, time_point until,
                                                      transport& net, M reply, Held held) {
        constexpr bool views_copy =
            std::constructible_from<M, const typename detail::kept<M>::type&>;
        if constexpr (!detail::says_what_it_owns<M> || (detail::is_view<M> && !views_copy)) {
            auto made = co_await logic.waits(std::move(reply));
            co_return std::optional<result<R>>(std::move(made));
        } else {
            const auto state = std::make_shared<run<Held>>(std::move(held));
            if constexpr (detail::is_view<M>) reply = M(state->copy.emplace(reply));
            auto runs = logic.run_until(until, net, std::move(reply), state);
            const error_code late = co_await std::move(runs);
            if (late) co_return std::nullopt;
            co_return std::move(state->made);
        }
    }

private:
    template <class Held>
    static task<> store(reply_logic& logic, M reply, run<Held>& to) {
        auto made = co_await logic.waits(std::move(reply));
        to.made.emplace(std::move(made));
    }
};

}  // namespace ice
