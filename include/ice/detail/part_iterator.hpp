// part_iterator: goes over what a message consists of, such as headers or items, and parses each
// part when it comes to it. No I/O.
#pragma once

#include <cstddef>
#include <string_view>

namespace ice::detail {

// A forward iterator. `Next` reads the first part of some bytes, and returns how many bytes it has;
// 0 at their end, or if they are no part. The bytes must be valid as long as the iterator.
template <class Part, std::size_t (*Next)(std::string_view, Part&) noexcept>
class part_iterator {
public:
    using value_type = Part;
    using difference_type = std::ptrdiff_t;

    // The end of any range.
    part_iterator() = default;
    explicit part_iterator(std::string_view bytes) : rest_(bytes), size_(Next(bytes, part_)) {
        if (size_ == 0) rest_ = {};
    }

    Part operator*() const { return part_; }
    const Part* operator->() const { return &part_; }
    part_iterator& operator++() {
        *this = part_iterator(rest_.substr(size_));
        return *this;
    }
    part_iterator operator++(int) {
        const auto before = *this;
        ++*this;
        return before;
    }
    // Compares iterators of the same bytes.
    bool operator==(const part_iterator& b) const { return rest_.size() == b.rest_.size(); }

private:
    std::string_view rest_;
    Part part_{};
    std::size_t size_ = 0;  // bytes of the part with which rest_ begins
};

}  // namespace ice::detail
