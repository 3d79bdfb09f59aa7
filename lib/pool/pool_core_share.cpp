// Sharing: which caller joins which shared connection, and which callers are told of room.
#include <algorithm>
#include <cassert>
#include <ice/detail/pool_core.hpp>

namespace ice {
namespace {

// A caller that wants a connection alone waits so long before a shared connection is kept for it.
constexpr duration sharing_yields = std::chrono::milliseconds(100);

// So many callers at most are told of room before they have looked.
constexpr std::size_t most_notified = 1024;

// So many requests of a burst take the connection that the first has found: as many as a listener
// calls its logic with in one batch (limits::batch).
constexpr std::size_t most_in_a_row = 64;

}  // namespace

pool_connection* pool_core::share(pool_caller* k, time_point now) noexcept {
    now_ = now;
    if (k == nullptr) {  // behind all who wait: if there is room for more than those who know of it
        const bool all_know = waiting_ - waiting_alone_ == notified_;
        if (is_closing() || !all_know) return nullptr;
        if (notified_ != 0 && room() <= notified_) return nullptr;
        found_ = with_room();
        found_at_ = now;
        in_a_row_ = found_ != nullptr ? std::min(found_->requests / 4, most_in_a_row) : 0;
        return found_;
    }
    const bool was_notified = std::exchange(k->is_notified, false);
    notified_ -= was_notified ? 1 : 0;
    const pool_caller* first = first_;  // that shares
    while (first != nullptr && !first->shares) first = first->behind;
    // `k` may be in no queue just now.
    const bool is_first = first == nullptr || first->ticket >= k->ticket;
    pool_connection* const found = is_first ? with_room() : nullptr;
    if (was_notified && is_first) learn(found != nullptr);  // mutant: learn_of_room
    k->joins = found != nullptr;
    // Room may have come while those that were told of it looked.
    if (notified_ == 0 && !k->joins) wake_sharers();  // mutant: room_meanwhile
    return found;
}

pool_connection* pool_core::share_again(time_point now) noexcept {
    if (in_a_row_ == 0 || found_at_ != now || is_closing()) return nullptr;
    if (waiting_ != 0 || !idle_.empty()) return nullptr;  // mutant: none_before
    --in_a_row_;
    return takes_requests(*found_, 0) ? found_ : nullptr;  // mutant: again_has_room
}

// How many callers to tell of room: those before them may fill the outbox. One more after each that
// found room; half as many when one found none, as then do those behind it.
void pool_core::learn(bool found_room) noexcept {
    if (found_room) notifies_ = std::min(notifies_ + 1, most_notified);
    else notifies_ = std::max<std::size_t>(notifies_ / 2, 1);
}

// For each caller that has waited long for a connection alone, one shared connection is kept: it
// gets no more requests, so that it becomes free.
std::size_t pool_core::kept_alone() const noexcept {
    std::size_t kept = 0;
    for (auto k = waiting_alone_ == 0 ? nullptr : first_; k != nullptr; k = k->behind) {
        if (!k->shares && after(k->since, sharing_yields) <= now_)
            ++kept;  // mutant: sharing_yields
    }
    return kept;
}

// Those with the fewest requests are kept.
bool pool_core::takes_requests(const pool_connection& c, std::size_t kept) const noexcept {
    const bool has_room = c.is_shared && c.requests < options_.limits.pipeline && !c.is_retiring &&
                          c.at->breaker.is_closed() && !c.is_full;  // mutant: has_room
    if (!has_room || kept == 0) return has_room;
    std::size_t fewer = 0;
    bool is_behind = false;  // of equal ones the first is kept
    for (const auto& i : all_) {
        if (i.get() == &c) is_behind = true;
        else if (i->is_shared && i->requests < c.requests + (is_behind ? 0 : 1)) ++fewer;
    }
    return fewer >= kept;
}

pool_connection* pool_core::with_room() const noexcept {
    const std::size_t kept = kept_alone();
    pool_connection* least = nullptr;
    for (const auto& c : all_) {
        const bool has_fewer = least == nullptr || c->requests < least->requests;
        if (has_fewer && takes_requests(*c, kept)) least = c.get();
    }
    return least;
}

// Requests that shared connections have room for, up to most_notified of each.
std::size_t pool_core::room() const noexcept {
    const std::size_t kept = kept_alone(), most = options_.limits.pipeline;
    std::size_t sum = 0;
    for (const auto& c : all_) {
        if (takes_requests(*c, kept)) sum += std::min(most - c->requests, most_notified);
    }
    return sum;
}

// Each of those that are woken looks with share(), or leaves, and so wakes others.
void pool_core::wake_some_sharers() noexcept {
    const std::size_t most = std::min(room(), notifies_);
    for (pool_caller* k = first_; k != nullptr && notified_ < most; k = k->behind) {
        if (!k->shares || std::exchange(k->is_notified, true)) continue;
        ++notified_;
        add(*k, kinds::wake);
    }
}

void pool_core::joined(pool_connection& c, bool is_full) noexcept {
    ++c.requests;
    c.is_full = is_full;
    wake_sharers();
}

void pool_core::replied(pool_connection& c, bool is_full, time_point now) noexcept {
    assert(c.requests != 0);
    now_ = now;
    --c.requests;
    c.is_full = is_full;
    has_replied(c, now);
    wake_sharers();
}

void pool_core::sent(pool_connection& c) noexcept {
    c.is_full = false;
    wake_sharers();
}

}  // namespace ice
