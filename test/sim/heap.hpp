// heap: every operator new of a test program, counted: what is left when all has ended, and, if it
// is told so, one that fails. To be included once in a program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace heap {

inline std::uint64_t made = 0;                     // since the program began
inline std::uint64_t freed = 0;                    // made - freed are in use
inline std::uint64_t failing = ~std::uint64_t{0};  // the one of `made` that fails
inline bool (*may_fail)() = [] { return true; };   // asked then; if not, it is spared
inline std::uint64_t failures = 0, spared = 0;

inline void* allocate(std::size_t align, std::size_t n) {
    if (made++ == failing) {
        failing = ~std::uint64_t{0};
        if (may_fail()) {
            ++failures;
            throw std::bad_alloc();
        }
        ++spared;
    }
    void* p = align == 0 ? std::malloc(n == 0 ? 1 : n)
                         : std::aligned_alloc(align, (n + align - 1) / align * align);
    if (p) return p;
    throw std::bad_alloc();
}
inline void release(void* p) noexcept {
    if (p) ++freed;
    std::free(p);
}
inline std::uint64_t in_use() noexcept { return made - failures - freed; }

}  // namespace heap

void* operator new(std::size_t n) { return heap::allocate(0, n); }
void* operator new(std::size_t n, std::align_val_t a) {
    return heap::allocate(static_cast<std::size_t>(a), n);
}
void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
    try {
        return heap::allocate(0, n);
    } catch (const std::bad_alloc&) { return nullptr; }
}
void operator delete(void* p) noexcept { heap::release(p); }
void operator delete(void* p, std::size_t) noexcept { heap::release(p); }
void operator delete(void* p, std::align_val_t) noexcept { heap::release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { heap::release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { heap::release(p); }
