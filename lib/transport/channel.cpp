// What all channels share: how much to read at once, deadlines, giving buffers back.
#include <algorithm>
#include <ice/channel.hpp>
#include <ice/transport.hpp>

namespace ice {
namespace {

constexpr std::uint32_t chunk_at_rest = 512;     // a few lines: 10,000 idle connections hold 5 MB
constexpr std::uint32_t chunk_most = 64 * 1024;  // larger reads gain nothing (caches)
constexpr auto rest_after = std::chrono::seconds(5);

}  // namespace

task<outcome> ready(outcome value) { co_return value; }

channel::channel(transport& net)
    : net_(net), alarm_(net.deadlines(), ring, this), chunk_(chunk_at_rest),
      chunk_most_(chunk_most) {}

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

void channel::flush_soon() {
    if (flushing_soon_) return;
    flushing_soon_ = true;
    net_.flush_soon(*this);
}

void channel::deadline(time_point now, time_point at, errc why) {
    due_ = at;
    why_ = why;
    span_ = duration::zero();
    alarm_.set(std::min(at, now + rest_after));
}

void channel::deadline_between_messages(time_point now, duration span, errc why) {
    deadline(now, now + span, why);
    span_ = span;
    seen_ = consumed_;
}

void channel::ring(void* self) {
    auto& c = *static_cast<channel*>(self);
    const time_point now = c.net_.now();
    if (c.due_ <= now && c.span_ != duration::zero() && c.seen_ != c.consumed_) {
        c.due_ = now + c.span_;
        c.seen_ = c.consumed_;
    }
    if (c.due_ <= now) {
        c.cancel(c.why_);
    } else {
        c.alarm_.set(c.due_);
        c.rest();
    }
}

bool channel::oversized() const noexcept { return in_.capacity() > chunk_at_rest; }

// Nothing has happened for a while.
void channel::rest() {
    if (out_.empty()) std::string().swap(out_);
    if (filling_ && oversized()) rest_input();
}

void channel::rest_input() {
    chunk_ = chunk_at_rest;
    in_.shrink(chunk_at_rest);
}

}  // namespace ice
