// listener: a server action that was added to a server. It makes a session of each connection, and
// calls the logic with the messages of all sessions.
#pragma once

#include <asio/this_coro.hpp>
#include <ice/action.hpp>
#include <ice/detail/listener_base.hpp>
#include <ice/detail/serve.hpp>
#include <memory>
#include <ranges>

namespace ice {

// What srv.add() and session::listener() return. All calls are for the loop's thread.
template <protocol P>
class listener : public listener_base {
public:
    // The open sessions whose handshake is done, in the order of their connections. The range and
    // its sessions are valid until the caller next waits.
    auto sessions() const {
        const auto talks = [](const numbered_session& s) { return is_established(s.session); };
        const auto typed = [](const numbered_session& s) -> session<P>& {
            return static_cast<session<P>&>(*s.session);
        };
        return open_sessions() | std::views::filter(talks) | std::views::transform(typed);
    }

    // The session with that uid, or null if its connection has ended. Valid until the caller next
    // waits.
    session<P>* find(uid id) const { return static_cast<session<P>*>(find_base(id)); }

    // Pushes the message to each session of sessions(). Returns how many queued it.
    template <class A>
    std::size_t broadcast(A&& m) {
        detail::refuse_braced_aggregate<A>();
        std::size_t took = 0;
        for (auto& peer : sessions()) {
            if (!peer.push(m)) ++took;
        }
        return took;
    }

protected:
    using listener_base::listener_base;
};

// As in serve.hpp: GCC would warn of a logic in an anonymous namespace, which is allowed.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

namespace detail {

template <class P>
concept has_as_server = requires(P& p) { p.as_server(); };
template <class L, class P>
concept has_opened = requires(L& l, session<P>& s) { l.opened(s); };
template <class L, class P>
concept is_told_why = requires(L& l, session<P>& s, error_code why) { l.closed(s, why); };
template <class L, class P>
concept has_closed = is_told_why<L, P> || requires(L& l, session<P>& s) { l.closed(s); };

template <class L, class P>
inline constexpr bool logic_may_wait = true;
template <class L, class P>
    requires(!converses<L, P>)
inline constexpr bool logic_may_wait<L, P> = is_task<called_t<L, P>>;

template <class L, class P>
task<> tell_opened(L& logic, session<P>& peer) {
    if constexpr (is_task<decltype(logic.opened(peer))>) co_await logic.opened(peer);
    else logic.opened(peer);
    co_return;
}
template <class L, class P>
decltype(auto) call_closed(L& logic, session<P>& peer, error_code why) {
    if constexpr (is_told_why<L, P>) return logic.closed(peer, why);
    else return logic.closed(peer);
}
template <class L, class P>
task<> tell_closed(L& logic, session<P>& peer, error_code why) {
    if constexpr (is_task<decltype(call_closed(logic, peer, why))>)
        co_await call_closed(logic, peer, why);
    else call_closed(logic, peer, why);
    co_return;
}

// What srv.add() makes of a tcp_server_action.
template <protocol P, class A>
    requires logic_for<logic_in_t<A>, P>
class running_listener final : public listener<P> {
    using L = logic_in_t<A>;
    static constexpr bool is_per_session = !std::same_as<A, L>;
    struct session_with_logic final : session<P> {
        session_with_logic(std::unique_ptr<channel> bytes, P p, uid id, session_settings& s,
                           const L& l)
            : session<P>(std::move(bytes), std::move(p), id, s), logic(l) {}
        L logic;
    };

    static_assert((has_opened<L, P> || !requires { &L::opened; }) &&
                      (has_closed<L, P> || !requires { &L::closed; }),
                  "ice: opened() and closed() of a logic are called with (ice::session<P>&), or "
                  "closed() with (ice::session<P>&, ice::error_code)");
    static_assert(
        has_as_server<P> || !requires { &P::as_server; },
        "ice: as_server() of a protocol is called without arguments");

public:
    running_listener(std::shared_ptr<server_context> context, const address& where, P p, A l,
                     const limits& bounds, const timeouts& times, std::shared_ptr<transport> own)
        : listener<P>(std::move(context), where, bounds, times, std::move(own)),
          protocol_(std::move(p)), logic_(std::move(l)) {
        if constexpr (has_as_server<P>) protocol_.as_server();
    }

private:
    static constexpr bool waits = handles<P> || logic_may_wait<L, P>;

    bool logic_waits() const noexcept override { return waits; }
    std::unique_ptr<session_base> make_session(std::unique_ptr<channel> bytes, uid id) override {
        if constexpr (is_per_session)
            return std::make_unique<session_with_logic>(std::move(bytes), protocol_, id,
                                                        this->settings_, logic_.prototype);
        else return std::make_unique<session<P>>(std::move(bytes), protocol_, id, this->settings_);
    }
    L& logic_of(session<P>& peer) noexcept {
        if constexpr (is_per_session) return static_cast<session_with_logic&>(peer).logic;
        else return logic_;
    }

    task<> run_session(listener_base::registration known) override {
        try {
            error_code why;
            bool opened = false;
            try {
                why = co_await open(session_of(known), opened);
                if (!why) why = co_await serve(session_of(known), logic_of(session_of(known)));
            } catch (...) { why = this->threw(session_of(known), std::current_exception()); }
            session_of(known).no_logic_runs();
            if constexpr (waits)
                co_await asio::this_coro::reset_cancellation_state(
                    asio::enable_terminal_cancellation());
            co_await end(session_of(known), opened, why);
        } catch (...) { this->broke(session_of(known).uid(), std::current_exception()); }
    }
    // Not a variable of run_session(), whose frame each idle connection holds.
    static session<P>& session_of(const listener_base::registration& known) noexcept {
        return static_cast<session<P>&>(known.session());
    }

    // Separate coroutines, so that their variables do not enlarge the frame of run_session(), which
    // each idle connection holds.
    task<error_code> open(session<P>& peer, bool& opened) {
        const error_code refused = co_await peer.shake_hands(this->settings_.timeouts.handshake);
        if (refused) co_return refused;
        opened = true;
        peer.set_established(true);
        if constexpr (has_opened<L, P>) co_await tell_opened(logic_of(peer), peer);
        co_return error_code();
    }

    task<> end(session<P>& peer, bool opened, error_code why) {
        peer.set_established(false);
        if (peer.has_spawned()) co_await peer.end_spawned();
        if constexpr (has_closed<L, P>) {
            const bool may_push = is_told_why<L, P> && opened && !this->is_stopped();
            const bool reopened = may_push && peer.reopen();
            const std::uint64_t sent = peer.bytes().sent();
            const error_code cause = why;
            try {
                if (opened) co_await tell_closed(logic_of(peer), peer, why);
            } catch (...) { why = this->threw(peer, std::current_exception()); }
            const bool pushed = peer.bytes().sent() != sent || peer.bytes().unsent() != 0;
            if (reopened && !pushed) peer.bytes().cancel(cause);
        }
        co_await this->finish(peer, why);
    }

    P protocol_;
    A logic_;
};

}  // namespace detail

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace ice
