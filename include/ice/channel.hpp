// channel: one connection as a stream of bytes, without messages. Sessions call its virtual
// functions once per burst, never per message. TCP and Unix sockets are in lib/transport/, the
// channel of simulations in lib/testing/.
#pragma once

#include <asio/cancellation_signal.hpp>
#include <cstdint>
#include <ice/address.hpp>
#include <ice/detail/buffer.hpp>
#include <ice/detail/deadline.hpp>
#include <ice/detail/export.hpp>
#include <ice/error.hpp>
#include <ice/task.hpp>
#include <memory>
#include <string>
#include <string_view>

namespace ice {

class transport;

// An error_code that co_await returns. It has a type of its own, as Asio would throw a plain
// error_code that is the first argument of a completion.
struct io_status : error_code {
    io_status() = default;
    io_status(error_code ec) : error_code(ec) {}
    io_status(errc e) : error_code(make_error_code(e)) {}
};

// A task that returns that io_status without waiting.
ICE_API task<io_status> ready(io_status);

// Call it only on the thread of the transport's executor. One coroutine may wait in fill() while
// another waits in flush().
class ICE_API channel {
public:
    // The transport must outlive the channel.
    explicit channel(transport& net);
    // Closes the connection at once. What is in out() is lost: see flush() and linger().
    virtual ~channel();
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;

    // -- receiving

    // The bytes that are received and not yet consumed. Valid until the next fill() or
    // release_buffers(): consume() moves no byte.
    std::string_view data() const noexcept { return in_.data(); }
    // Removes the first `n` bytes from data(). Requires: n <= data().size().
    void consume(std::size_t n) noexcept {
        in_.consume(n);
        ++consumed_;
    }

    // How often consume() was called, modulo 2^32. It grows with each message, and with bytes that
    // are none.
    std::uint32_t consumed() const noexcept { return consumed_; }

    // Limits one read to `n` bytes, and with it the bytes that are received and not parsed. Values
    // below 1 mean 1, values above 1 GiB mean 1 GiB; the default is 64 KiB.
    void read_at_most(std::size_t n) noexcept;

    // Says whether a message has begun whose rest the next fill() waits for. If so, a drain lets
    // that fill() go on until the rest arrives.
    void expect_rest(bool has_begun) noexcept { in_message_ = has_begun; }
    // Whether a fill() during a drain has read all that had arrived, and then waited for the rest
    // of a message.
    bool has_waited_in_drain() const noexcept { return waited_in_drain_; }

    // Waits until more bytes have arrived, and appends them to data(). At the end of the stream it
    // returns errc::closed, or errc::truncated if data() is not empty. Other errors are those of
    // drain(), cancel() and the socket, and asio::error::operation_aborted if the waiting coroutine
    // is cancelled. Requires: no other fill() is pending.
    virtual task<io_status> fill() = 0;

    // Whether no byte is unread, here or in the kernel, and the peer has not closed. Never waits.
    // A pool calls it before it leases an idle connection: a byte that no request caused would be
    // taken for the reply to the next one.
    virtual bool has_no_input() noexcept = 0;

    // Appends bytes that have arrived to data(), by one read that does not wait. Returns false if
    // there are none, the peer has closed, or the channel cannot do this, as by default. A pool
    // calls it if has_no_input() returns false. Requires: no fill() is pending.
    virtual bool read_arrived() { return false; }

    // From now on the connection ends with its peer: if the peer closes its sending side or resets
    // while no fill() waits, the channel cancels itself with errc::closed and calls end_user(). The
    // default does nothing, for a channel that cannot learn of it.
    virtual void end_with_peer() {}

    // -- sending

    // The bytes to send: append to them, then call a flush function. The reference is valid as long
    // as the channel. The flush functions remove what the kernel has taken, so remember no offset
    // across one.
    std::string& out() noexcept { return out_; }
    // Called before a message that is pushed: from the second of a burst on it reserves memory for
    // more of them, as the little that the string has would grow step by step.
    void reserve_out() {
        constexpr std::size_t some = 512;
        if (!out_.empty() && out_.capacity() < some) out_.reserve(some);
    }

    // Sends without waiting. Returns true if the kernel has taken all of out(). Otherwise flush()
    // waits for the rest, or returns the error that prevented it.
    // An implementation that finds no room calls begin_stall() before it returns false, and
    // end_stall() when there is room again. The write timeout runs between these two calls, also
    // while no coroutine waits in flush(); end_stall() wakes flush().
    virtual bool try_flush() = 0;

    // Waits until the kernel has taken all of out(). Sets the channel's deadline to `latest`, and
    // returns `why` when it expires. Returns errc::write_timeout after `timeout` without progress
    // (see write_timeout()), or the error of cancel() or the socket.
    task<io_status> flush(duration timeout, time_point latest, errc why);

    // Sends without waiting. If the kernel does not take all, waits until it has room for more, or
    // the channel ends; out() may still hold bytes then. The channel may be destroyed meanwhile.
    task<error_code> wait_for_room();

    // Sets the write timeout. If the peer takes no byte for that long while some wait to be sent,
    // the channel cancels itself with errc::write_timeout, also while no coroutine waits on it. A
    // byte counts as taken when the peer's system has acknowledged it (Linux: SIOCOUTQ), so a peer
    // that reads slowly but steadily is not closed. The default is no timeout, as for no_timeout.
    // The timeout is rounded down to whole milliseconds, from 1 ms to 49 days.
    void write_timeout(duration) noexcept;

