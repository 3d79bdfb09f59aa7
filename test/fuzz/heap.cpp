// Measures the heap by the hooks of the address sanitizer: malloc and operator new.
#include <sanitizer/allocator_interface.h>

#include "fuzz.hpp"

namespace fuzz {
namespace {

heap seen;
bool watching = false;

void allocated(const volatile void*, std::size_t size) {
    if (!watching) return;
    seen.now += static_cast<std::ptrdiff_t>(size);
    seen.peak = std::max(seen.peak, seen.now);
}
void freed(const volatile void* p) {
    if (!watching || p == nullptr) return;
    seen.now -=
        static_cast<std::ptrdiff_t>(__sanitizer_get_allocated_size(const_cast<const void*>(p)));
}

const int installed = __sanitizer_install_malloc_and_free_hooks(allocated, freed);

}  // namespace

heap_watch::heap_watch() {
    check(installed != 0, "the sanitizer has room for our hooks");
    watching = true;
}
heap_watch::~heap_watch() { watching = false; }
heap& watched() noexcept { return seen; }

}  // namespace fuzz
