// session_base: the part of a session that does not depend on its protocol, compiled once in
// lib/conversation/session_base.cpp: its deadlines, its batches, and the bytes it has not sent yet.
#pragma once

#include <asio/error.hpp>
#include <exception>
#include <ice/channel.hpp>
#include <ice/detail/export.hpp>
#include <ice/detail/task_group.hpp>
#include <ice/limits.hpp>
#include <ice/transport.hpp>
#include <ice/uid.hpp>
#include <map>
#include <memory>
#include <stdexcept>

namespace ice {

class listener_base;
class session_base;

// What one session has spawned. Each spawned coroutine shares `lifetime`. If a session ends without
// them, as memory ran out or the loop was destroyed, the last of them destroys it.
struct ICE_API spawned_work {
    struct session_lifetime {
        std::shared_ptr<void> owner;
        std::unique_ptr<session_base> session;  // none while its connection's coroutine owns it
    };

    spawned_work(const asio::any_io_executor& executor, std::shared_ptr<void> owner);

    std::shared_ptr<session_lifetime> lifetime;
    task_group group;
};

// What many sessions share.
struct session_settings {
    ice::limits limits;
    ice::timeouts timeouts;
    std::uint64_t messages = 0;     // received
    std::uint64_t outbox_full = 0;  // pushes refused
    std::uint64_t unencodable = 0;  // answers

    listener_base* listener = nullptr;  // that accepted them; null in pools and links
    // What sessions have spawned. Few sessions spawn, so that an idle one has no pointer for it.
    std::map<const session_base*, spawned_work> spawned{};
    // Sessions receive while they send, as long as fewer bytes than this are unsent. In a pool it
    // is `unlimited`, and limits::outbox does not count the message that is pushed.
    std::size_t duplex_below = 0;
    bool stopped = false;  // stop() was called: sessions begin nothing, and send nothing
    // Called with an exception of a spawned coroutine. Null in pools.
    void (*spawned_threw)(session_base&, std::exception_ptr) noexcept = nullptr;
    // Returns what must live as long as a spawned coroutine: the listener or the link. Null in
    // pools.
    std::shared_ptr<void> (*hold_owner)(session_base&) = nullptr;
};

// Whether an error is of a socket: the connection is broken, and nothing reaches the peer.
ICE_API bool is_of_socket(error_code) noexcept;
// Whether the peer has ended the connection: an error of a socket, errc::closed or truncated.
ICE_API bool is_of_peer(error_code) noexcept;

class ICE_API session_base {
public:
    session_base(std::unique_ptr<channel> bytes, ice::uid id, session_settings& settings) noexcept;
    session_base(const session_base&) = delete;
    session_base& operator=(const session_base&) = delete;
    virtual ~session_base();

    ice::uid uid() const noexcept { return uid_; }
    address peer() const { return channel_->peer(); }

    // The steady clock of the transport, virtual in a simulation.
    time_point now() const { return channel_->net().now(); }
    task<> sleep(duration span) { return channel_->net().sleep(span); }
    // A limit on that clock, for all() and first_of().
    time_limit within(duration span) { return channel_->net().within(span); }

    // Runs a coroutine beside the logic, such as one that pushes something at intervals. It begins
    // when the caller has returned to the loop, and may use this session until it ends.
    // When the session ends, it cancels the coroutine (asio::cancellation_type::terminal) and waits
    // for its end, before it calls closed() of the logic. stop() of the server or the listener
    // cancels it at once, also while a logic runs. Then what the coroutine waits for returns or
    // throws asio::error::operation_aborted, and each later co_await throws it (as
    // std::system_error): let that leave the coroutine. One that catches it in a loop holds the
    // connection and the loop's thread.
    // Another exception that leaves the coroutine counts as one of the logic
    // (listener_counters::logic_threw), and closes the connection as close() does.
    // The coroutine may call push(), sleep(), close() and pools. Requires: it does not call send()
    // or receive(), which belong to the logic. The session is never destroyed before the coroutine,
    // so one that disables its cancellation holds the connection until it ends.
    // If the session is not between opened() and closed() of its logic, or close() or stop() was
    // called, it destroys `work` at once. Throws std::logic_error for a pool's session.
    void spawn(task<> work);

    // For Asio's own functions: timers, other sockets, co_spawn.
    const asio::any_io_executor& executor() const noexcept { return channel_->net().executor(); }

