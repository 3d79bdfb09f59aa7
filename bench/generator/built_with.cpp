// A file of its own, because each commit changes the revision, and so compiles it again.
#include "built_with.hpp"

namespace ice::bench::built_with {

const char* const revision = ICE_BENCH_REVISION;
const char* const compiler = ICE_BENCH_COMPILER;
const char* const flags = ICE_BENCH_FLAGS;

}  // namespace ice::bench::built_with
