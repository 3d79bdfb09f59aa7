// in_flight: the requests of one connection that wait for their replies, as the bursts in which
// they went out: a burst has one due time and one send time, however many requests it has.
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "options.hpp"

namespace ice::bench {

class in_flight {
public:
    struct burst {
        clock::time_point due, sent;
        std::size_t count;
    };

    // Requests.
    std::size_t size() const { return size_; }

    void add(const burst& b) {
        bursts_.push_back(b);
        size_ += b.count;
    }

    // The `n` oldest have their replies: calls visit(burst) for each burst, or part of one, that
    // they are of. Requires: n <= size().
    template <class Visit>
    void take(std::size_t n, Visit visit) {
        size_ -= n;
        while (n != 0) {
            burst& first = bursts_[first_];
            const std::size_t part = std::min(n, first.count);
            visit(burst{first.due, first.sent, part});
            n -= part;
            first.count -= part;
            if (first.count == 0) ++first_;
        }
        forget();
    }

    // When the oldest went out. Requires: size() != 0.
    clock::time_point oldest() const { return bursts_[first_].sent; }

    // How many were due at `begin` or later.
    std::size_t since(clock::time_point begin) const {
        std::size_t sum = 0;
        for (std::size_t i = first_; i < bursts_.size(); ++i)
            if (bursts_[i].due >= begin) sum += bursts_[i].count;
        return sum;
    }

    void clear() {
        bursts_.clear();
        first_ = size_ = 0;
    }

private:
    // Each burst is moved once at most, on average; and where all have come, which is usual, the
    // next one lies where the last one lay: in the cache.
    void forget() {
        if (first_ * 2 < bursts_.size()) return;
        bursts_.erase(bursts_.begin(), bursts_.begin() + static_cast<std::ptrdiff_t>(first_));
        first_ = 0;
    }

    std::vector<burst> bursts_;
    std::size_t first_ = 0;  // before it, all have their replies
    std::size_t size_ = 0;
};

}  // namespace ice::bench
