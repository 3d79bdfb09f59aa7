// pipeline: requests of several callers at once on one connection of a pool. Replies arrive in the
// order of the requests. The request of a caller that has left stays in the order, so that its
// reply is dropped and never assigned to the next caller.
#pragma once

#include <cassert>
#include <ice/detail/deadline.hpp>
#include <ice/detail/pool_base.hpp>
#include <ice/detail/until_resumed.hpp>
#include <optional>

namespace ice {

// The entry of one caller. It lives in the caller's coroutine, which may be destroyed at any
// time; the destructor then takes the caller out of its request.
class ICE_API pending_request {
public:
    pending_request() = default;
    virtual ~pending_request();
    pending_request(const pending_request&) = delete;
    pending_request& operator=(const pending_request&) = delete;

    // Whether the reply or the error is there.
    bool is_over() const noexcept { return line_ == nullptr; }
    // Waits for that, and is resumed in place. Requires: !is_over().
    task<> wait();
    // Lets the caller run until it waits again. Its entry may be destroyed meanwhile.
    // Requires: is_over().
    virtual void resume();
    // The same in a turn of the loop.
    virtual void resume_later(const asio::any_io_executor&) noexcept;
    // For an entry that is used again. Requires: is_over().
    void reset() noexcept;
    // The end of the caller's timeout.
    time_point until() const noexcept { return until_; }

    error_code failed = errc::request_timeout;  // the error, unless a reply was assigned
    bool is_unsent = false;                     // no byte of the request was sent
    std::size_t unparsed = 0;                   // see failure::unparsed()
    time_point ended{};                         // when its reply was there

private:
    friend class pipeline;
    struct start_wait;
    void cancel();
    void end() noexcept;

    std::optional<resumption> waiting_;
    time_point until_ = never;
    pipeline* line_ = nullptr;  // the pipeline that has its request; null when it is over
    bool is_cancelled_ = false;
};

// A pipeline begins with a request on a free connection. It ends when each request has had its
// reply; then the connection goes back to the pool. pool::assign_replies(), which receives, owns
// it.
class pipeline {
public:
    // Tells the callers that wait of the room that a caller has found, unless it joins a pipeline.
    class room_guard {
    public:
        room_guard(pool_base& p, const pending_request& k) noexcept : pool_(p), caller_(k) {}
        ~room_guard() {
            if (caller_.is_over()) tell();
        }
        room_guard(const room_guard&) = delete;
        room_guard& operator=(const room_guard&) = delete;

    private:
        ICE_API void tell() noexcept;

        pool_base& pool_;
        const pending_request& caller_;
    };

    ICE_API explicit pipeline(pool_base::connection_lease);
    // Ends the requests that are left with the error of fail(), or with errc::not_sent for those of
    // which no byte was sent. The connection goes back to the pool if none is left.
    ICE_API ~pipeline();
    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;

    session_base& session() const noexcept { return lease_.session(); }
    const std::shared_ptr<struct upstream>& upstream() const noexcept { return lease_.upstream(); }

    // Adds a request at the end of the order. Its bytes were pushed behind the first `begin` bytes
    // of the connection. The caller waits until `until`. Returns is_full(). If it throws, the
    // connection has ended, as the reply to those bytes would go to another caller.
    ICE_API bool join(pending_request&, std::uint64_t begin, time_point until, time_point now);

    session_connection& connection() const noexcept { return lease_.connection(); }
    // Whether no caller may add bytes before some are sent: pool_limits::outbox.
    ICE_API bool is_full() const noexcept;

    // Requests without a reply.
    std::size_t size() const noexcept { return asked_.size(); }

    // The three functions below are about the oldest request. Requires: size() != 0.
    // Its caller, or null if the caller has left.
    pending_request* caller() const noexcept { return asked_.front().caller; }
    // Whether the kernel has taken a byte of it: a reply before that answers nothing.
    bool is_sent() const noexcept { return asked_.front().begin < session().bytes().sent(); }
    // When the connection is given up if it still has no reply: at the end of the caller's timeout
    // or of pool_timeouts::request, whichever is later.
    time_point due() const noexcept { return asked_.front().due; }

    // Removes the oldest request, whose reply was there at that instant. Returns its caller, to be
    // resumed, or null if the caller has left. Requires: size() != 0.
    ICE_API pending_request* pop_oldest(time_point);

    // Sets the error of the requests that are left when the pipeline ends.
    void fail(error_code why) noexcept { why_ = why; }

private:
    friend class pending_request;

    // Ends the waits of callers whose time is over, and of those that were cancelled.
    ICE_API static void end_late(void* self);
    ICE_API void end_late_soon();
    // Bytes that have arrived of the reply to that request: 0 unless it is the oldest one.
    ICE_API std::size_t unparsed_of(const pending_request&) const noexcept;

    pool_base::connection_lease lease_;
    deadline late_;  // the earliest end of a caller's time, or earlier; now if one is cancelled
    requests_in_order& asked_;
    error_code why_ = errc::stopped;
};

}  // namespace ice
