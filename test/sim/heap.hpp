// heap: counts every operator new of a test program: finds leaks at the end, and lets a chosen one
// fail. Include it once in a program.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

namespace heap {

inline std::uint64_t made = 0, freed = 0;       // since the program began
inline std::uint64_t left = ~std::uint64_t{0};  // until the one that fails
inline bool (*may_fail)() = nullptr;            // asked then; if not, it is spared
inline std::uint64_t failures = 0, spared = 0;

// The n-th allocation from now (0: the next) fails, if `may` says so then.
inline void fail(std::uint64_t n, bool (*may)()) {
    left = n;
    may_fail = may;
}
inline void fail_no_more() { may_fail = nullptr; }
inline bool waits_to_fail() { return may_fail != nullptr; }

// Whether the allocation that asks is that one.
inline bool fails() noexcept {
    if (!may_fail || left-- != 0) return false;
    auto* const asked = may_fail;
    may_fail = nullptr;  // it may allocate itself
    const bool is_it = asked();
    ++(is_it ? failures : spared);
    return is_it;
}

inline void* allocate(std::size_t align, std::size_t n) {
    if (fails()) throw std::bad_alloc();
    void* p = align == 0 ? std::malloc(n == 0 ? 1 : n)
                         : std::aligned_alloc(align, (n + align - 1) / align * align);
    if (!p) throw std::bad_alloc();
    ++made;
    return p;
}
inline void release(void* p) noexcept {
    if (p) ++freed;
    std::free(p);
}
inline std::uint64_t in_use() noexcept { return made - freed; }

// What became of a call whose n-th allocation failed.
struct strike {
    bool threw = false;        // std::bad_alloc
    bool was_reached = false;  // it makes so many allocations
};
template <class F>
strike strike_at(std::uint64_t n, F run) {
    strike s;
    fail(n, [] { return true; });
    try {
        run();
    } catch (const std::bad_alloc&) { s.threw = true; }
    s.was_reached = !waits_to_fail();
    fail_no_more();
    return s;
}

// Runs `what` twice, as there are things that are made once in a program. Returns how many
// allocations of the second run are left.
template <class F>
std::uint64_t left_by(F what) {
    what();
    const auto before = in_use();
    what();
    return in_use() - before;
}

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
