// deadline: an instant at which something is called, unless it is moved away before.
// Made for timeouts that seldom come true: moving one later is two stores. No clock, no Asio.
#pragma once

#include <cstddef>
#include <functional>
#include <ice/detail/export.hpp>
#include <ice/task.hpp>
#include <utility>
#include <vector>

namespace ice {

class deadlines;

// Belongs to its owner (a channel, a waiter), who outlives nothing: the destructor takes it out.
class ICE_API deadline {
public:
    using callback = void (*)(void* owner);

    deadline(deadlines& queue, callback fire, void* owner) noexcept
        : queue_(queue), fire_(fire), owner_(owner) {}
    ~deadline();
    deadline(const deadline&) = delete;
    deadline& operator=(const deadline&) = delete;

    // Rings once at `at` or soon after; a call replaces the one before. `never` switches it off.
    void set(time_point at);
    void clear() noexcept { at_ = never; }

    time_point at() const noexcept { return at_; }

private:
    friend class deadlines;
    static constexpr std::size_t outside = static_cast<std::size_t>(-1);

    deadlines& queue_;
    callback fire_;
    void* owner_;
    time_point at_ = never;        // what the owner wants
    time_point filed_ = never;     // where the queue has it: at_ or earlier
    std::size_t place_ = outside;  // its index in the queue's heap
};

// All deadlines of a transport: a binary heap, in which an entry is moved only when it comes to
// the front too early. O(log n) for that and for a deadline set earlier than before.
class ICE_API deadlines {
public:
    // `moved` is called when next() has come nearer, as whoever drives the clock must look earlier,
    // and when it has become `never`, as nobody need look any more. Must not throw for the latter.
    explicit deadlines(std::function<void()> moved = [] {}) : moved_(std::move(moved)) {}
    deadlines(const deadlines&) = delete;
    deadlines& operator=(const deadlines&) = delete;

    // When to call expire() next: no deadline comes before it. `never` if there is none.
    time_point next() const noexcept { return heap_.empty() ? never : heap_.front()->filed_; }

    // Rings whatever is due at `now`, the earliest first. A callback may set, clear or destroy
    // any deadline, its own too; set to `now` or earlier, it rings again at once.
    void expire(time_point now);

    // Takes out what was cleared and is still filed: next() then is about what somebody waits for.
    void forget_cleared() noexcept;

    std::size_t size() const noexcept { return heap_.size(); }

private:
    friend class deadline;
    void file(deadline&);
    void remove(deadline&) noexcept;
    void place(std::size_t at, deadline*) noexcept;
    void sift_up(std::size_t at) noexcept;
    void sift_down(std::size_t at) noexcept;

    std::vector<deadline*> heap_;
    std::function<void()> moved_;
};

}  // namespace ice
