// The version of ice: the only place where it is written. CMake and Conan read it from here.
#pragma once

#define ICE_VERSION_MAJOR 0
#define ICE_VERSION_MINOR 1
#define ICE_VERSION_PATCH 0

// For #if: 100 * (100 * major + minor) + patch.
#define ICE_VERSION (ICE_VERSION_MAJOR * 10000 + ICE_VERSION_MINOR * 100 + ICE_VERSION_PATCH)

#define ICE_VERSION_TEXT_OF(number) #number
#define ICE_VERSION_TEXT(major, minor, patch) \
    ICE_VERSION_TEXT_OF(major) "." ICE_VERSION_TEXT_OF(minor) "." ICE_VERSION_TEXT_OF(patch)

namespace ice {

// "major.minor.patch"
inline constexpr const char* version =
    ICE_VERSION_TEXT(ICE_VERSION_MAJOR, ICE_VERSION_MINOR, ICE_VERSION_PATCH);

}  // namespace ice

#undef ICE_VERSION_TEXT
#undef ICE_VERSION_TEXT_OF
