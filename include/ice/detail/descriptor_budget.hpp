// descriptor_budget: how many of one process's descriptors the connections of its listeners may
// take. Counts only: no system calls. Any thread may call it, as several servers may share it.
#pragma once

#include <atomic>
#include <cstddef>
#include <ice/detail/export.hpp>
#include <ice/limits.hpp>
#include <utility>

namespace ice {

// Each `descriptors` is the limit of the process: transport::descriptors().
class ICE_API descriptor_budget {
public:
    descriptor_budget() = default;
    descriptor_budget(const descriptor_budget&) = delete;
    descriptor_budget& operator=(const descriptor_budget&) = delete;

    // Keeps room for the connections that a pool may open, until unreserve() of as many.
    void reserve(std::size_t connections) noexcept { reserved_ += connections; }
    void unreserve(std::size_t connections) noexcept { reserved_ -= connections; }
    std::size_t reserved() const noexcept { return reserved_; }

    // What all listeners together may have open: see connections_allowed().
    std::size_t allowed(std::size_t descriptors) const noexcept {
        return connections_allowed(unlimited, descriptors, reserved_);
    }
    // Connections of listeners, of all of them.
    std::size_t open() const noexcept { return open_; }
    bool has_room(std::size_t descriptors) const noexcept { return open_ < allowed(descriptors); }

    // Counts one more connection of a listener if it is allowed; release() when it has ended.
    bool try_acquire(std::size_t descriptors) noexcept {
        const std::size_t most = allowed(descriptors);
        for (std::size_t now = open_; now < most;) {
            if (open_.compare_exchange_weak(now, now + 1)) return true;
        }
        return false;
    }
    void release() noexcept { --open_; }

    // One more connection of a listener, if it is allowed; released unless keep() was called.
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
