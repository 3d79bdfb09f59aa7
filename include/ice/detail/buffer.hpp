// buffer: bytes received and not yet consumed, in one piece. No I/O.
// Its storage is uninitialised, grows while reads fill it, and can be given back when at rest.
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

    // What has been committed and not consumed. Valid until the next prepare() or shrink().
    std::string_view data() const noexcept { return {storage_.get() + begin_, end_ - begin_}; }
    std::size_t size() const noexcept { return end_ - begin_; }
    std::size_t capacity() const noexcept { return capacity_; }

    // Room for at least `n` more bytes behind data(); all of the capacity that is free there.
    // Doubles the capacity where needed, so n bytes fed in any pieces cost O(n).
    struct room {
        char* data;
        std::size_t size;
    };
    room prepare(std::size_t n) {
        if (begin_ != 0 && capacity_ - end_ < n) compact();
        if (capacity_ - end_ < n) grow(end_ + n);
        return {storage_.get() + end_, capacity_ - end_};
    }

    // `n` bytes of the room have been written. Requires: n <= its size.
    void commit(std::size_t n) noexcept {
        assert(n <= capacity_ - end_);
        end_ += n;
    }

    void append(std::string_view bytes) {
        if (bytes.empty()) return;
        std::memcpy(prepare(bytes.size()).data, bytes.data(), bytes.size());
        commit(bytes.size());
    }

    // The first `n` bytes are done with. The bytes stay where they are until the next prepare().
    // Requires: n <= size().
    void consume(std::size_t n) noexcept {
        assert(n <= size());
        begin_ += n;
        if (begin_ == end_) begin_ = end_ = 0;
    }

    // Gives storage back until `n` bytes are left, but never bytes of data().
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
