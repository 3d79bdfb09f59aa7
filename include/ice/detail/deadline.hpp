// deadline: calls a function at an instant, unless the deadline is moved or cleared before.
// Made for timeouts that seldom expire: moving one later costs two stores. No clock, no Asio.
#pragma once

#include <cstddef>
#include <functional>
#include <ice/detail/export.hpp>
#include <ice/task.hpp>
#include <utility>
#include <vector>

namespace ice {

class deadlines;

// One deadline. It is a member of the object that it calls, such as a channel. The destructor
// removes it from the queue, so it never calls an object that is gone. The queue must outlive it.
class ICE_API deadline {
public:
    // Called from deadlines::expire() with the `owner` of the constructor.
    using callback = void (*)(void* owner);

    deadline(deadlines& queue, callback fire, void* owner) noexcept
        : queue_(queue), fire_(fire), owner_(owner) {}
    ~deadline();
    deadline(const deadline&) = delete;
    deadline& operator=(const deadline&) = delete;

    // Fires once, at `at` or soon after. It replaces the instant set before; `never` clears it.
    // Throws std::bad_alloc.
    void set(time_point at);
    // The deadline does not fire any more. It stays in the queue until its instant has passed.
    void clear() noexcept { at_ = never; }

    time_point at() const noexcept { return at_; }

private:
    friend class deadlines;
    static constexpr std::size_t outside = static_cast<std::size_t>(-1);

    deadlines& queue_;
    callback fire_;
    void* owner_;
    time_point at_ = never;        // when to fire
    time_point filed_ = never;     // the key in the queue's heap: at_ or earlier
    std::size_t place_ = outside;  // the index in the queue's heap
};

// All deadlines of a transport: a binary heap. Moving a deadline later leaves its entry where it
// is; the queue moves the entry when it comes to the front. That, and setting a deadline earlier,
// costs O(log n).
class ICE_API deadlines {
public:
    // The queue calls `moved` when next() has become earlier, so that the transport sets its timer,
    // and when next() has become `never`, so that the transport needs no timer. `moved` must not
    // throw for the latter.
    explicit deadlines(std::function<void()> moved = [] {}) : moved_(std::move(moved)) {}
    deadlines(const deadlines&) = delete;
    deadlines& operator=(const deadlines&) = delete;

    // When to call expire() next: no deadline fires before it. `never` if there is none.
    time_point next() const noexcept { return heap_.empty() ? never : heap_.front()->filed_; }

    // Fires all deadlines that are due at `now`, the earliest first. A callback may set, clear or
    // destroy any deadline, its own too. A deadline that it sets to `now` or earlier fires in the
    // same call. An exception of a callback leaves the others in the queue.
    void expire(time_point now);

    // Removes the deadlines that were cleared and are still in the queue. After that next() is the
    // instant of a deadline that is set.
    void forget_cleared() noexcept;

    // Entries of the queue, cleared ones included.
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