    // Closes the connection gracefully. The session takes no further message: a pending receive()
    // returns errc::stopped. When the running logic returns, the session sends what was pushed and
    // answered by then, for at most timeouts::write, and closes the connection. The listener does
    // not find this session any more. In a pool the end of the lease closes the connection, and
    // bytes that the kernel has not taken are lost: call send() before, which waits for them.
    void close();

    // -- for loops such as serve()

    ice::channel& bytes() noexcept { return *channel_; }

    // The listener that accepted this connection. Throws std::logic_error for a session of a
    // pool or a link.
    listener_base& owner() const;
    const session_settings& settings() const noexcept { return settings_; }
    // Whether it can spawn coroutines, as the sessions of listeners and links can.
    bool can_spawn() const noexcept { return settings_.spawned_threw != nullptr; }

    // Sends what was answered and pushed so far, in one write. False if bytes are left.
    bool try_flush() { return channel_->try_flush(); }
    task<io_status> flush();

    // Sends all answers, then waits until next() may have a message: until more bytes arrive, or
    // for the next batch. Ends by timeouts::write, then by timeouts::idle, or by timeouts::message
    // from the first byte of an unfinished message; or by set_deadline() instead.
    // A session of a pool or a link receives while it sends (session_settings::duplex_below): its
    // peer may not read the rest of a message before its answer is read. timeouts::write applies to
    // both.
    task<io_status> fill() {
        const bool reads = try_flush() || channel_->unsent() < settings_.duplex_below;
        return reads ? fill_flushed() : flush_and_fill();  // mutant: back_pressure
    }

    // Whether nothing has arrived that may be a message, and the peer has not closed. Never waits.
    // It consumes bytes that are no part of a message, such as telnet's options, and sends the
    // protocol's answers to them. More of them than one read takes count as input, and so do bytes
    // for which the protocol throws.
    bool has_no_input() noexcept;
    // Consumes such bytes of data(). Returns whether no others are left, nor a part of a message.
    // Throws what the protocol throws.
    virtual bool skip_input() { return channel_->data().empty() && !is_in_partial_message(); }

    // Sets a deadline in place of the timeouts: every wait of this session ends at `until` with
    // `why`. With `never` and a `why` no wait ends. `never` with errc{} removes the deadline and
    // restores the timeouts.
    void set_deadline(time_point until, errc why) noexcept;

    // If a timeout has ended the session, and no byte was left to send, takes back that the channel
    // was cancelled, and returns true: closed() of the logic can push a last message.
    bool reopen() noexcept;

    // Sends what is left and closes the connection gracefully, at the end of a conversation that
    // ended with `why`. A peer that has closed, or is lost, gets nothing more.
    task<> finish(error_code why);

    // Destroys a session, but not before each coroutine that it has spawned is destroyed: cancels
    // those that still run.
    static void destroy(std::unique_ptr<session_base>) noexcept;

    // As spawn(), but `work` runs at once, until it first waits, and also after close(). Requires:
    // the call comes between opened() and closed() of the logic.
    void start(task<> work);
    // Whether spawn() or start() was called.
    bool has_spawned() const noexcept { return has_spawned_; }
    // The session is not established any more: cancels what was spawned, and returns when all of it
    // has ended.
    task<> end_established();

    // Messages sent, and messages received, since the handshake or the lease began. Equal numbers
    // prove that each exchange is complete: further messages come unasked.
    std::uint32_t asked() const noexcept { return asked_; }
    std::uint32_t received() const noexcept { return received_; }
    bool is_untouched() const noexcept { return asked_ == 0 && received_ == 0; }
    // Counts both anew, for the next lease.
    void begin_lease() noexcept {
        asked_ = received_ = 0;
        ends_idle_ = false;
    }
    // Ends the lease when it has nothing to wait for: receive() returns errc::draining, now or
    // later, when each message sent has had its reply.
    void drain_when_idle();

    // Whether the session is between its handshake and its end, and close() was not called. The
    // code that runs the session says so.
    bool is_established() const noexcept { return established_; }
    void set_established(bool is) noexcept { established_ = is; }
    // A message was consumed in part, or its first bytes have been seen.
    bool is_in_partial_message() const noexcept { return in_partial_message_ || begun_ != never; }

    // The error that ends the conversation, of the protocol, close(), receive() or send(); none
    // before.
    error_code failed() const noexcept { return failed_; }
    // Whether requests that were received are with the logic, so that the peer is not idle.
    void answering(bool is);
    // The peer is not waited for: its deadline ends, until the next fill().
    void expects_nothing();
    // The code that runs the session receives all messages itself: receive() throws.
    void receives_alone(bool does) noexcept { receives_alone_ = does; }

