// The heap of deadline.hpp. Each entry stores its index, so that it can be removed from the middle.
#include <ice/detail/deadline.hpp>

namespace ice {

deadline::~deadline() { queue_.remove(*this); }

// Moving a deadline later only stores `at`: expire() moves the entry when it comes to the front.
void deadline::set(time_point at) {
    at_ = at;
    if (place_ == outside || at < filed_) queue_.file(*this);
}

void deadlines::file(deadline& d) {
    if (d.at_ == never) return;
    const time_point before = next();
    d.filed_ = d.at_;
    // If push_back() throws, the deadline is still outside: it does not fire, and remove() skips
    // it.
    if (d.place_ == deadline::outside) {
        heap_.push_back(&d);
        d.place_ = heap_.size() - 1;
    }
    sift_up(d.place_);
    // Most deadlines are behind the front: they cost the transport no new timer.
    if (next() < before) moved_();
}

void deadlines::expire(time_point now) {
    while (!heap_.empty() && heap_.front()->filed_ <= now) {
        deadline& first = *heap_.front();
        if (first.at_ == never) {
            remove(first);
        } else if (first.at_ != first.filed_) {  // it was moved later: others may come first
            first.filed_ = first.at_;
            sift_down(0);
        } else {
            // Removed first, as the callback may set the deadline again or destroy it, and may
            // throw.
            remove(first);
            first.at_ = never;
            first.fire_(first.owner_);
        }
    }
}

// Works in place, without memory: the destructor of a server's last connection may call it.
void deadlines::forget_cleared() noexcept {
    // Builds the heap again from the bottom up: O(n) in all, where each remove() is O(log n).
    const auto is_cleared = [](deadline* d) {
        if (d->at_ == never) d->place_ = deadline::outside;
        return d->at_ == never;
    };
    if (std::erase_if(heap_, is_cleared) == 0) return;
    for (std::size_t i = 0; i < heap_.size(); ++i) heap_[i]->place_ = i;
    for (std::size_t i = heap_.size() / 2; i-- != 0;) sift_down(i);
    if (heap_.empty()) moved_();
}

void deadlines::remove(deadline& d) noexcept {
    if (d.place_ == deadline::outside) return;
    const std::size_t hole = d.place_;
    d.place_ = deadline::outside;
    deadline* last = heap_.back();
    heap_.pop_back();
    if (heap_.empty()) moved_();
    if (last == &d) return;
    // The last entry comes from another branch of the heap, so it may have to move up or down.
    place(hole, last);
    sift_up(hole);
    sift_down(last->place_);
}

void deadlines::place(std::size_t at, deadline* d) noexcept {
    heap_[at] = d;
    d->place_ = at;
}

void deadlines::sift_up(std::size_t at) noexcept {
    deadline* moved = heap_[at];
    while (at != 0) {
        const std::size_t parent = (at - 1) / 2;
        if (heap_[parent]->filed_ <= moved->filed_) break;
        place(at, heap_[parent]);
        at = parent;
    }
    place(at, moved);
}

void deadlines::sift_down(std::size_t at) noexcept {
    deadline* moved = heap_[at];
    for (;;) {
        std::size_t child = 2 * at + 1;
        if (child >= heap_.size()) break;
        if (child + 1 < heap_.size() && heap_[child + 1]->filed_ < heap_[child]->filed_) ++child;
        if (moved->filed_ <= heap_[child]->filed_) break;
        place(at, heap_[child]);
        at = child;
    }
    place(at, moved);
}

}  // namespace ice
