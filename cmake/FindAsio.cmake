# Standalone Asio as the target asio::asio, wherever it comes from: a target that the project has
# already, a CMake package (Conan, vcpkg), or bare headers (Debian). Sets Asio_FOUND, Asio_VERSION.
#
# Versions 1.22.2 to 1.28.1 are refused: cancelling a co_spawn there can use memory after it was
# freed (chriskohlhoff/asio#1332).
include(FindPackageHandleStandardArgs)

if(NOT TARGET asio::asio)
    find_package(asio CONFIG QUIET)
    if(TARGET asio AND NOT TARGET asio::asio)
        add_library(asio::asio ALIAS asio)
    endif()
endif()

# Where the headers are: beside the target, or where pkg-config or the system has them.
set(_asio_hints ${asio_INCLUDE_DIRS})
if(TARGET asio::asio)
    get_target_property(_asio_dirs asio::asio INTERFACE_INCLUDE_DIRECTORIES)
    if(_asio_dirs)
        # Conan and FetchContent write $<$<CONFIG:Release>:dir> and $<BUILD_INTERFACE:dir>.
        string(REGEX REPLACE "\\$<[^;]*[:;](/[^;>]*)>" "\\1" _asio_dirs "${_asio_dirs}")
        list(FILTER _asio_dirs EXCLUDE REGEX "\\$<")
        list(APPEND _asio_hints ${_asio_dirs})
    endif()
else()
    find_package(PkgConfig QUIET)
    if(PKG_CONFIG_FOUND)
        pkg_check_modules(PC_ASIO QUIET asio)
        list(APPEND _asio_hints ${PC_ASIO_INCLUDE_DIRS})
    endif()
endif()
find_path(Asio_INCLUDE_DIR asio/version.hpp HINTS ${_asio_hints})
mark_as_advanced(Asio_INCLUDE_DIR)

# A package may come without a version: then the header tells it.
unset(Asio_VERSION)
if(asio_VERSION)
    set(Asio_VERSION ${asio_VERSION})
elseif(Asio_INCLUDE_DIR)
    file(STRINGS "${Asio_INCLUDE_DIR}/asio/version.hpp" _asio_line
        REGEX "^#define ASIO_VERSION [0-9]+")
    string(REGEX MATCH "[0-9]+" _asio_number "${_asio_line}")
    math(EXPR _asio_major "${_asio_number} / 100000")
    math(EXPR _asio_minor "${_asio_number} / 100 % 1000")
    math(EXPR _asio_patch "${_asio_number} % 100")
    set(Asio_VERSION ${_asio_major}.${_asio_minor}.${_asio_patch})
endif()

set(_asio_reason)
set(Asio_IS_SAFE TRUE)
if(Asio_VERSION VERSION_GREATER_EQUAL 1.22.2 AND Asio_VERSION VERSION_LESS 1.28.2)
    set(Asio_IS_SAFE FALSE)
    string(CONCAT _asio_reason
        "Asio ${Asio_VERSION} frees memory that a cancelled co_spawn still uses "
        "(chriskohlhoff/asio#1332, versions 1.22.2 to 1.28.1). "
        "Use Asio 1.22.1, or 1.28.2 and newer.")
endif()

find_package_handle_standard_args(Asio
    REQUIRED_VARS Asio_INCLUDE_DIR Asio_IS_SAFE
    VERSION_VAR Asio_VERSION
    REASON_FAILURE_MESSAGE "${_asio_reason}")

if(Asio_FOUND AND NOT TARGET asio::asio)
    find_package(Threads REQUIRED)
    add_library(asio::asio INTERFACE IMPORTED)
    target_include_directories(asio::asio INTERFACE "${Asio_INCLUDE_DIR}")
    target_compile_definitions(asio::asio INTERFACE ASIO_STANDALONE)
    target_link_libraries(asio::asio INTERFACE Threads::Threads)
    if(Asio_VERSION VERSION_LESS 1.23)
        # It knows Clang's coroutines only together with libc++.
        target_compile_definitions(asio::asio INTERFACE
            $<$<CXX_COMPILER_ID:Clang>:ASIO_HAS_CO_AWAIT=1>)
    endif()
endif()
