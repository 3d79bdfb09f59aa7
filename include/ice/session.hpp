// session: one connection as a logic sees it: its messages, peer, clock and end. Connections of
// listeners and of pools use the same class.
#pragma once

#include <ice/detail/cancel_at.hpp>
#include <ice/detail/session_base.hpp>
#include <ice/detail/session_checks.hpp>
#include <ice/protocol.hpp>
#include <ice/result.hpp>
#include <memory>
#include <optional>
#include <stdexcept>

namespace ice {

template <protocol P>
class listener;

// P is a protocol. Its handshake() names session<P> while P is still incomplete, so the concept
// `protocol` cannot constrain P here.
template <class P>
class session : public session_base {
public:
    using message = message_t<P>;

    session(std::unique_ptr<channel> bytes, P p, ice::uid id, session_settings& settings)
        : session_base(std::move(bytes), id, settings), protocol_(std::move(p)) {}

    // Sends a message, and waits until the kernel has taken it and all before it. Returns the error
    // of packet(), such as errc::unencodable or message_too_large, if the protocol refuses the
    // message: nothing was sent, and the connection goes on. Any other error means that the
    // connection is lost.
    template <class A>
    task<error_code> send(A&& m) {
        detail::refuse_braced_aggregate<A>();
        return send_own<std::decay_t<A>>(std::forward<A>(m));
    }

    // Queues a message without waiting; the session sends it when the running handler returns to
    // the loop. Any code on the loop's thread may call it at any time. Returns errc::outbox_full
    // (limits::outbox) or the error of packet() if it did not queue the message; the connection
    // goes on. Any other error means that the connection is lost.
    // In a pool it queues a message of any size if fewer than pool_limits::outbox bytes are unsent.
    // There receive() goes on sending while it waits. So push() and then receive() also work
    // with an upstream that does not read the rest of a large message before its reply is read,
    // as an echo; send() would wait for the upstream, and the upstream for this side.
    template <class A>
    [[nodiscard]] error_code push(A&& m) {
        detail::refuse_braced_aggregate<A>();
        const std::size_t before = bytes().out().size();
        bytes().reserve_out();
        const error_code ec = append(m);
        return ec ? ec : queued(before);
    }

    // Waits for the next message, in a handshake, in a conversation, or in a logic that asks the
    // peer something. A message that is a view is valid until the next receive(). The message that
    // the logic was called with is no longer valid after this call.
    // An error means that no message will come: errc::closed or truncated if the peer closed, the
    // error of a timeout, of close(), drain or stop(), of the protocol, or of the socket. Each
    // later call returns the same. asio::error::operation_aborted: the caller alone was cancelled.
    // Throws std::logic_error in a logic that works on several messages (limits::in_flight).
    task<result<message>> receive() {
        refuse_second_receiver();
        for (bool waited = false;; waited = true) {
            std::optional<message> m;
            if constexpr (detail::handles<P>) m = co_await handled();
            else m = next_and_flush();
            if (m && waited) rearm_logic_timeout();
            if (m) co_return *std::move(m);
            if (ends_idle()) co_return make_error_code(errc::draining);
            receiving(true);
            const error_code ec = co_await fill();
            receiving(false);
            if (ec) co_return lost(ec);
        }
    }

    // The listener that accepted this connection. Throws std::logic_error for a pool's session.
    ice::listener<P>& listener() const { return static_cast<ice::listener<P>&>(owner()); }

    // -- for code that runs a session itself, as ice::serve() does

    // The next message among the bytes that have arrived, without waiting. None if no message is
    // whole, or if limits::batch or limits::batch_bytes is reached: fill() begins the next batch.
    std::optional<message> next()
        requires(!detail::handles<P>)
    {
        while (!batch_is_over()) {
            parsed<message> found = parse();
            if (!take(found)) break;
            if (found.has_message()) return std::move(found.message());
        }
        return std::nullopt;
    }

    // The same for a protocol with handle(), which may wait.
    task<std::optional<message>> handled()
        requires(detail::handles<P>)
    {
        static_assert(detail::is_handled<P, session>,
                      "ice: a protocol with a message_type and no parse() has "
                      "handle(std::string_view, ice::session<P>&), which returns a task of "
                      "ice::parsed<message_type>");
        while (!batch_is_over()) {
            parsed<message> found = co_await protocol_.handle(bytes().data(), *this);
            if (!take(found)) break;
            if (found.has_message()) co_return std::move(found.message());
        }
        co_return std::nullopt;
    }

    // What receive() would return without waiting: none if no message is whole, the batch is over,
    // or the protocol may wait for it.
    std::optional<message> arrived() {
        if constexpr (detail::handles<P>) return std::nullopt;
        else return next_and_flush();
    }

    // Appends an answer to those that the next write sends. If the protocol cannot express it, the
    // connection ends when the answers before it are sent.
    template <class A>
    [[gnu::always_inline]] void answer(const A& m) {
        if (const error_code ec = append(m)) fail_unencodable(ec);
        end_long_batch();
    }
    // The same, but sends `instead(error)` in place of an answer that the protocol cannot express.
    template <class A, class F>
    void answer(const A& m, F&& instead) {
        if (const error_code ec = append(m)) {
            count_unencodable();
            if (const error_code again = append(instead(ec))) fail_unencodable(again);
        }
        end_long_batch();
    }

