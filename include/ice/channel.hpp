// channel: one connection as a stream of bytes, without messages. Virtual functions are called once
// per burst, never per message. TCP and Unix sockets are in lib/transport/.
#pragma once

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

// An error_code that co_await returns: Asio throws a plain error_code.
struct io_status : error_code {
    io_status() = default;
    io_status(error_code ec) : error_code(ec) {}
    io_status(errc e) : error_code(make_error_code(e)) {}
};

// A task that returns that io_status without waiting.
ICE_API task<io_status> ready(io_status);

class ICE_API channel {
public:
    explicit channel(transport& net);
    virtual ~channel();  // closes
    channel(const channel&) = delete;
    channel& operator=(const channel&) = delete;

    // -- receiving

    // Received and not yet consumed. Valid until the next fill().
    std::string_view data() const noexcept { return in_.data(); }
    void consume(std::size_t n) noexcept {
        in_.consume(n);
        ++consumed_;
    }

    // Limits one read to `n` bytes, and with it the bytes that are received and not parsed.
    void read_at_most(std::size_t n) noexcept;

    // Whether the next fill() waits for the rest of a message: then it goes on in a drain.
    void expect_rest(bool has_begun) noexcept { in_message_ = has_begun; }
    // A fill() in a drain has read all that had arrived, and then waited for the rest of a message.
    bool has_waited_in_drain() const noexcept { return waited_in_drain_; }

    // Waits until more bytes have arrived. At the end of the stream it returns errc::closed, or
    // errc::truncated if data() is not empty; otherwise the error of drain(), cancel() or the
    // socket. Requires: no other fill() is pending.
    virtual task<io_status> fill() = 0;

    // Whether no byte is unread and the peer has not closed. Never waits.
    virtual bool has_no_input() noexcept = 0;

    // -- sending

    // The bytes to send: append to them, then call a flush function.
    std::string& out() noexcept { return out_; }

    // Sends without waiting. True if all is out; if not, flush() waits for the rest, or knows why.
    // An implementation that finds no room calls begin_stall() before it returns false, and
    // end_stall() when there is room again: the write timeout begins and ends there, also when
    // nobody waits in flush(), and end_stall() wakes it.
    virtual bool try_flush() = 0;

    // Waits until all is out. errc::write_timeout after `timeout` without progress (see
    // write_timeout()), or `why` at `latest`, which becomes the channel's deadline.
    task<io_status> flush(duration timeout, time_point latest, errc why);

    // A channel whose peer takes no byte for so long while some wait to be sent is cancelled with
    // errc::write_timeout, whoever waits for it, and also if nobody does. A byte counts as taken
    // when the peer's system has acknowledged it (Linux: SIOCOUTQ), so a peer that reads slowly
    // but steadily is not closed. None by default, and for no_timeout; in whole milliseconds, at
    // most 49 days.
    void write_timeout(duration) noexcept;

    // Flushes as soon as the running handler gives way: however often it is called meanwhile.
    void flush_soon() {
        if (!flushing_soon_) flush_soon_once();
    }

    // Bytes that are not yet with the kernel.
    virtual std::size_t unsent() const noexcept { return out_.size(); }
    // Bytes that the kernel has taken since the beginning.
    std::uint64_t sent() const noexcept { return sent_; }

    // -- time

    // At `at` the channel is cancelled with `why`. Replaces the one before.
    void deadline(time_point at, errc why);

    // The same, `span` from `now`, and again from each time that something was consumed meanwhile.
    void deadline_between_messages(time_point now, duration span, errc why);

    // -- the end

    // Nothing is going on and nothing is waited for, for a while: what was allocated is given back.
    virtual void release_buffers() {}

    // What is received already, here or in the kernel, can still be read, and the rest of a message
    // that has begun to arrive by then (expect_rest()); then fill() says `why`. Sending goes on.
    // The first why counts.
    virtual void drain(error_code why) = 0;

    // Everything that waits on this channel, now or later, ends with `why`; the first why counts.
    virtual void cancel(error_code why) = 0;
    // Why it was cancelled, or no error.
    error_code cancelled() const noexcept { return cancelled_; }

    // Says that nothing more will be sent, and waits until the peer has closed too, for `timeout`
    // at most: so the peer gets the tail of an answer. Requires: all is flushed.
    virtual task<> linger(duration timeout) = 0;

    virtual address peer() const = 0;
    // The same without the port, and without a text on the way.
    virtual ip_bytes peer_ip() const { return peer().ip(); }

    transport& net() const noexcept { return net_; }

protected:
    // A write found no room: from here on the peer has its write timeout to take a byte.
    void begin_stall();
    // There is room again, or the channel has ended: wakes flush().
    void end_stall() noexcept;
    // How many of the bytes of sent() the peer's system has taken.
    virtual std::uint64_t taken() const noexcept { return sent_; }

    // The room to read into, sized by what reads have filled lately.
    buffer::room room();
    // `n` bytes have been read into it.
    void received(std::size_t n) noexcept;

    transport& net_;
    buffer in_;
    std::string out_;
    std::uint64_t sent_ = 0;
    error_code cancelled_;

private:
    friend class transport;
    struct stall;
    static void fire(void* self);
    static void stall_timer(void* self);
    void flush_soon_once();

    ice::deadline timer_;
    duration span_{};  // of deadline_between_messages
    std::uint32_t consumed_ = 0;
    std::uint32_t seen_ = 0;  // consumed_ when the span began
    std::uint32_t chunk_;     // what the next read asks for
    std::uint32_t chunk_most_;
    std::uint8_t why_{};  // an errc: one byte keeps idle connections small
    bool flushing_soon_ = false;

protected:  // here, where there is room for them
    bool in_message_ = false;
    bool waited_in_drain_ = false;

private:
    std::uint32_t write_timeout_ = 0;  // ms; 0: none
    std::unique_ptr<stall> stall_;     // since the first one
};

}  // namespace ice
