// Assigns the replies on a connection that several callers share.
#include <algorithm>
#include <ice/detail/pipeline.hpp>

namespace ice {

pipeline::pending_request::~pending_request() {
    if (line_ == nullptr) return;
    for (request& r : line_->asked_) {
        if (r.caller == this) r.caller = nullptr;
    }
}

void pipeline::pending_request::too_late(void* self) {
    auto& p = *static_cast<pending_request*>(self);
    if (p.line_ != nullptr) {
        pool_base& pool = p.line_->lease_.pool();
        p.unparsed = p.line_->unparsed_of(p);
        pool.core().timed_out(p.line_->lease_.connection(), pool.now());
        pool.carry_out();
    }
    p.over.set();
}

std::size_t pipeline::unparsed_of(const pending_request& p) const noexcept {
    return caller() == &p ? session().bytes().data().size() : 0;
}

pipeline::pipeline(pool_base::connection_lease l) : lease_(std::move(l)) {
    lease_.connection().line = this;
    lease_.pool().core().shared(lease_.connection());
    lease_.pool().carry_out();
}

pipeline::~pipeline() {
    lease_.connection().line = nullptr;
    const std::uint64_t sent = session().bytes().sent();
    for (const request& r : asked_) {
        if (r.caller == nullptr) continue;
        r.caller->line_ = nullptr;
        r.caller->unparsed = unparsed_of(*r.caller);
        if (lease_.pool().now() < r.caller->until_) {
            r.caller->is_unsent = r.begin >= sent;
            r.caller->failed = r.caller->is_unsent ? make_error_code(errc::not_sent) : why_;
        }
        r.caller->over.set();
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
void pipeline::join(pending_request& p, std::uint64_t begin, time_point until) {
    const pool_base& pool = lease_.pool();
    try {
        asked_.push_back({&p, begin, std::max(until, after(pool.now(), pool.timeouts().request))});
        p.line_ = this;
        p.until_ = until;
        p.late_.set(until);
        lease_.pool().core().joined(lease_.connection(), is_full());
        lease_.pool().carry_out();
    } catch (...) {
        session().bytes().cancel(errc::stopped);
        throw;
    }
}

void pipeline::pop_oldest() {
    pending_request* p = caller();
    asked_.pop_front();
    if (p != nullptr) {
        p->line_ = nullptr;
        p->over.set();
    }
    lease_.pool().core().replied(lease_.connection(), is_full(), lease_.pool().now());
    lease_.pool().carry_out();
}

}  // namespace ice
