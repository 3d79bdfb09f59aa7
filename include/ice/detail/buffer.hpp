// buffer: bytes received and not yet consumed, in one contiguous piece. No I/O.
// Its storage is uninitialised, grows while reads fill it, and can be released while empty.
#pragma once

#include <cassert>
#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>
#include <utility>

namespace ice {

class buffer {
public:
    buffer() = default;
    buffer(buffer&& other) noexcept { swap(*this, other); }
    buffer& operator=(buffer&& other) noexcept {
        buffer taken(std::move(other));
        swap(*this, taken);
        return *this;
    }
    friend void swap(buffer& a, buffer& b) noexcept {
        std::swap(a.storage_, b.storage_);
        std::swap(a.begin_, b.begin_);
        std::swap(a.end_, b.end_);
        std::swap(a.capacity_, b.capacity_);
    }

    // The bytes that were committed and not consumed. Valid until the next prepare(), append() or
    // shrink(); consume() moves nothing.
    std::string_view data() const noexcept { return {storage_.get() + begin_, end_ - begin_}; }
    std::size_t size() const noexcept { return end_ - begin_; }
    std::size_t capacity() const noexcept { return capacity_; }

    // Returns the free memory behind data(), at least `n` bytes; it is valid until the next call
    // that is not const. Doubles the capacity if needed, so n bytes fed in any pieces cost O(n).
    // Throws std::bad_alloc, and is then unchanged.
    struct room {
        char* data;
        std::size_t size;
    };
    room prepare(std::size_t n) {
        if (begin_ != 0 && capacity_ - end_ < n) compact();
        if (capacity_ - end_ < n) grow(end_ + n);
        return {storage_.get() + end_, capacity_ - end_};
    }

    // Appends the first `n` bytes of the memory of prepare() to data(). Requires: n <= its size.
    void commit(std::size_t n) noexcept {
        assert(n <= capacity_ - end_);
        end_ += n;
    }

    // Copies the bytes behind data(). Requires: `bytes` is no part of this buffer.
    void append(std::string_view bytes) {
        if (bytes.empty()) return;
        std::memcpy(prepare(bytes.size()).data, bytes.data(), bytes.size());
        commit(bytes.size());
    }

    // Removes the first `n` bytes from data(). Their memory keeps its content until the next
    // prepare(), so views of them stay valid until then. Requires: n <= size().
    void consume(std::size_t n) noexcept {
        assert(n <= size());
        begin_ += n;
        if (begin_ == end_) begin_ = end_ = 0;
    }

    // Reduces the capacity to `n` bytes, or to size() if that is more. 0 frees an empty buffer.
    void shrink(std::size_t n) {
        const std::size_t wanted = n < size() ? size() : n;
        if (wanted < capacity_) move_to(wanted);
    }

private:
    void compact() noexcept {
        std::memmove(storage_.get(), storage_.get() + begin_, size());
        end_ -= begin_;
        begin_ = 0;
    }

    void grow(std::size_t least) {
        std::size_t wanted = capacity_ < 256 ? 512 : capacity_ * 2;  // 512: a few lines
        while (wanted < least) wanted *= 2;
        move_to(wanted);
    }

    void move_to(std::size_t wanted) {
        std::unique_ptr<char[]> fresh(wanted == 0 ? nullptr : new char[wanted]);
        if (size() != 0) std::memcpy(fresh.get(), storage_.get() + begin_, size());
        end_ -= begin_;
        begin_ = 0;
        storage_ = std::move(fresh);
        capacity_ = wanted;
    }

    std::unique_ptr<char[]> storage_;
    std::size_t begin_ = 0;
    std::size_t end_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace ice