    // Reading ends: fill() returns `why`. A message that is not whole is not waited for.
    void end_reading(error_code why);

    // Whether failed() is of an answer that could not be packed.
    bool is_unencodable() const noexcept { return unencodable_; }

    // Starts timeouts::logic for a logic that may wait. Each further message of the burst has it
    // anew, up to twice as long, as the clock is not read for every message.
    void arm_logic_timeout();
    // stop() was called: cancels a logic that waits, by asio::cancellation_type::terminal, and
    // closes the connection in a second whatever the logic does. The session may end, and destroy
    // itself, within this call.
    void end_logic() noexcept;
    // The logic is not called any more: nothing cancels the coroutine that runs the session.
    void no_logic_runs() noexcept {
        logic_timeout_armed_ = false;
        channel_->cancels(nullptr);
    }
    // The logic has returned.
    void disarm_logic_timeout() noexcept { logic_timeout_armed_ = false; }

protected:
    void begin_message() noexcept {
        begun_ = never;
        in_partial_message_ = false;
        --batch_;
        ++received_;
        ++settings_.messages;
    }
    // Bytes were consumed that are no message; `is_partial` if they belong to an unfinished one.
    void skipped(bool is_partial) noexcept {
        in_partial_message_ = is_partial;
        if (!is_partial) begun_ = never;
    }
    // No further message is taken. After an answer that could not be packed, the peer would take
    // each that follows for the one before it.
    bool batch_is_over() const noexcept { return batch_ == 0 || failed_ || channel_->cancelled(); }
    // After an answer: so many bytes are gathered that they go out before the next message.
    void end_long_batch() noexcept {
        if (channel_->out().size() >= settings_.limits.batch_bytes) batch_ = 0;
    }
    void fail(error_code why) noexcept { failed_ = why; }
    // An answer cannot be packed, nor what was to go in its place.
    void fail_unencodable(error_code why) noexcept;
    void count_unencodable() noexcept { ++settings_.unencodable; }
    // After a push, whose bytes begin at `before`: they are to be sent soon, or taken back.
    error_code queued(std::size_t before);
    task<error_code> sent();
    // The peer was waited for, which had a deadline of its own: the logic has its time again.
    void rearm_logic_timeout() {
        if (logic_timeout_armed_ && !has_own_deadline()) arm_logic_timeout();
    }
    // Of a lease that its pool's drain has reached: it has nothing to wait for.
    bool ends_idle() const noexcept { return ends_idle_ && is_idle(); }
    void receiving(bool does) noexcept { receiving_ = does; }
    void refuse_second_receiver() const {
        if (receives_alone_)
            throw std::logic_error("receive() in a logic with several messages in flight");
    }
    // fill() or flush() has failed: keeps why, unless only the coroutine that waited was cancelled.
    error_code lost(error_code why) noexcept {
        if (!failed_ && why != asio::error::operation_aborted) failed_ = why;
        return why;
    }

    session_settings& settings_;
    std::uint32_t asked_ = 0;
    std::uint32_t received_ = 0;

private:
    bool is_idle() const noexcept { return asked_ <= received_; }
    bool has_own_deadline() const noexcept { return until_why_ != 0; }
    void add_spawned(task<> work, bool at_once);
    task<io_status> fill_flushed();
    task<io_status> flush_and_fill();

    std::unique_ptr<channel> channel_;
    ice::uid uid_;
    std::uint32_t batch_;  // messages left in it
    // Four bytes, as each idle connection has them.
    std::uint8_t until_why_ = 0;            // an errc
    std::uint8_t filled_at_ = 0;            // the last bits of received_ at the last fill
    bool in_partial_message_ = false;       // an unfinished message has been consumed in part
    bool established_ : 1 = false;          // between its handshake and its end
    bool logic_timeout_armed_ : 1 = false;  // a logic that may wait has a message
    bool receiving_ : 1 = false;            // receive() waits
    bool ends_idle_ : 1 = false;            // see drain_when_idle()
    bool answering_ : 1 = false;            // see answering()
    bool receives_alone_ : 1 = false;       // see receives_alone()
    bool unencodable_ : 1 = false;          // failed_ is of an answer
    bool has_spawned_ : 1 = false;          // settings_.spawned has a group of this session
    time_point begun_ = never;              // when an unfinished message was first seen
    time_point until_ = never;
    error_code failed_;
};

}  // namespace ice
