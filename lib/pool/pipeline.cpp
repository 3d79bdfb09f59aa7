// Assigns the replies on a connection that several callers share.
#include <algorithm>
#include <asio/associated_cancellation_slot.hpp>
#include <asio/error.hpp>
#include <ice/detail/pipeline.hpp>

namespace ice {
namespace {

// Loads the caller of the next reply into the cache while this reply is assigned: of some thousand
// requests in flight most are not there. The entry is a part of its caller, such as a worker of an
// answer_queue, so what is around it is used, too.
void prefetch(const pending_request* next) noexcept {
    if (next == nullptr) return;  // it has left
    constexpr std::ptrdiff_t line = 64, before = 3, from_here = 4;
    const char* const at = reinterpret_cast<const char*>(next);
    for (std::ptrdiff_t i = -before; i != from_here; ++i) __builtin_prefetch(at + i * line, 1);
}

}  // namespace

struct pending_request::start_wait {
    void operator()(resumption r) const {
        assert(!me.is_over());
        me.waiting_.emplace(std::move(r));
        auto slot = asio::get_associated_cancellation_slot(*me.waiting_);
        if (slot.is_connected()) slot.assign([&me = me](asio::cancellation_type) { me.cancel(); });
    }
    pending_request& me;
};

pending_request::~pending_request() {
    if (line_ == nullptr) return;
    requests_in_order& all = line_->asked_;
    for (std::size_t i = 0; i < all.size(); ++i) {
        if (all[i].caller == this) all[i].caller = nullptr;  // mutant: leaves_pipeline
    }
}

void pending_request::reset() noexcept {
    assert(is_over());
    failed = errc::request_timeout;
    is_unsent = is_cancelled_ = false;
    unparsed = 0;
}

task<> pending_request::wait() {
    asio::use_awaitable_t<> token;
    return asio::async_initiate<asio::use_awaitable_t<>, void()>(start_wait{*this}, token);
}

// The caller goes on in a turn of its own: who cancels it may be in the middle of something.
void pending_request::cancel() {
    is_cancelled_ = true;
    if (line_ != nullptr) line_->end_late_soon();
}

// Its request is in no pipeline any more.
void pending_request::end() noexcept {
    line_ = nullptr;
    if (waiting_) asio::get_associated_cancellation_slot(*waiting_).clear();
}

// The caller does not wait yet if the upstream was faster.
void pending_request::resume() {
    if (waiting_) ice::resume(waiting_);
}

void pending_request::resume_later(const asio::any_io_executor& executor) noexcept {
    ice::resume_later(waiting_, executor);
}

void pipeline::end_late_soon() { late_.set(lease_.pool().now()); }

void pipeline::end_late(void* self) {
    auto& me = *static_cast<pipeline*>(self);
    pool_base& pool = me.lease_.pool();
    const time_point now = pool.now();
    time_point next = never;
    // Those that are resumed may join again, so asked_ may grow. It does not shrink, and the
    // pipeline does not end: its coroutine runs in turns of its own.
    for (std::size_t i = 0; i < me.asked_.size(); ++i) {
        pending_request* const p = me.asked_[i].caller;
        if (p == nullptr) continue;
        if (!p->is_cancelled_ && p->until_ > now) {
            next = std::min(next, p->until_);
            continue;
        }
        if (p->is_cancelled_) {
            p->failed = asio::error::operation_aborted;
        } else {
            p->unparsed = me.unparsed_of(*p);
            pool.core().timed_out(me.lease_.connection(), now);
            pool.carry_out();
        }
        me.asked_[i].caller = nullptr;
        p->end();
        p->resume();
    }
    me.late_.set(std::min(next, me.late_.at()));
}

void pipeline::room_guard::tell() noexcept {
    pool_.core().not_joined();
    pool_.carry_out();
}

std::size_t pipeline::unparsed_of(const pending_request& p) const noexcept {
    return caller() == &p ? session().bytes().data().size() : 0;
}

pipeline::pipeline(pool_base::connection_lease l)
    : lease_(std::move(l)), late_(lease_.pool().net().deadlines(), end_late, this),
      asked_(lease_.connection().asked) {
    asked_.clear();
    lease_.connection().line = this;
    pool_core::shared(lease_.connection());
}

pipeline::~pipeline() {
    lease_.connection().line = nullptr;
    const std::uint64_t sent = session().bytes().sent();
    for (std::size_t i = 0; i < asked_.size(); ++i) {
        const requests_in_order::request& r = asked_[i];
        if (r.caller == nullptr) continue;
        r.caller->unparsed = unparsed_of(*r.caller);
        if (lease_.pool().now() < r.caller->until_) {
            r.caller->is_unsent = r.begin >= sent;
            r.caller->failed = r.caller->is_unsent ? make_error_code(errc::not_sent) : why_;
        }
        r.caller->end();
        r.caller->resume_later(lease_.pool().net().executor());
    }
    if (asked_.empty()) {
        lease_.mark_reusable();
        return;
    }
    // If the connection is lost, that is one failure for the breaker, however many callers there
    // are; each request that has had no reply in time is one of its own.
    for (std::size_t i = 1; why_ == errc::pipeline_stalled && i < asked_.size(); ++i)
        lease_.pool().core().timed_out(lease_.connection(), lease_.pool().now());
    lease_.fail(why_);
}

bool pipeline::is_full() const noexcept {
    const std::size_t most = lease_.pool().core().settings().limits.outbox;
    return session().bytes().unsent() >= most;  // mutant: outbox_bound
}

// `due` is at least pool_timeouts::request from now: a caller with a short timeout must not make
// the connection fail for the callers behind it.
bool pipeline::join(pending_request& p, std::uint64_t begin, time_point until, time_point now) {
    const pool_base& pool = lease_.pool();
    try {
        asked_.push_back({&p, begin, std::max(until, after(now, pool.timeouts().request))});
        p.line_ = this;
        p.until_ = until;
        if (until < late_.at()) late_.set(until);
        const bool full = is_full();
        lease_.pool().core().joined(lease_.connection(), full);
        lease_.pool().carry_out();
        return full;
    } catch (...) {
        session().bytes().cancel(errc::stopped);
        throw;
    }
}

pending_request* pipeline::pop_oldest(time_point now) {
    pending_request* p = caller();
    asked_.pop_front();
    if (!asked_.empty()) prefetch(asked_.front().caller);
    if (p != nullptr) {
        p->ended = now;
        p->end();
    }
    const bool full = lease_.connection().is_full && is_full();
    lease_.pool().core().replied(lease_.connection(), full, now);
    lease_.pool().carry_out();
    return p;
}

}  // namespace ice
