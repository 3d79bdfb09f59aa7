// link: one session to an upstream that sends messages unasked, such as a broker or a feed. It is
// open for as long as the server runs: when its connection ends, the link makes another.
#pragma once

#include <deque>
#include <functional>
#include <ice/action.hpp>
#include <ice/detail/link_base.hpp>
#include <ice/detail/run_session.hpp>
#include <memory>
#include <new>
#include <string>
#include <type_traits>
#include <utility>

namespace ice {

// The name of a link, with its protocol. Declare it once and use it for both add() and get():
//     constexpr ice::link_name<ice::line> feed{"feed"};
// The text must be valid as long as the name is used; a string literal always is. For a name from
// configuration: srv.get(link_name<line>{text}).
template <protocol P>
struct link_name {
    std::string_view text;
};

namespace detail {

// A function that pushes a copy of the message, which owns its bytes, to a session.
template <class P, class A>
std::function<error_code(session<P>&)> pushed_later(A&& m) {
    const auto keep = [](auto kept) {
        return [kept](session<P>& peer) { return peer.push(*kept); };
    };
    if constexpr (std::is_convertible_v<A, std::string_view>)
        return keep(std::make_shared<const std::string>(std::string_view(m)));
    else return keep(std::make_shared<const owned_t<std::remove_cvref_t<A>>>(std::forward<A>(m)));
}

}  // namespace detail

// Receives messages and answers none. The default logic of tcp_link_action.
struct ignore_messages {
    template <class M>
    void operator()(const M&) const noexcept {}
};

// What srv.add() returns for a tcp_link_action, and srv.get() for its name. Use it only on the
// loop's thread. The server owns the link: references to it are valid as long as the server.
template <protocol P>
class link : public link_base {
public:
    // Sends a message as session::push() does, which lists its errors, or keeps it in the queue
    // (link_limits::queue) until the link is connected. It never waits, and any code on the loop's
    // thread may call it at any time. The queue keeps a copy of the message that owns its bytes.
    // Returns errc::not_connected if the link is not connected and the queue is full, as it is
    // without one, and errc::draining or stopped if there will be no other connection.
    // At most once: what was sent, or was unsent, when a connection ends is not sent again
    // (link_counters::unsent_bytes).
    template <class A>
    [[nodiscard]] error_code push(A&& m) {
        detail::refuse_braced_aggregate<A>();
        session<P>* const peer = current();
        if (peer != nullptr && queue_.empty()) return peer->push(std::forward<A>(m));
        if (!this->can_enqueue()) return this->refuse();
        queue_.push_back(detail::pushed_later<P>(std::forward<A>(m)));
        this->count_queued();
        return {};
    }

    // The session while the link is connected: from the end of opened() of the logic until its
    // connection ends. Null otherwise. Valid until the caller next waits.
    session<P>* current() const noexcept {
        return static_cast<session<P>*>(this->established_session());
    }

    std::size_t queued() const noexcept override { return queue_.size(); }

protected:
    using link_base::link_base;

private:
    bool push_oldest(session_base& s) override {
        auto& peer = static_cast<session<P>&>(s);
        error_code refused;
        try {
            refused = queue_.front()(peer);
        } catch (const std::bad_alloc&) {
            throw;
        } catch (...) {  // of packet(): it would fail on each further connection
            this->threw(peer, std::current_exception());
            refused = errc::unencodable;
        }
        if (refused == errc::outbox_full && peer.bytes().unsent() != 0) {
            this->count_no_refusal();
            return false;
        }
        if (peer.bytes().cancelled()) return true;
        if (refused) this->drop_queued(refused);
        queue_.pop_front();
        return true;
    }

    std::deque<std::function<error_code(session<P>&)>> queue_;
};

// Describes a link: where it connects, its protocol, and what it does with each message. Nothing is
// connected before the loop runs. A description is one chain, as that of a listener:
//     srv.add(tcp_link_action{{"10.0.0.1", 4222}, feed}.logic(on_message).heartbeat("PING", 30s));
// With several addresses the link is connected to one of them at a time. It begins at any, so that
// many programs with the same addresses spread. When an attempt fails, it tries the next address at
// once; when all have failed, or a connection has ended, after a pause (backoff_limits). An address
// may be a host name.
template <protocol P, class L = ignore_messages>
class tcp_link_action {
public:
    tcp_link_action(pool_addresses where, link_name<P> name)
        : tcp_link_action(std::move(where), std::string(name.text)) {}
    // A name from configuration. Without a link_name write tcp_link_action<P>.
    tcp_link_action(pool_addresses where, std::string name)
        : options_{.name = std::move(name), .addresses = std::move(where.all)} {}
    // Sets all parts at once, for logic() below. Users call the constructors above.
    tcp_link_action(link_options o, P p, L l, std::function<error_code(session<P>&)> beat)
        : options_(std::move(o)), protocol_(std::move(p)), logic_(std::move(l)),
          heartbeat_(std::move(beat)) {}

