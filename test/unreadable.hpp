// unreadable: bytes that may be passed on but not read. A parser that looks at the bytes of an
// unfinished message, and so costs O(n * n) if they come one by one, crashes on them.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <new>
#include <string_view>

namespace test {

// `head`, and behind it a page that cannot be read.
class unreadable {
public:
    explicit unreadable(std::string_view head) {
        void* const at =
            ::mmap(nullptr, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) throw std::bad_alloc();
        base_ = static_cast<char*>(at);
        begin_ = base_ + page_ - head.size();
        std::memcpy(begin_, head.data(), head.size());
        ::mprotect(base_ + page_, page_, PROT_NONE);
    }
    ~unreadable() { ::munmap(base_, 2 * page_); }
    unreadable(const unreadable&) = delete;
    unreadable& operator=(const unreadable&) = delete;

    // Requires: size <= head.size() + a page.
    std::string_view first(std::size_t size) const { return {begin_, size}; }
    std::size_t page() const noexcept { return page_; }

private:
    std::size_t page_ = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    char* base_;
    char* begin_;
};

}  // namespace test
