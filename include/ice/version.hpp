// The version of ice, by semantic versioning. It is written only here: CMake and Conan read it from
// this file.
#pragma once

#define ICE_VERSION_MAJOR 0
#define ICE_VERSION_MINOR 1
#define ICE_VERSION_PATCH 0

// For #if: 100 * (100 * major + minor) + patch, so 0.1.0 is 100. A program that supports several
// versions writes `#if ICE_VERSION >= 200`.
#define ICE_VERSION (ICE_VERSION_MAJOR * 10000 + ICE_VERSION_MINOR * 100 + ICE_VERSION_PATCH)

#define ICE_VERSION_TEXT_OF(number) #number
#define ICE_VERSION_TEXT(major, minor, patch) \
    ICE_VERSION_TEXT_OF(major) "." ICE_VERSION_TEXT_OF(minor) "." ICE_VERSION_TEXT_OF(patch)

namespace ice {

// "major.minor.patch" of the headers that the program was compiled with.
inline constexpr const char* version =
    ICE_VERSION_TEXT(ICE_VERSION_MAJOR, ICE_VERSION_MINOR, ICE_VERSION_PATCH);

}  // namespace ice

#undef ICE_VERSION_TEXT
#undef ICE_VERSION_TEXT_OF
