// descriptor_budget: how many descriptors of the process the connections of its listeners may use.
// It only counts, without system calls. Any thread may call it, as servers in several threads share
// it.
#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <ice/detail/export.hpp>
#include <ice/limits.hpp>
#include <utility>

namespace ice {

// The parameter `descriptors` is the limit of the process: transport::descriptors(). It is passed
// each time, as setrlimit(2) may change it.
class ICE_API descriptor_budget {
public:
    descriptor_budget() = default;
    descriptor_budget(const descriptor_budget&) = delete;
    descriptor_budget& operator=(const descriptor_budget&) = delete;

    // Reserves room for the connections that a pool may open, until unreserve() of as many.
    void reserve(std::size_t connections) noexcept { reserved_ += connections; }
    // Requires: connections <= reserved().
    void unreserve(std::size_t connections) noexcept {
        [[maybe_unused]] const std::size_t before = reserved_.fetch_sub(connections);
        assert(connections <= before);
    }
    std::size_t reserved() const noexcept { return reserved_; }

    // Connections that all listeners together may have open: see connections_allowed().
    std::size_t allowed(std::size_t descriptors) const noexcept {
        return connections_allowed(unlimited, descriptors, reserved_);
    }
    // Connections that all listeners together have open.
    std::size_t open() const noexcept { return open_; }
    bool has_room(std::size_t descriptors) const noexcept { return open_ < allowed(descriptors); }

    // Counts one more connection of a listener, unless allowed() are open. Returns whether it did;
    // then call release() when the connection has ended.
    bool try_acquire(std::size_t descriptors) noexcept {
        const std::size_t most = allowed(descriptors);
        for (std::size_t now = open_; now < most;) {
            if (open_.compare_exchange_weak(now, now + 1)) return true;
        }
        return false;
    }
    void release() noexcept { --open_; }

    // try_acquire() with a destructor that calls release(), unless keep() was called. False if it
    // was not allowed.
    class share {
    public:
        share(descriptor_budget& from, std::size_t descriptors) noexcept
            : from_(from.try_acquire(descriptors) ? &from : nullptr) {}
        share(share&& other) noexcept : from_(std::exchange(other.from_, nullptr)) {}
        share& operator=(share&&) = delete;
        ~share() {
            if (from_) from_->release();
        }
        explicit operator bool() const noexcept { return from_ != nullptr; }
        void keep() noexcept { from_ = nullptr; }

    private:
        descriptor_budget* from_;
    };

private:
    std::atomic<std::size_t> open_ = 0;
    std::atomic<std::size_t> reserved_ = 0;
};

}  // namespace ice
