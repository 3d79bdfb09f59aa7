# NOT vcpkg, but a stand-in for it: the functions of vcpkg that the port of ice calls, as far as its
# documentation tells what they do, so that the port can be run where vcpkg cannot be fetched.
#   cmake -DFOLDER=where -DPORT_FOLDER=an/overlay/ice-cpp-ice -P vcpkg_stand_in.cmake
# makes FOLDER/installed, with a Debug and a Release build, as `vcpkg install` would.
cmake_minimum_required(VERSION 3.23)

get_filename_component(PORT "${PORT_FOLDER}" NAME)
set(CURRENT_PACKAGES_DIR "${FOLDER}/installed")
set(BUILDS Release "${CURRENT_PACKAGES_DIR}" Debug "${CURRENT_PACKAGES_DIR}/debug")

function(call)
    execute_process(COMMAND ${ARGV} COMMAND_ERROR_IS_FATAL ANY OUTPUT_QUIET)
endfunction()

function(vcpkg_extract_source_archive out)
    cmake_parse_arguments(PARSE_ARGV 1 given "" ARCHIVE "")
    file(ARCHIVE_EXTRACT INPUT "${given_ARCHIVE}" DESTINATION "${FOLDER}/sources")
    file(GLOB top "${FOLDER}/sources/*")  # the one folder in it
    set(${out} "${top}" PARENT_SCOPE)
endfunction()

function(vcpkg_cmake_configure)
    cmake_parse_arguments(PARSE_ARGV 0 given "" SOURCE_PATH OPTIONS)
    set(builds ${BUILDS})
    while(builds)
        list(POP_FRONT builds type prefix)
        call(${CMAKE_COMMAND} -G Ninja -S "${given_SOURCE_PATH}" -B "${FOLDER}/${type}"
            -DCMAKE_BUILD_TYPE=${type} "-DCMAKE_INSTALL_PREFIX=${prefix}"
            -DCMAKE_UNITY_BUILD=ON  # vcpkg does not, but the result is the same, and soon there
            -DBUILD_SHARED_LIBS=OFF -DCMAKE_INSTALL_LIBDIR=lib ${given_OPTIONS})
    endwhile()
endfunction()

function(vcpkg_cmake_install)
    foreach(type Release Debug)
        call(${CMAKE_COMMAND} --build "${FOLDER}/${type}" --target install)
    endforeach()
endfunction()

# One package in share/PACKAGE_NAME, which knows both builds.
function(vcpkg_cmake_config_fixup)
    cmake_parse_arguments(PARSE_ARGV 0 given "" "PACKAGE_NAME;CONFIG_PATH" "")
    set(share "${CURRENT_PACKAGES_DIR}/share/${given_PACKAGE_NAME}")
    file(COPY "${CURRENT_PACKAGES_DIR}/${given_CONFIG_PATH}/" DESTINATION "${share}")
    file(GLOB debug_files "${CURRENT_PACKAGES_DIR}/debug/${given_CONFIG_PATH}/*-debug.cmake")
    foreach(file IN LISTS debug_files)
        file(READ "${file}" text)
        string(REPLACE "{_IMPORT_PREFIX}/lib" "{_IMPORT_PREFIX}/debug/lib" text "${text}")
        get_filename_component(name "${file}" NAME)
        file(WRITE "${share}/${name}" "${text}")
    endforeach()
    file(GLOB files "${share}/*.cmake")
    foreach(file IN LISTS files)  # it lies one folder less deep than it did
        file(READ "${file}" text)
        string(REPLACE "/../../../\" ABSOLUTE" "/../../\" ABSOLUTE" text "${text}")
        set(up "get_filename_component(_IMPORT_PREFIX \"\${_IMPORT_PREFIX}\" PATH)\n")
        string(REPLACE "${up}${up}${up}" "${up}${up}" text "${text}")
        file(WRITE "${file}" "${text}")
    endforeach()
    foreach(prefix "${CURRENT_PACKAGES_DIR}" "${CURRENT_PACKAGES_DIR}/debug")
        file(REMOVE_RECURSE "${prefix}/lib/cmake")
    endforeach()
endfunction()

function(vcpkg_fixup_pkgconfig)
    foreach(prefix "${CURRENT_PACKAGES_DIR}" "${CURRENT_PACKAGES_DIR}/debug")
        file(GLOB modules "${prefix}/lib/pkgconfig/*.pc")
        if(NOT modules)
            message(FATAL_ERROR "no pkg-config module in ${prefix}")
        endif()
        foreach(module IN LISTS modules)
            get_filename_component(name "${module}" NAME_WE)
            call(${CMAKE_COMMAND} -E env "PKG_CONFIG_PATH=${prefix}/lib/pkgconfig"
                pkg-config --exists --print-errors ${name})
        endforeach()
    endforeach()
endfunction()

function(vcpkg_install_copyright)
    cmake_parse_arguments(PARSE_ARGV 0 given "" "" FILE_LIST)
    file(READ "${given_FILE_LIST}" text)
    file(WRITE "${CURRENT_PACKAGES_DIR}/share/${PORT}/copyright" "${text}")
endfunction()

include("${PORT_FOLDER}/portfile.cmake")

# What vcpkg itself looks for after a build, and refuses.
foreach(path share/${PORT}/copyright share/${PORT}/usage share/ice/ice-config.cmake include)
    if(NOT EXISTS "${CURRENT_PACKAGES_DIR}/${path}")
        message(FATAL_ERROR "the port made no ${path}")
    endif()
endforeach()
foreach(path debug/include debug/share lib/cmake debug/lib/cmake share/doc)
    if(EXISTS "${CURRENT_PACKAGES_DIR}/${path}")
        message(FATAL_ERROR "the port leaves ${path} behind")
    endif()
endforeach()
