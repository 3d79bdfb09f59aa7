// histogram: how often each latency was seen, to three significant digits, in constant memory.
// The layout is HdrHistogram's (lowest 1, highest 2^42 - 1, 3 digits): percentiles agree with it.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace ice::bench {

class histogram {
public:
    static constexpr std::int64_t highest = (std::int64_t{1} << 42) - 1;  // in ns: 73 minutes

    histogram() : counts_(cells) {}

    // Values outside 0..highest count as the nearest of those.
    void record(std::int64_t value, std::uint64_t times = 1) noexcept {
        value = std::clamp<std::int64_t>(value, 0, highest);
        counts_[cell_of(value)] += times;
        total_ += times;
        least_ = std::min(least_, value);
        most_ = std::max(most_, value);
    }

    void add(const histogram& other) noexcept {
        if (other.total_ == 0) return;
        for (std::size_t i = 0; i < cells; ++i) counts_[i] += other.counts_[i];
        total_ += other.total_;
        least_ = std::min(least_, other.least_);
        most_ = std::max(most_, other.most_);
    }

    std::uint64_t total() const noexcept { return total_; }
    std::int64_t min() const noexcept { return total_ == 0 ? 0 : least_; }
    std::int64_t max() const noexcept { return most_; }

    // The largest value that lies in the same cell as the one that `percent` of all are not above.
    std::int64_t percentile(double percent) const noexcept {
        const double wanted = std::min(percent, 100.0) / 100 * static_cast<double>(total_);
        const auto rank = std::max<std::uint64_t>(static_cast<std::uint64_t>(wanted + 0.5), 1);
        std::uint64_t seen = 0;
        for (std::size_t i = 0; i < cells; ++i) {
            seen += counts_[i];
            if (seen >= rank) return std::min(last_of(i), most_);
        }
        return most_;
    }

    // How many values lie in the cell of this one or below it.
    std::uint64_t count_to(std::int64_t value) const noexcept {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i <= cell_of(std::clamp<std::int64_t>(value, 0, highest)); ++i)
            sum += counts_[i];
        return sum;
    }

    double mean() const noexcept {
        double sum = 0;
        each([&](std::int64_t value, std::uint64_t times) {
            sum += static_cast<double>(value) * static_cast<double>(times);
        });
        return total_ == 0 ? 0 : sum / static_cast<double>(total_);
    }

    double deviation() const noexcept {
        const double middle = mean();
        double sum = 0;
        each([&](std::int64_t value, std::uint64_t times) {
            const double off = static_cast<double>(value) - middle;
            sum += off * off * static_cast<double>(times);
        });
        return total_ == 0 ? 0 : std::sqrt(sum / static_cast<double>(total_));
    }

    // Calls visit(value, times) for each cell in use, in ascending order; the value is its middle.
    template <class Visit>
    void each(Visit visit) const {
        for (std::size_t i = 0; i < cells; ++i)
            if (counts_[i] != 0) visit((first_of(i) + last_of(i) + 1) / 2, counts_[i]);
    }

private:
    // Each power of two above 2048 has 1024 cells; below, each value has its own.
    static constexpr int half_bits = 10;
    static constexpr std::size_t half = std::size_t{1} << half_bits;
    static constexpr std::size_t cells = (42 - half_bits + 1) * half;

    static std::size_t cell_of(std::int64_t value) noexcept {
        const auto v = static_cast<std::uint64_t>(value);
        const int shift = std::max(static_cast<int>(std::bit_width(v)) - (half_bits + 1), 0);
        return static_cast<std::size_t>(shift) * half + static_cast<std::size_t>(v >> shift);
    }
    static int shift_of(std::size_t cell) noexcept {
        return cell < 2 * half ? 0 : static_cast<int>(cell / half) - 1;
    }
    static std::int64_t first_of(std::size_t cell) noexcept {
        const int shift = shift_of(cell);
        return static_cast<std::int64_t>(cell - static_cast<std::size_t>(shift) * half) << shift;
    }
    static std::int64_t last_of(std::size_t cell) noexcept {
        return first_of(cell) + (std::int64_t{1} << shift_of(cell)) - 1;
    }

    std::vector<std::uint64_t> counts_;
    std::uint64_t total_ = 0;
    std::int64_t least_ = std::numeric_limits<std::int64_t>::max();
    std::int64_t most_ = 0;
};

}  // namespace ice::bench
