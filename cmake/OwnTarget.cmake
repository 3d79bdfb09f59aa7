# ice_own_target(target): what only ice's own code is built with. All of it is PRIVATE: a program
# that links ice::ice gets none of these flags.
include(CheckCXXCompilerFlag)

set(ICE_WARNINGS
    -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor -Wold-style-cast -Wcast-align
    -Wcast-qual -Woverloaded-virtual -Wformat=2 -Wimplicit-fallthrough -Wunused)
if(CMAKE_CXX_COMPILER_ID STREQUAL GNU)
    list(APPEND ICE_WARNINGS -Wduplicated-cond -Wduplicated-branches)
    if(CMAKE_UNITY_BUILD)  # it warns of unnamed namespaces that are not in the main file
        list(APPEND ICE_WARNINGS -Wno-subobject-linkage)
    endif()
    if(CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
        # Wrong in GCC 12: the first three about std::string's operator+ (GCC bugs 105329, 105651),
        # the others about frames of coroutines.
        list(APPEND ICE_WARNINGS
            -Wno-restrict -Wno-array-bounds -Wno-stringop-overflow
            -Wno-maybe-uninitialized -Wno-mismatched-new-delete)
    endif()
endif()

set(ICE_HARDEN_COMPILE)
set(ICE_HARDEN_LINK)
if(ICE_HARDEN)
    foreach(flag
            -fstack-protector-strong
            -fstack-clash-protection
            -fcf-protection=full              # x86
            -mbranch-protection=standard      # arm64
            -ftrivial-auto-var-init=zero)
        string(MAKE_C_IDENTIFIER "ICE_HAS${flag}" has)
        check_cxx_compiler_flag(${flag} ${has})
        if(${has})
            list(APPEND ICE_HARDEN_COMPILE ${flag})
        endif()
    endforeach()
    # The fortified C library needs an optimised build; level 3 came with GCC 12 and Clang 9.
    list(APPEND ICE_HARDEN_COMPILE
        -D_GLIBCXX_ASSERTIONS
        $<$<NOT:$<CONFIG:Debug>>:-U_FORTIFY_SOURCE>
        $<$<NOT:$<CONFIG:Debug>>:-D_FORTIFY_SOURCE=3>)
    list(APPEND ICE_HARDEN_LINK LINKER:-z,relro LINKER:-z,now LINKER:-z,noexecstack)
endif()

# Nobody replaces one function of a libice by his own, so its calls of itself need not expect that:
# position-independent code then costs next to nothing. It is what Clang does by itself.
check_cxx_compiler_flag(-fno-semantic-interposition ICE_HAS_fno_semantic_interposition)

function(ice_own_target target)
    target_compile_options(${target} PRIVATE
        ${ICE_WARNINGS} $<$<BOOL:${ICE_WERROR}>:-Werror> ${ICE_HARDEN_COMPILE})
    # Asio's old names go away in its newer versions: ice must not lean on them.
    target_compile_definitions(${target} PRIVATE ASIO_NO_DEPRECATED)
    get_target_property(type ${target} TYPE)
    if(type MATCHES "^(STATIC|SHARED)_LIBRARY$")
        target_compile_options(${target} PRIVATE
            $<$<BOOL:${ICE_HAS_fno_semantic_interposition}>:-fno-semantic-interposition>)
        if(NOT DEFINED CMAKE_POSITION_INDEPENDENT_CODE)
            # A static library may become part of its user's shared object.
            set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
        endif()
    endif()
    if(NOT type STREQUAL STATIC_LIBRARY)
        target_link_options(${target} PRIVATE ${ICE_HARDEN_LINK})
    endif()
    if(ICE_HARDEN)
        set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
        if(type STREQUAL EXECUTABLE)
            target_link_options(${target} PRIVATE -pie)
        endif()
    endif()
    set_target_properties(${target} PROPERTIES CXX_EXTENSIONS OFF)
endfunction()

# Headers that are parsed once for the library and all programs that link it: the presets dev, asan.
function(ice_use_precompiled target)
    if(ICE_PRECOMPILE)
        target_precompile_headers(${target} REUSE_FROM ice-headers)
    endif()
endfunction()

# ice_own_program(prefix source libraries...): one file is one program. `tutorial/1_echo.cpp` is
# tutorial/1_echo below the build directory; its target is prefix-1_echo.
function(ice_own_program prefix source)
    cmake_path(GET source STEM name)
    cmake_path(GET source PARENT_PATH folder)
    set(target ${prefix}-${name})
    add_executable(${target} ${source})
    target_link_libraries(${target} PRIVATE ${ARGN})
    target_compile_features(${target} PRIVATE cxx_std_20)
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/${folder})
    ice_own_target(${target})
    if("ice::ice" IN_LIST ARGN)
        ice_use_precompiled(${target})
    endif()
endfunction()
