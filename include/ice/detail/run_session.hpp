// run_session: what a listener and a link do with one session: its handshake, opened() of the
// logic, and closed() at the end.
#pragma once

#include <concepts>
#include <exception>
#include <ice/detail/cancel_at.hpp>
#include <ice/detail/serve.hpp>
#include <ice/logic.hpp>
#include <memory>
#include <type_traits>
#include <utility>

// As in serve.hpp: GCC would warn of a logic in an anonymous namespace, which is allowed.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

namespace ice::detail {

template <class L, class P>
concept has_opened = requires(L& l, session<P>& s) { l.opened(s); };
template <class L, class P>
concept is_told_why = requires(L& l, session<P>& s, error_code why) { l.closed(s, why); };
template <class L, class P>
concept has_closed = is_told_why<L, P> || requires(L& l, session<P>& s) { l.closed(s); };

template <class L, class P>
inline constexpr bool opened_waits = false;
template <class L, class P>
    requires has_opened<L, P>
inline constexpr bool opened_waits<L, P> =
    is_task<decltype(std::declval<L&>().opened(std::declval<session<P>&>()))>;

// Whether a message may be with the logic while the session waits.
template <class L, class P>
inline constexpr bool logic_may_wait = true;
template <class L, class P>
    requires(!converses<L, P>)
inline constexpr bool logic_may_wait<L, P> = is_task<called_t<L, P>>;

// Says what is wrong with opened() and closed() of a logic.
template <class L, class P>
constexpr void check_opened_and_closed() {
    static_assert((has_opened<L, P> || !requires { &L::opened; }) &&
                      (has_closed<L, P> || !requires { &L::closed; }),
                  "ice: opened() and closed() of a logic are called with (ice::session<P>&), or "
                  "closed() with (ice::session<P>&, ice::error_code)");
}

template <class L, class P>
decltype(auto) call_closed(L& logic, session<P>& peer, error_code why) {
    if constexpr (is_told_why<L, P>) return logic.closed(peer, why);
    else return logic.closed(peer);
}
// For at most timeouts::logic: then it is cancelled.
template <class L, class P>
task<> tell_closed(L& logic, session<P>& peer, error_code why) {
    if constexpr (is_task<decltype(call_closed(logic, peer, why))>) {
        auto runs = cancel_at(peer.executor(), peer.bytes().net().deadlines(),
                              after(peer.now(), peer.settings().timeouts.logic),
                              call_closed(logic, peer, why));
        co_await std::move(runs);
    } else {
        call_closed(logic, peer, why);
    }
    co_return;
}

// Separate coroutines, so that their variables do not enlarge the frame of the coroutine that runs
// the session, which each idle connection holds.

// Shakes hands within timeouts::handshake. Sets `opened` if the session may begin.
template <class P>
task<error_code> establish(session<P>& peer, bool& opened) {
    const error_code refused = co_await peer.shake_hands(peer.settings().timeouts.handshake);
    if (refused) co_return refused;
    opened = true;
    peer.set_established(true);
    co_return error_code();
}

// The same, and then calls opened().
template <class L, class P>
task<error_code> open_with_logic(session<P>& peer, L& logic, bool& opened) {
    auto begins = establish(peer, opened);
    if (const error_code refused = co_await std::move(begins)) co_return refused;
    if constexpr (opened_waits<L, P>) {
        peer.arm_logic_timeout();
        co_await logic.opened(peer);
        peer.disarm_logic_timeout();
        if (const error_code ended = peer.bytes().cancelled()) co_return ended;
    } else {
        logic.opened(peer);
    }
    co_return error_code();
}

template <class L, class P>
task<error_code> open_session(session<P>& peer, L& logic, bool& opened) {
    if constexpr (has_opened<L, P>) return open_with_logic(peer, logic, opened);
    else return establish(peer, opened);
}

template <class L, class P>
task<> close_with_logic(session<P>& peer, L& logic, bool opened, error_code why,
                        std::exception_ptr& thrown) {
    co_await peer.end_established();
    const bool may_push = is_told_why<L, P> && opened && !peer.settings().stopped;
    const bool reopened = may_push && peer.reopen();
    const std::uint64_t sent = peer.bytes().sent();
    try {
        if (opened) co_await tell_closed(logic, peer, why);
    } catch (...) { thrown = std::current_exception(); }
    const bool pushed = peer.bytes().sent() != sent || peer.bytes().unsent() != 0;
    if (reopened && !pushed) peer.bytes().cancel(why);
}

// Waits for the coroutines that the session has spawned, and calls closed() if `opened`. Sets
// `thrown` to what closed() throws.
template <class L, class P>
task<> close_session(session<P>& peer, L& logic, bool opened, error_code why,
                     std::exception_ptr& thrown) {
    if constexpr (has_closed<L, P>) return close_with_logic(peer, logic, opened, why, thrown);
    else return peer.end_established();
}

// The part of a listener or a link that depends on its protocol and its logic. `Base` is
// listener<P> or link<P>. `A` is what the action was given: a logic, or per_session of one.
template <class Base, protocol P, class A>
class runs_sessions : public Base {
    using L = logic_in_t<A>;

protected:
    template <class... Arguments>
    runs_sessions(P p, A l, Arguments&&... of_base)
        : Base(std::forward<Arguments>(of_base)...), protocol_(std::move(p)), logic_(std::move(l)) {
        check_opened_and_closed<L, P>();
    }

    P protocol_;  // each session has a copy

private:
    static constexpr bool is_per_session = !std::same_as<A, L>;
    struct session_with_logic final : session<P> {
        session_with_logic(std::unique_ptr<channel> bytes, P p, uid id, session_settings& s,
                           const L& l)
            : session<P>(std::move(bytes), std::move(p), id, s), logic(l) {}
        L logic;
    };

    std::unique_ptr<session_base> make_session(std::unique_ptr<channel> bytes, uid id) override {
        if constexpr (is_per_session)
            return std::make_unique<session_with_logic>(std::move(bytes), protocol_, id,
                                                        this->settings(), logic_.prototype);
        else return std::make_unique<session<P>>(std::move(bytes), protocol_, id, this->settings());
    }
    task<error_code> open(session_base& s, bool& opened) override {
        return open_session(typed(s), logic_of(s), opened);
    }
    task<error_code> serve_messages(session_base& s) override {
        return serve(typed(s), logic_of(s));
    }
    task<> close(session_base& s, bool opened, error_code why,
                 std::exception_ptr& thrown) override {
        return close_session(typed(s), logic_of(s), opened, why, thrown);
    }

    static session<P>& typed(session_base& s) noexcept { return static_cast<session<P>&>(s); }
    // Requires: make_session() made the session.
    L& logic_of([[maybe_unused]] session_base& s) noexcept {
        if constexpr (is_per_session) return static_cast<session_with_logic&>(s).logic;
        else return logic_;
    }

    A logic_;
};

}  // namespace ice::detail

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
