# Install rules: headers, libraries, the CMake package `ice`, the pkg-config modules `ice-cpp` and
# `ice-cpp-testing` (`ice.pc` belongs to X11's Inter-Client Exchange library).
include(CMakePackageConfigHelpers)

set(ICE_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/ice)

set(ICE_INSTALLED ice ice-testing)
if(ICE_BUILD_BENCH)
    list(APPEND ICE_INSTALLED ice-bench-generator)
endif()
install(TARGETS ${ICE_INSTALLED} EXPORT ice-targets
    LIBRARY COMPONENT Runtime NAMELINK_COMPONENT Development
    ARCHIVE COMPONENT Development
    FILE_SET HEADERS COMPONENT Development)
install(EXPORT ice-targets NAMESPACE ice:: DESTINATION ${ICE_CMAKE_DIR} COMPONENT Development)

configure_package_config_file(cmake/ice-config.cmake.in ${PROJECT_BINARY_DIR}/ice-config.cmake
    INSTALL_DESTINATION ${ICE_CMAKE_DIR})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/ice-config-version.cmake
    COMPATIBILITY SameMinorVersion)  # while the major version is 0, each minor one may break
install(FILES
    ${PROJECT_BINARY_DIR}/ice-config.cmake
    ${PROJECT_BINARY_DIR}/ice-config-version.cmake
    cmake/FindAsio.cmake
    DESTINATION ${ICE_CMAKE_DIR} COMPONENT Development)

# The way from lib/pkgconfig back to the prefix, so that the installed tree can be moved.
set(ICE_PC_DIR ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
file(RELATIVE_PATH ICE_PC_TO_PREFIX /${ICE_PC_DIR} /)
string(REGEX REPLACE "/$" "" ICE_PC_TO_PREFIX "${ICE_PC_TO_PREFIX}")
foreach(module IN ITEMS ice-cpp ice-cpp-testing)
    configure_file(cmake/${module}.pc.in ${PROJECT_BINARY_DIR}/${module}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${module}.pc
        DESTINATION ${ICE_PC_DIR} COMPONENT Development)
endforeach()

if(NOT ICE_DEBIAN)  # it has a place of its own for it
    install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT Development)
endif()