    // Sends what the kernel takes of a message at once; the rest goes out while receive() or fill()
    // waits. Returns the error of packet(), if the protocol refuses the message: nothing was sent.
    // A lost connection is reported by the next wait.
    template <class A>
    error_code begin_send(const A& m) {
        const error_code ec = append(m);
        if (!ec) try_flush();
        return ec;
    }

    // Runs the protocol's log-in and handshake, if it has them, for at most `limit`. Then the
    // connection is cancelled with errc::handshake_timeout, and the handshake with it
    // (asio::cancellation_type::terminal), whatever it waits for. A handshake that disables its
    // cancellation holds its connection until it ends, as it uses the session.
    task<error_code> shake_hands(duration limit) {
        static_assert(
            detail::shakes_hands<P, session> || !detail::names_handshake<P, session>,
            "ice: handshake() is called with (ice::session<P>&), and returns a task of error_code "
            "or bool");
        // Other protocols need no larger frame, which would leave a gap in the memory of each
        // connection.
        if constexpr (detail::shakes_hands<P, session> || detail::logs_in<P>) {
            std::size_t replies = 0;  // of a log-in
            if constexpr (detail::logs_in<P>) replies = protocol_.log_in(bytes().out());
            if (detail::shakes_hands<P, session> || replies != 0) {
                error_code said;
                auto work = run_handshake(replies, said);
                auto runs = run_within(limit, std::move(work), said);
                co_await std::move(runs);
                asked_ = received_ = 0;
                if (said) co_return said;
            }
        }
        co_return failed();
    }

    // Runs the protocol's reset(), for at most `limit`, as a handshake. Requires: it has one.
    task<error_code> reset(duration limit) {
        static_assert(detail::resets<P, session> || !detail::names_reset<P, session>,
                      "ice: reset() is called with (ice::session<P>&), and returns a task of "
                      "error_code");
        error_code said;
        if constexpr (detail::resets<P, session>) {
            auto work = run_reset(said);
            auto runs = run_within(limit, std::move(work), said);
            co_await std::move(runs);
        }
        co_return said ? said : failed();
    }

    bool skip_input() override {
        if constexpr (detail::says_if_reusable<P>) {
            if (!protocol_.is_reusable()) return false;
        }
        if constexpr (!detail::handles<P>) {
            const bool was_sent = bytes().unsent() == 0;
            while (!bytes().data().empty() && !failed()) {
                const parsed<message> found = parse();
                if (found.has_message() || !take(found)) break;
            }
            if (was_sent) try_flush();
        }
        return session_base::skip_input();
    }

    P& protocol() noexcept { return protocol_; }

private:
    // A protocol that answers by itself may have answered what stood before the message. A pool
    // uses the connection again only if all is sent; the rest of a request is not sent here.
    std::optional<message> next_and_flush() {
        if constexpr (detail::parses<P>) return next();
        const bool was_sent = bytes().unsent() == 0;
        std::optional<message> m = next();
        if (m && was_sent && bytes().unsent() != 0) try_flush();
        return m;
    }

    task<> run_handshake(std::size_t replies, error_code& said) {
        for (; replies != 0 && !said; --replies) {  // receive() sends the log-in
            const auto reply = co_await receive();
            if constexpr (detail::logs_in<P>)
                said = reply ? protocol_.logged_in(*reply) : reply.error();
        }
        if (said) co_return;
        if constexpr (detail::shakes_hands<P, session>) {
            const auto answer = co_await protocol_.handshake(*this);
            if constexpr (!std::same_as<decltype(answer), const bool>) said = answer;
            else if (!answer) said = errc::handshake_failed;
        }
    }

    task<> run_reset(error_code& said)
        requires(detail::resets<P, session>)
    {
        said = co_await protocol_.reset(*this);
    }
    // Runs `work`, which sets `said`, and cancels it after `limit`.
    task<> run_within(duration limit, task<> work, error_code& said) {
        const time_point until = after(now(), limit);
        set_deadline(until, errc::handshake_timeout);
        bytes().deadline(until, errc::handshake_timeout);
        auto in_time = cancel_at(executor(), bytes().net().deadlines(), until, std::move(work));
        if (!co_await std::move(in_time)) said = errc::handshake_timeout;
        set_deadline(never, errc{});
    }

    template <class A>
    task<error_code> send_own(A m) {
        if (const error_code ec = append(m)) co_return ec;
        const error_code ec = co_await sent();  // mutant: asked_is_sent
        co_return ec;
    }

    template <class A>
    [[gnu::always_inline]] error_code append(const A& m) {
        const error_code ec = packet(protocol_, m, bytes().out());
        if (!ec) ++asked_;  // mutant: count_asked
        return ec;
    }

    parsed<message> parse() {
        if constexpr (detail::parses<P>) return protocol_.parse(bytes().data());
        else return protocol_.parse(bytes().data(), bytes().out());
    }

    // Consumes what parse() found. Returns false if it found nothing, or an error, which then ends
    // the session.
    bool take(const parsed<message>& found) {
        if (found.failed()) {
            fail(found.error());
            return false;
        }
        if (found.size() > bytes().data().size() || (found.has_message() && found.size() == 0))
            throw std::logic_error("parse() took more bytes than it was given, or none");
        if (found.size() == 0) return false;
        bytes().consume(found.size());
        if (found.has_message()) begin_message();
        else skipped(found.is_unfinished());
        return true;
    }

    P protocol_;
};

}  // namespace ice
