// is_quick: whether this is a debug build, in which a test of many cases runs a part of them. A
// release build runs all of them, and CI has one.
#pragma once

#ifdef NDEBUG
constexpr bool is_quick = false;
#else
constexpr bool is_quick = true;
#endif
