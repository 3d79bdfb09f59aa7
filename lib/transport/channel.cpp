// The parts that all channels share: how much to read at once, the write timeout, and deadlines.
#include <algorithm>
#include <ice/channel.hpp>
#include <ice/event.hpp>
#include <ice/transport.hpp>
#include <limits>

#include "../core/emit_terminal.hpp"

namespace ice {
namespace {

constexpr std::uint32_t chunk_first = 512;                  // a few lines
constexpr std::uint32_t chunk_most = 64 * 1024;             // larger reads gain nothing (caches)
constexpr auto user_ends_within = std::chrono::seconds(1);  // then its peer waits no longer

// Rounded down, from 1 ms to 49 days.
std::uint32_t whole_milliseconds(duration span) noexcept {
    using std::chrono::milliseconds;
    constexpr auto most = milliseconds(std::numeric_limits<std::uint32_t>::max());
    const auto whole = std::chrono::duration_cast<milliseconds>(span);
    return static_cast<std::uint32_t>(std::clamp(whole, milliseconds(1), most).count());
}

}  // namespace

task<io_status> ready(io_status value) { co_return value; }

// What a channel needs while its peer does not read. It is allocated then, and kept, so that an
// idle connection stays small.
struct channel::stall {
    explicit stall(channel& c)
        : over(c.net_.executor()), timer(c.net_.deadlines(), stall_timer, &c) {}
    event over;
    ice::deadline timer;
    std::uint64_t taken = 0;  // channel::taken() when the timer was set
};

channel::channel(transport& net)
    : net_(net), timer_(net.deadlines(), fire, this), chunk_most_(chunk_most) {}

channel::~channel() {
    // The transport has a pointer to this channel until it has flushed it.
    if (flushing_soon_) std::erase(net_.soon_, this);
}

void channel::read_at_most(std::size_t n) noexcept {
    constexpr std::size_t most = 1024 * 1024 * 1024;
    chunk_most_ = static_cast<std::uint32_t>(std::clamp<std::size_t>(n, 1, most));
}

std::uint32_t channel::chunk() const noexcept { return chunk_first << doublings_; }

buffer::room channel::room() {
    auto r = in_.prepare(std::min(chunk(), chunk_most_));
    r.size = std::min<std::size_t>(r.size, chunk_most_);
    return r;
}

// A read that filled its room means that more bytes had arrived: the next one asks for twice as
// many. So idle connections read into a few hundred bytes, and fast ones make few system calls.
void channel::received(std::size_t n) noexcept {
    in_.commit(n);
    if (n >= chunk() && chunk() < chunk_most_) ++doublings_;
}

void channel::flush_soon_once() {
    net_.flush_soon(*this);
    flushing_soon_ = true;
}

// Sets the deadline only if it has to wait: most flushes end in the first try_flush().
task<io_status> channel::flush(duration timeout, time_point latest, errc why) {
    write_timeout(timeout);
    while (!try_flush()) {
        if (cancelled_) co_return cancelled_;
        deadline(latest, why);
        // The stall of try_flush() began without a timer if there was no write timeout then.
        if (!stall_ || stall_->timer.at() == never) begin_stall();
        stall_->over.clear();
        const error_code cancelled = co_await stall_->over.wait();
        if (cancelled) co_return cancelled_ ? cancelled_ : cancelled;
    }
    co_return io_status();
}

task<error_code> channel::wait_for_room() {
    if (try_flush() || cancelled_) {
        const auto now = [](error_code ec) -> task<error_code> { co_return ec; };
        return now(cancelled_);
    }
    if (!stall_) begin_stall();
    stall_->over.clear();
    return stall_->over.wait();
}

void channel::write_timeout(duration span) noexcept {
    write_timeout_ = span == no_timeout ? 0 : whole_milliseconds(span);
}

void channel::begin_stall() {
    if (!stall_) stall_ = std::make_unique<stall>(*this);
    if (write_timeout_ == 0) return;
    stall_->taken = taken();
    stall_->timer.set(after(net_.now(), std::chrono::milliseconds(write_timeout_)));
}

void channel::end_stall() noexcept {
    if (!stall_) return;
    stall_->timer.clear();
    stall_->over.set();
}

// Linux reports room only when a third of the send buffer is free. For a slow peer that can take
// longer than the timeout, so this asks how many bytes the peer has acknowledged.
void channel::stall_timer(void* self) {
    auto& c = *static_cast<channel*>(self);
    const std::uint64_t taken = c.taken();
    if (taken == c.stall_->taken) return c.cancel(errc::write_timeout);
    c.stall_->taken = taken;
    c.stall_->timer.set(after(c.net_.now(), std::chrono::milliseconds(c.write_timeout_)));
}

bool channel::reopen() noexcept {
    // Only a deadline leaves a connection that can still send.
    if (!expired_) return false;
    expired_ = false;
    cancelled_.clear();
    out_.clear();  // an answer that came after the deadline
    return true;
}

void channel::deadline(time_point at, errc why) {
    why_ = static_cast<std::uint8_t>(why);
    span_ = 0;
    timer_.set(at);
}

void channel::deadline_between_messages(time_point now, duration span, errc why) {
    deadline(after(now, span), why);
    span_ = whole_milliseconds(span);
    seen_ = consumed_;
}

void channel::expire(errc why) {
    if (cancelled_) return why == errc::logic_timeout ? end_user() : shut();
    expired_ = unsent() == 0;  // half a message cannot be followed by one
    cancel(why);
    if (why == errc::logic_timeout) end_user();
}

void channel::ended_by_peer() {
    cancel(errc::closed);
    if (!user_ends_) end_user();  // its clean-up is not cancelled again, also not by shut()
}

void channel::end_user() noexcept {
    user_ends_ = true;
    deadline(after(net_.now(), user_ends_within), errc::stopped);
    if (user_ != nullptr) emit_terminal(*user_);
}

// With a span the deadline is renewed if a message was consumed since it was set: so a session need
// not move it for each message.
void channel::fire(void* self) {
    auto& c = *static_cast<channel*>(self);
    const errc why = static_cast<errc>(c.why_);
    const bool still_reads = why == errc::idle_timeout && c.unsent() != 0;
    if (c.span_ == 0 || (c.seen_ == c.consumed_ && !still_reads)) return c.expire(why);
    c.seen_ = c.consumed_ - (still_reads ? 1 : 0);  // its pause begins later: another span
    c.timer_.set(after(c.net_.now(), std::chrono::milliseconds(c.span_)));
}

}  // namespace ice
