// failing: lets each single allocation of a simulated world fail once, also those of Asio. Include
// it once in a program.
//
// Asio 1.22.1 cannot bear that in one place, and ends the process there; it is spared, by its name:
// awaitable_frame_base::await_transform()::result::await_suspend() is noexcept, and starts what a
// coroutine waits for, so it is about all that an operation allocates for itself when it starts.
// And so is the simulated kernel, within the events of its own: a real one's memory is not ours.
// In an optimised build they are inlined and cannot be told from others: there is no such test.
#pragma once

#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <ice/testing/sim.hpp>
#include <initializer_list>
#include <new>
#include <string_view>

#include "calls.hpp"
#include "heap.hpp"

// Asio's operations and coroutine frames come from here.
extern "C" void* memalign(std::size_t, std::size_t) noexcept;
extern "C" void* aligned_alloc(std::size_t align, std::size_t n) noexcept {
    return heap::fails() ? nullptr : memalign(align, n);
}

namespace failing {

struct mark {
    const char* name;  // a part of its mangled one
    bool bears;
};
// The innermost of these calls that lead to an allocation says whether it may fail.
inline constexpr mark marks[] = {
    {"7do_initI", false},  // of async_result<use_awaitable_t>: what await_suspend() calls
    {"7testing4wire", false},
    {"7testing7network2atE", false},
    {"7testing7network4stepE", false},
    {"20awaitable_frame_baseINS_15any_io_executorEE6resumeEv", true},  // a coroutine: it catches
    {"9deadlines6expireE", true},
};

inline std::array<unsigned, std::size(marks)> decided{};  // how often each has

inline bool may_fail() {
    static const calls::symbols known;
    void* stack[100];
    const int n = backtrace(stack, 100);
    for (int i = 0; i < n; ++i) {
        const std::string_view name = known.name_of(stack[i]);
        for (std::size_t m = 0; m < std::size(marks); ++m) {
            if (name.find(marks[m].name) == name.npos) continue;
            ++decided[m];
            return marks[m].bears;
        }
    }
    return true;  // the test itself
}

// As may_fail(), but the memory of others is not at stake: of calls that have one of these words in
// their names.
inline bool may_fail_outside(std::initializer_list<const char*> others) {
    static const calls::symbols known;
    void* stack[100];
    const int n = backtrace(stack, 100);
    for (int i = 0; i < n; ++i) {
        const std::string_view name = known.name_of(stack[i]);
        for (const char* of : others) {
            if (name.find(of) != name.npos) return false;
        }
    }
    return may_fail();
}

inline unsigned came_out = 0;

// What is thrown in a handler of the loop's comes out of it, and the loop goes on: so does
// server::run().
template <class F>
void in_spite_of_it(F run) {
    for (;;) {
        try {
            return run();
        } catch (const std::bad_alloc&) { ++came_out; }
    }
}

// Runs the world for `span`, also if memory runs out in the middle.
inline void run_for(ice::testing::simulation& sim, ice::duration span) {
    const auto end = sim.now() + span;
    in_spite_of_it([&] { sim.run_until([] { return false; }, end - sim.now()); });
}

}  // namespace failing
