// pipeline: requests of many callers at once on one connection of a pool. Replies come in the order
// of the requests; who leaves keeps its place, so that its reply is dropped and never shifted.
#pragma once

#include <deque>
#include <ice/detail/pool_base.hpp>
#include <ice/event.hpp>

namespace ice {

// It begins with a request on a connection that is free, and ends, and the connection with it goes
// back to the pool, when there is no request without a reply. Owned by the coroutine that receives.
class pipeline {
public:
    // A caller that has asked. It lives in the caller's coroutine, which may end at any time.
    class pending_request {
    public:
        explicit pending_request(transport& net)
            : over(net.executor()), late_(net.deadlines(), too_late, this) {}
        ICE_API ~pending_request();
        pending_request(const pending_request&) = delete;
        pending_request& operator=(const pending_request&) = delete;

        event over;
        error_code failed = errc::request_timeout;
        std::size_t unparsed = 0;  // see failure::unparsed()

    private:
        friend class pipeline;
        ICE_API static void too_late(void* self);

        deadline late_;
        time_point until_ = never;
        pipeline* line_ = nullptr;  // that will have its reply
    };

    ICE_API explicit pipeline(pool_base::connection_lease);
    ICE_API ~pipeline();  // whoever still waits learns why, and whether its request was sent
    pipeline(const pipeline&) = delete;
    pipeline& operator=(const pipeline&) = delete;

    session_base& session() const noexcept { return lease_.session(); }
    struct upstream& upstream() const noexcept { return lease_.upstream(); }

    // The message that was pushed behind the byte `begin` is this caller's, who waits until
    // `until`.
    ICE_API void join(pending_request&, std::uint64_t begin, time_point until);

    // It takes no more requests: its connection has its age.
    bool is_ending() const noexcept { return lease_.retires() <= lease_.pool().now(); }

    // Replies that are still to come.
    std::size_t size() const noexcept { return asked_.size(); }

    // Of the reply that is next: its caller (null: has left), whether its request is on its way,
    // and when it is too late for the connection to be worth anything.
    pending_request* caller() const noexcept { return asked_.front().caller; }
    bool is_sent() const noexcept { return asked_.front().begin < session().bytes().sent(); }
    time_point due() const noexcept { return asked_.front().due; }

    // It has come.
    ICE_API void disarm_logic_timeout();

    // Why it ends before the last reply.
    void fail(error_code why) noexcept { why_ = why; }

private:
    // Bytes of its reply, which is not whole, if it is the next.
    ICE_API std::size_t unparsed_of(const pending_request&) const noexcept;

    struct request {
        pending_request* caller;
        std::uint64_t begin;  // of its bytes, in all that the connection has sent
        time_point due;
    };

    pool_base::connection_lease lease_;
    std::deque<request> asked_;
    error_code why_ = errc::stopped;
};

}  // namespace ice
