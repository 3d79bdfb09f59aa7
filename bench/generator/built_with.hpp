// How this load generator was built, for its reports.
#pragma once

namespace ice::bench::built_with {

extern const char* const revision;
extern const char* const compiler;
extern const char* const flags;

}  // namespace ice::bench::built_with
