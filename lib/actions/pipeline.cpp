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
    if (p.line_ != nullptr) p.unparsed = p.line_->unparsed_of(p);
    p.over.set();
}

std::size_t pipeline::unparsed_of(const pending_request& p) const noexcept {
    return caller() == &p ? session().bytes().data().size() : 0;
}

pipeline::pipeline(pool_base::connection_lease l) : lease_(std::move(l)) {
    lease_.pool().pipelines_.push_back(this);
}

pipeline::~pipeline() {
    std::erase(lease_.pool().pipelines_, this);
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
    if (asked_.empty()) lease_.mark_reusable();
    else lease_.fail(why_);  // one failure for the breaker, however many callers there are
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
        lease_.pool().wake_sharer();
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
    lease_.pool().wake_sharer();
    if (lease_.pool().succeeded(upstream())) lease_.pool().open_first();
}

}  // namespace ice
