// What all channels share: how much to read at once, and deadlines.
#include <algorithm>
#include <ice/channel.hpp>
#include <ice/transport.hpp>

namespace ice {
namespace {

constexpr std::uint32_t chunk_first = 512;       // a few lines
constexpr std::uint32_t chunk_most = 64 * 1024;  // larger reads gain nothing (caches)

}  // namespace

task<outcome> ready(outcome value) { co_return value; }

channel::channel(transport& net)
    : net_(net), alarm_(net.deadlines(), ring, this), chunk_(chunk_first), chunk_most_(chunk_most) {
}

channel::~channel() {
    if (flushing_soon_) std::erase(net_.soon_, this);
}

void channel::read_at_most(std::size_t n) noexcept {
    constexpr std::size_t most = 1024 * 1024 * 1024;
    chunk_most_ = static_cast<std::uint32_t>(std::clamp<std::size_t>(n, 1, most));
}

buffer::room channel::room() {
    auto r = in_.prepare(std::min(chunk_, chunk_most_));
    r.size = std::min<std::size_t>(r.size, chunk_most_);
    return r;
}

// A read that filled its room means that more was there: the next asks for twice as much.
void channel::received(std::size_t n) noexcept {
    in_.commit(n);
    if (n >= chunk_ && chunk_ < chunk_most_) chunk_ *= 2;
}

void channel::flush_soon_once() {
    net_.flush_soon(*this);
    flushing_soon_ = true;
}

void channel::deadline(time_point at, errc why) {
    why_ = why;
    span_ = duration::zero();
    alarm_.set(at);
}

void channel::deadline_between_messages(time_point now, duration span, errc why) {
    deadline(now + span, why);
    span_ = span;
    seen_ = consumed_;
}

void channel::ring(void* self) {
    auto& c = *static_cast<channel*>(self);
    if (c.span_ == duration::zero() || c.seen_ == c.consumed_) return c.cancel(c.why_);
    c.seen_ = c.consumed_;
    c.alarm_.set(c.net_.now() + c.span_);
}

}  // namespace ice
