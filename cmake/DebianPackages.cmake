# `cpack` makes libice-cpp0.y and libice-cpp-dev (libice and libice-dev are X11's). For a shared
# build with the prefix /usr, which `./run package debian` makes; ICE_DEBIAN asks for it.
if(NOT BUILD_SHARED_LIBS OR NOT CMAKE_INSTALL_PREFIX STREQUAL "/usr")
    message(FATAL_ERROR "ICE_DEBIAN needs BUILD_SHARED_LIBS=ON and CMAKE_INSTALL_PREFIX=/usr")
endif()

set(runtime libice-cpp${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})  # the SONAME's version
set(ICE_MAINTAINER "ice maintainers <maintainers@ice.invalid>" CACHE STRING
    "Who answers for the packages: name <address>")

# Debian asks each package for its licence, and for a changelog in its own form.
if(NOT DEFINED ENV{SOURCE_DATE_EPOCH})
    file(TIMESTAMP CHANGELOG.md SECONDS "%s" UTC)
    set(ENV{SOURCE_DATE_EPOCH} ${SECONDS})
endif()
execute_process(COMMAND date --utc --rfc-email --date=@$ENV{SOURCE_DATE_EPOCH}
    OUTPUT_VARIABLE date OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
file(WRITE ${PROJECT_BINARY_DIR}/changelog
    "libice-cpp (${PROJECT_VERSION}) unstable; urgency=medium\n\n"
    "  * What is new is told in CHANGELOG.md of the sources.\n\n"
    " -- ${ICE_MAINTAINER}  ${date}\n")
execute_process(COMMAND gzip -9nf ${PROJECT_BINARY_DIR}/changelog COMMAND_ERROR_IS_FATAL ANY)
file(READ LICENSE licence)
file(WRITE ${PROJECT_BINARY_DIR}/copyright
    "ice is under the Boost Software License, Version 1.0:\n\n${licence}")
foreach(component IN ITEMS Runtime Development)
    set(package ${runtime})
    if(component STREQUAL Development)
        set(package libice-cpp-dev)
    endif()
    install(FILES ${PROJECT_BINARY_DIR}/copyright ${PROJECT_BINARY_DIR}/changelog.gz
        DESTINATION share/doc/${package} COMPONENT ${component})
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT ${ICE_MAINTAINER})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS
    OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_COMPONENTS_ALL Runtime Development)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_ENABLE_COMPONENT_DEPENDS ON)

set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "C++20 toolkit for network servers")
set(CPACK_DEBIAN_RUNTIME_DESCRIPTION
    "Servers and gateways of coroutines on standalone Asio: a protocol says what
bytes mean, a logic what to answer, and pools keep connections upstream.")
set(CPACK_DEBIAN_DEVELOPMENT_DESCRIPTION "${CPACK_DEBIAN_RUNTIME_DESCRIPTION}
This package has the headers, the CMake package and the pkg-config module.")

set(CPACK_DEBIAN_RUNTIME_PACKAGE_NAME ${runtime})
set(CPACK_DEBIAN_RUNTIME_PACKAGE_SECTION libs)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_NAME libice-cpp-dev)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SECTION libdevel)
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_DEPENDS "libasio-dev, libfmt-dev")
set(CPACK_DEBIAN_DEVELOPMENT_PACKAGE_SUGGESTS "cmake, pkg-config")

# What lintian asks of a package with a library; cpack's own postinst does the same.
file(WRITE ${PROJECT_BINARY_DIR}/triggers "activate-noawait ldconfig\n")
set(CPACK_DEBIAN_RUNTIME_PACKAGE_CONTROL_EXTRA ${PROJECT_BINARY_DIR}/triggers)

include(CPack)
cpack_add_component(Runtime)
cpack_add_component(Development DEPENDS Runtime)