    // Replaces the protocol, such as by one with another limit. Each connection gets a copy of `p`.
    template <class Q>
    auto protocol(Q p) && {
        static_assert(std::same_as<Q, P>,
                      "ice: the name of this link says that it speaks another protocol");
        protocol_ = std::move(p);
        return std::move(*this);
    }

    // Sets the logic, which is called with each message that arrives; logic.hpp says what it may
    // be. What it returns is sent. Without a logic the link ignores what arrives. Its opened() is
    // called on each connection, before the first message: subscribe there, by session::push() or
    // send(). If opened() throws, or the connection ends before it returns, the attempt has failed.
    // Its closed() is called when a connection has ended after opened() was called. One `l` serves
    // all connections; with per_session(l) each has a copy. What it refers to must outlive the
    // server. session::listener() throws, as there is none.
    template <class M>
    auto logic(M l) && {
        detail::check_logic<detail::logic_in_t<M>, P>();
        return tcp_link_action<P, M>(std::move(options_), std::move(protocol_), std::move(l),
                                     std::move(heartbeat_));
    }

    // Each of these replaces all values of its kind: limits.hpp.
    tcp_link_action&& limits(const link_limits& l) && { return set(options_.limits, l); }
    tcp_link_action&& timeouts(const link_timeouts& t) && { return set(options_.timeouts, t); }
    // The pauses between attempts to connect.
    tcp_link_action&& backoff(const backoff_limits& b) && { return set(options_.backoff, b); }
    // The transport of this link alone, as that of a listener.
    tcp_link_action&& transport(std::shared_ptr<ice::transport> t) && {
        return set(options_.transport, t);
    }

    // Sends `message` when nothing has arrived for `interval`, and closes the connection if nothing
    // arrives for another `interval`: a peer whose machine or network is gone is found within three
    // intervals. Intervals below 1 ms mean 1 ms. There is none by default, as only the user knows
    // a message that the peer answers.
    template <class M>
    tcp_link_action&& heartbeat(M message, duration interval) && {
        options_.heartbeat = interval;
        heartbeat_ = detail::pushed_later<P>(std::move(message));
        return std::move(*this);
    }

    // Overloads for an lvalue: they do not compile, and their error says what to write.
    template <class A>
    detail::lvalue_action<A> protocol(const A&) &;
    template <class A>
    detail::lvalue_action<A> logic(const A&) &;
    template <class T = void>
    detail::lvalue_action<T> limits(const link_limits&) &;
    template <class T = void>
    detail::lvalue_action<T> timeouts(const link_timeouts&) &;
    template <class T = void>
    detail::lvalue_action<T> backoff(const backoff_limits&) &;
    template <class T = void>
    detail::lvalue_action<T> transport(const std::shared_ptr<ice::transport>&) &;

private:
    friend class server;

    template <class V>
    tcp_link_action&& set(V& option, V value) {
        option = std::move(value);
        return std::move(*this);
    }

    link_options options_;
    P protocol_{};
    L logic_{};
    std::function<error_code(session<P>&)> heartbeat_;
};

template <protocol P>
tcp_link_action(pool_addresses, link_name<P>) -> tcp_link_action<P>;

// As in serve.hpp: GCC would warn of a logic in an anonymous namespace, which is allowed.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsubobject-linkage"
#endif

namespace detail {

// What srv.add() makes of a tcp_link_action.
template <protocol P, class A>
    requires logic_for<logic_in_t<A>, P>
class running_link final : public runs_sessions<link<P>, P, A> {
public:
    running_link(std::shared_ptr<server_context> context, link_options o, P p, A l,
                 std::function<error_code(session<P>&)> beat)
        : runs_sessions<link<P>, P, A>(std::move(p), std::move(l), std::move(context),
                                       std::move(o)),
          heartbeat_(std::move(beat)) {}

private:
    error_code push_heartbeat() override { return heartbeat_(*this->current()); }

    std::function<error_code(session<P>&)> heartbeat_;
};

}  // namespace detail

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

}  // namespace ice
