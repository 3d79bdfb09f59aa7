// Lending connections: who gets which, when to connect, and when to give up.
#include <fmt/format.h>

#include <algorithm>
#include <ice/pipeline.hpp>
#include <ice/pool.hpp>
#include <new>
#include <stdexcept>

namespace ice {

// A caller in the queue. It lives in the caller's coroutine, and leaves the queue with it.
struct pool_base::waiter {
    waiter(pool_base& p, bool s)
        : pool(p), shares(s), woken(p.env_->net->executor()),
          late(p.env_->net->deadlines(), too_late, this), since(p.now()) {}
    ~waiter() {
        pool.counters_.wait_time += pool.now() - since;
        std::erase(pool.waiters_, this);
        pool.wake_sharer();
    }
    waiter(const waiter&) = delete;
    waiter& operator=(const waiter&) = delete;

    static void too_late(void* self) { static_cast<waiter*>(self)->fail(errc::pool_wait_timeout); }
    void fail(error_code why) {
        failed = why;
        woken.set();
    }

    pool_base& pool;
    bool shares;
    event woken;
    deadline late;
    std::optional<loan> given;
    error_code failed;
    time_point since;
};

pool_base::pool_base(std::shared_ptr<environment> env, options o)
    : env_(std::move(env)), name_(std::move(o.name)), upstream_(std::move(o.upstream)),
      size_(o.size), limits_(o.limits), timeouts_(o.timeouts), health_(o.backoff, o.timeouts.probe),
      retry_(
          env_->net->deadlines(), [](void* p) { static_cast<pool_base*>(p)->open_more(1); }, this),
      expiry_(
          env_->net->deadlines(), [](void* p) { static_cast<pool_base*>(p)->expire_idle(); },
          this) {
    if (size_ == 0) throw std::invalid_argument(fmt::format("pool '{}': a size of 0", name_));
    settings_.limits.message = o.limits.message;
    settings_.timeouts.handshake = o.timeouts.handshake;
}

pool_base::~pool_base() = default;

// -- lending

pool_base::loan pool_base::lend_at_once() {
    if (!waiters_.empty()) return {nullptr, nullptr};
    return {shared_from_this(), lend_idle()};
}

task<result<pool_base::loan>> pool_base::take(time_point until, bool shares) {
    if (stopped_) co_return errc::stopped;
    if (waiters_.empty()) {
        if (auto free = lend_idle()) co_return loan(shared_from_this(), std::move(free));
        if (shares && shared_line() != nullptr) co_return loan(shared_from_this(), nullptr);
    }
    if (is_down()) {
        if (connecting_ != 0 || !health_.may_probe(now())) co_return health_.why();
    }
    if (waiters_.size() >= limits_.waiters) co_return errc::pool_full;
    ++counters_.waited;
    const time_point patience = std::min(until, after(now(), timeouts_.wait));
    bool first = false;  // in the queue: only who was served with a dead connection
    for (;;) {
        auto served = co_await wait_for_one(patience, first, shares);
        if (!served || served->is_empty()) co_return served;
        session_base& s = served->session();
        if (s.bytes().quiet()) co_return served;
        ++counters_.found_dead;
        if (!s.proven_) {  // made for us, and dead before its first use
            open_failed(errc::upstream_closes);
            co_return health_.why();
        }
        first = true;
        if (auto free = lend_idle()) co_return loan(shared_from_this(), std::move(free));
    }
}

task<result<pool_base::loan>> pool_base::wait_for_one(time_point until, bool first, bool shares) {
    waiter w(*this, shares);
    waiters_.insert(first ? waiters_.begin() : waiters_.end(), &w);
    w.late.set(until);
    open_more(waiters_.size());
    for (;;) {
        const error_code cancelled = co_await w.woken.wait();
        if (w.given) co_return *std::move(w.given);
        if (cancelled) co_return cancelled;
        if (w.failed) co_return w.failed;
        if (shared_line() != nullptr) co_return loan(shared_from_this(), nullptr);
        w.woken.clear();
    }
}

// The first in the queue may have room beside others now; it leaves the queue when it takes it.
void pool_base::wake_sharer() {
    if (waiters_.empty() || !waiters_.front()->shares || shared_line() == nullptr) return;
    waiters_.front()->woken.set();
}

pipeline* pool_base::shared_line() const noexcept {
    const auto least = std::ranges::min_element(lines_, {}, &pipeline::size);
    return least == lines_.end() || (*least)->size() >= limits_.pipeline ? nullptr : *least;
}

bool pool_base::may_retry(time_point until) noexcept {
    constexpr std::uint64_t always = 10;
    if (stopped_ || now() >= until || limits_.retries == 0) return false;
    if (counters_.retries >= always + counters_.requests * limits_.retries / 100) return false;
    ++counters_.retries;
    return true;
}

// An idle connection on which nothing has come since: bytes or an end would be another's reply.
std::unique_ptr<session_base> pool_base::lend_idle() {
    while (!idle_.empty()) {
        auto [s, since, retires] = std::move(idle_.back());
        idle_.pop_back();
        if (s->bytes().quiet()) {
            busy_.push_back({s.get(), retires});
            return std::move(s);
        }
        ++counters_.found_dead;
        keep_open();
    }
    return nullptr;
}

void pool_base::hand_out(std::unique_ptr<session_base> s, time_point retires) {
    if (waiters_.empty()) {
        idle_.push_back({std::move(s), now(), retires});
        const time_point end = end_of(idle_.back());
        if (end < expiry_.at()) expiry_.set(end);
        return;
    }
    waiter& first = *waiters_.front();
    busy_.push_back({s.get(), retires});
    waiters_.pop_front();
    first.given.emplace(shared_from_this(), std::move(s));
    first.woken.set();
}

void pool_base::take_back(std::unique_ptr<session_base> s, bool settled) noexcept {
    const auto lent = std::find_if(busy_.begin(), busy_.end(),
                                   [&](const lent_session& l) { return l.session == s.get(); });
    const time_point retires = lent->retires;
    busy_.erase(lent);
    const exchange_state state{
        .asked = s->asked_,
        .replied = s->received_,
        .unsent = s->bytes().unsent(),
        .residual = s->bytes().data().size(),
        .failed = s->failed_ || s->bytes().cancelled(),
        .settled = settled,
    };
    if (stopped_) return;
    try {
        if (may_return(state)) {
            returned(std::move(s), retires);
        } else {
            ++counters_.discarded;
            s.reset();
            if (!health_.is_failing() || !waiters_.empty()) open_more(1);
        }
    } catch (const std::bad_alloc&) {  // it is closed, and the next caller has another opened
    }
}

void pool_base::returned(std::unique_ptr<session_base> s, time_point retires) {
    ++counters_.returned;
    if (s->received_ != 0) {
        s->proven_ = true;
        health_.replied();
    }
    if (retires <= now()) {
        ++counters_.aged;
        s.reset();
        return open_more(1);
    }
    s->asked_ = s->received_ = 0;
    s->within(never, errc{});
    s->bytes().deadline(never, errc{});
    hand_out(std::move(s), retires);
}

// -- connecting

// Connects until `wanted` attempts are under way, or the pool is full. While the upstream is down,
// one attempt at a time is enough.
void pool_base::open_more(std::size_t wanted) {
    if (stopped_) return;
    if (health_.is_failing()) wanted = std::min<std::size_t>(wanted, 1);
    while (connecting_ < wanted && open() < size_) {
        spawn(env_, open_one(shared_from_this()), fmt::format("pool '{}'", name_));
        ++connecting_;
    }
}

void pool_base::keep_open() {
    if (open() < limits_.keep) open_more(connecting_ + limits_.keep - open());
}

task<> pool_base::open_one(std::shared_ptr<pool_base> self) {
    pool_base& me = *self;
    co_await me.env_->net->yield();  // never ends within open_more()
    ++me.counters_.connects;
    std::unique_ptr<session_base> s;
    error_code ec;
    try {
        ec = co_await me.connect_and_shake_hands(s);
    } catch (const std::exception& e) {
        me.env_->write(log_level::error, "handshake threw",
                       fmt::format("pool '{}' of {}: its handshake threw: {}", me.name_,
                                   me.upstream_, escaped(e.what())));
        ec = errc::handshake_failed;
    } catch (...) { ec = errc::handshake_failed; }
    std::erase(me.opening_, s.get());
    --me.connecting_;
    if (me.stopped_) co_return;
    if (ec) me.open_failed(ec);
    else me.opened(std::move(s));
}

task<error_code> pool_base::connect_and_shake_hands(std::unique_ptr<session_base>& s) {
    auto connected = co_await env_->net->connect(upstream_, after(now(), timeouts_.connect));
    if (!connected) co_return connected.error();
    if (stopped_) co_return errc::stopped;
    s = make_session(*std::move(connected));
    opening_.push_back(s.get());
    error_code ec = co_await shake_hands(*s);
    if (!ec && !s->bytes().data().empty()) ec = errc::bad_message;  // it talks unasked
    if (ec && ec != condition::not_executed) ec = errc::handshake_failed;
    co_return ec;
}

void pool_base::opened(std::unique_ptr<session_base> s) {
    retry_.clear();
    const bool recovered = health_.connected();
    s->bytes().deadline(never, errc{});
    const duration age = timeouts_.age;
    const auto quarter = static_cast<std::uint64_t>(age.count()) / 4;
    const duration earlier(static_cast<duration::rep>(env_->net->random() % (quarter + 1)));
    hand_out(std::move(s), after(now(), age - earlier));
    if (!recovered) return;
    env_->write(log_level::info, "upstream is back",
                fmt::format("pool '{}': {} is back", name_, upstream_));
    open_first();
}

void pool_base::open_failed(error_code ec) {
    ++counters_.connect_failures;
    if (!health_.is_failing())
        env_->write(log_level::warning, "upstream is down",
                    fmt::format("pool '{}': {}: {}", name_, upstream_, ec.message()));
    retry_.set(health_.failed(ec, now(), env_->net->random()));
    if (is_down() && connecting_ == 0) fail_waiters(ec);
}

void pool_base::fail_waiters(error_code ec) {
    for (waiter* w : std::exchange(waiters_, {})) w->fail(ec);
}

// -- ending

time_point pool_base::end_of(const idle_session& i) const noexcept {
    return std::min(after(i.since, timeouts_.idle), i.retires);
}

void pool_base::expire_idle() {
    const time_point at = now();
    counters_.aged += std::erase_if(idle_, [at](const idle_session& i) { return i.retires <= at; });
    counters_.expired +=
        std::erase_if(idle_, [&](const idle_session& i) { return end_of(i) <= at; });
    time_point next = never;
    for (const idle_session& i : idle_) next = std::min(next, end_of(i));
    expiry_.set(next);
    keep_open();
}

pool_base::call::call(pool_base& p, duration timeout)
    : pool(p.shared_from_this()), begin(p.now()), until(after(begin, timeout)) {
    ++p.counters_.requests;
}

void pool_base::call::succeeded() noexcept {
    ++pool->counters_.replies;
    pool->counters_.request_time += pool->now() - begin;
}

std::shared_ptr<const failure> pool_base::call::failed(error_code ec) {
    pool_counters& c = pool->counters_;
    c.request_time += pool->now() - begin;
    auto why = std::make_shared<const failure>(
        ec, pool->health_.is_failing() ? pool->health_.why() : error_code(), sent, pool->name_,
        pool->upstream_.text());
    if (ec == errc::request_timeout) ++c.timeouts;
    else if (!why->may_have_been_executed()) ++c.refused;
    else ++c.failures;
    switch (why->kind()) {
        case failure_kind::closed: ++c.closed; break;
        case failure_kind::cut_short: ++c.cut_short; break;
        case failure_kind::bad_reply: ++c.bad_replies; break;
        default: break;
    }
    return why;
}

pool_state pool_base::state() const {
    pool_state s;
    s.name = name_;
    s.upstream = upstream_.text();
    if (health_.is_failing()) s.down = health_.why();
    s.size = size_;
    s.idle = idle_.size();
    s.busy = busy_.size();
    s.connecting = connecting_;
    s.waiting = waiters_.size();
    s.counters = counters_;
    return s;
}

void pool_base::stop() {
    stopped_ = true;
    retry_.clear();
    expiry_.clear();
    idle_.clear();
    fail_waiters(errc::stopped);
    for (const lent_session& l : busy_) l.session->bytes().cancel(errc::stopped);
    for (session_base* s : opening_) s->bytes().cancel(errc::stopped);
}

}  // namespace ice