    // Posts a handler to the loop that calls try_flush(). Posts one only, however often it is
    // called before that handler runs. Throws std::bad_alloc.
    void flush_soon() {
        if (!flushing_soon_) flush_soon_once();
    }

    // Bytes of out() that the kernel has not taken yet.
    virtual std::size_t unsent() const noexcept { return out_.size(); }
    // Bytes that the kernel has taken since the connection was made.
    std::uint64_t sent() const noexcept { return sent_; }

    // -- time

    // Sets the channel's deadline: at `at` the channel cancels itself with `why`. It replaces the
    // deadline before; `never` removes it.
    void deadline(time_point at, errc why);

    // Sets the deadline to `span` after `now`. If consume() was called before it expires, or `why`
    // is errc::idle_timeout and bytes are unsent, it is renewed for another `span` instead, so the
    // channel is cancelled between one and two spans after the last message. That saves a reading
    // of the clock for each message.
    void deadline_between_messages(time_point now, duration span, errc why);

    // -- the end

    // Releases the memory of buffers that hold no byte. An idle connection calls it.
    virtual void release_buffers() {}

    // Ends reading. fill() still appends the bytes that have arrived, here or in the kernel, and
    // the rest of a message that has begun to arrive by then (expect_rest()). After that it returns
    // `why`; if drain() is called twice, the first `why`. Sending goes on.
    virtual void drain(error_code why) = 0;

    // Ends everything: each call that waits on this channel, now or later, returns `why`. If
    // cancel() is called twice, the first `why` counts. Calls that wait return through the loop,
    // never within cancel(), so any code on the loop's thread may call it.
    virtual void cancel(error_code why) = 0;
    // The same at the end of a deadline that is not the channel's own: reopen() can take it back.
    // If the channel is cancelled already, closes the connection, as whoever uses it goes on; with
    // errc::logic_timeout it calls end_user() first.
    void expire(errc why);
    // The code that uses this channel is to end: emits asio::cancellation_type::terminal to
    // cancels(), and closes the connection if the channel is still there a second later. That code
    // may end, and destroy the channel, within this call. Requires: the channel is cancelled.
    void end_user() noexcept;
    // Sets the signal for end_user(), and for errc::logic_timeout of a deadline; null for none. It
    // must outlive the channel or the next call.
    void cancels(asio::cancellation_signal* s) noexcept { user_ = s; }
    // The `why` of cancel(), or no error.
    error_code cancelled() const noexcept { return cancelled_; }

    // If a deadline has cancelled the channel while no byte was left to send, makes it usable
    // again, for a last message and linger(), and returns true. Requires: no call waits on it.
    bool reopen() noexcept;

    // Closes the sending side (shutdown(2), SHUT_WR), drops what still arrives, and waits until the
    // peer has closed too, for at most `timeout` and 1 MiB. If bytes of the peer were unread at a
    // plain close, the kernel would send a reset, which can destroy the last answer on its way.
    // Returns at once if the connection has ended. Requires: unsent() == 0.
    virtual task<> linger(duration timeout) = 0;

    // The address of the other end: its IP address and port. For a Unix socket it is unix:(peer),
    // as clients have no path.
    virtual address peer() const = 0;
    // peer().ip(), without the text that peer() makes.
    virtual ip_bytes peer_ip() const { return peer().ip(); }

    transport& net() const noexcept { return net_; }

protected:
    // Closes the connection while the channel goes on to exist, cancelled.
    virtual void shut() noexcept {}
    // For end_with_peer(): the peer has ended, and no fill() waits. The channel may be destroyed
    // within this call.
    void ended_by_peer();
    // For implementations: a write found no room. Starts the write timeout.
    void begin_stall();
    // There is room again, or the channel has ended. Stops the write timeout and wakes flush().
    void end_stall() noexcept;
    // How many of the bytes of sent() the peer's system has acknowledged.
    virtual std::uint64_t taken() const noexcept { return sent_; }

    // Memory behind data() to read into. Its size follows what earlier reads have filled.
    buffer::room room();
    // Appends the first `n` bytes of room() to data(). Requires: n <= its size.
    void received(std::size_t n) noexcept;

    transport& net_;
    buffer in_;
    std::string out_;
    std::uint64_t sent_ = 0;
    error_code cancelled_;

private:
    friend class transport;
    struct stall;
    std::uint32_t chunk() const noexcept;  // bytes that the next read asks for
    static void fire(void* self);
    static void stall_timer(void* self);
    void flush_soon_once();

    ice::deadline timer_;
    // Each idle connection has these: they are as small as they can be.
    std::uint32_t span_ = 0;      // ms, of deadline_between_messages(); 0 for deadline()
    std::uint32_t consumed_ = 0;  // calls of consume()
    std::uint32_t seen_ = 0;      // consumed_ when the span began
    std::uint32_t chunk_most_;    // read_at_most()
    std::uint8_t why_{};          // the deadline's errc: one byte keeps idle connections small
    bool flushing_soon_ : 1 = false;
    bool expired_ : 1 = false;        // a deadline has cancelled it, and no byte was left to send
    bool user_ends_ : 1 = false;      // end_user() was called
    std::uint8_t doublings_ : 5 = 0;  // of the first read, for the next one

protected:  // here they fill padding
    bool in_message_ = false;
    bool waited_in_drain_ = false;

private:
    std::uint32_t write_timeout_ = 0;  // ms; 0: none
    std::unique_ptr<stall> stall_;     // made by the first begin_stall()
    asio::cancellation_signal* user_ = nullptr;
};

}  // namespace ice
