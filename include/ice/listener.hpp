// listener: a server action that was added to a server. It makes a session of each connection, and
// calls the logic with the messages of all sessions.
#pragma once

#include <ice/action.hpp>
#include <ice/detail/listener_base.hpp>
#include <ice/detail/run_session.hpp>
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

// What srv.add() makes of a tcp_server_action.
template <protocol P, class A>
    requires logic_for<logic_in_t<A>, P>
class running_listener final : public runs_sessions<listener<P>, P, A> {
    using L = logic_in_t<A>;

    static_assert(
        has_as_server<P> || !requires { &P::as_server; },
        "ice: as_server() of a protocol is called without arguments");

public:
    running_listener(std::shared_ptr<server_context> context, const address& where, P p, A l,
                     const limits& bounds, const timeouts& times, std::shared_ptr<transport> own)
        : runs_sessions<listener<P>, P, A>(std::move(p), std::move(l), std::move(context), where,
                                           bounds, times, std::move(own)) {
        if constexpr (has_as_server<P>) this->protocol_.as_server();
    }

private:
    static constexpr bool logic_may_wait = handles<P> || detail::logic_may_wait<L, P>;
    static constexpr bool may_wait = logic_may_wait || opened_waits<L, P>;

    bool logic_waits() const noexcept override { return logic_may_wait; }
    bool can_be_cancelled() const noexcept override { return may_wait; }
};

}  // namespace detail

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace ice
