# The torture test. What ice asks the kernel passes through calls.cpp: the linker puts it between.
# The same names as in there.
set(ICE_TORTURE_CALLS recv send accept4 socket connect shutdown close epoll_create1 epoll_ctl
    epoll_wait timerfd_settime)
list(TRANSFORM ICE_TORTURE_CALLS PREPEND LINKER:--wrap= OUTPUT_VARIABLE ICE_TORTURE_WRAPS)
add_library(ice-torture-parts OBJECT
    torture/arrival.cpp torture/broker.cpp torture/calls.cpp torture/links.cpp torture/logics.cpp
    torture/outsiders.cpp torture/peers.cpp torture/sources.cpp torture/stage.cpp
    torture/torture.cpp torture/upstream.cpp torture/words.cpp)
target_link_libraries(ice-torture-parts PUBLIC ice::testing ice-command-line)
ice_own_target(ice-torture-parts)
set_target_properties(ice-torture-parts PROPERTIES UNITY_BUILD OFF)  # parts share names
ice_use_precompiled(ice-torture-parts)
# Linux's own header of TCP cannot follow that of the C library.
set_source_files_properties(torture/arrival.cpp PROPERTIES SKIP_PRECOMPILE_HEADERS ON)
add_executable(ice-torture $<TARGET_OBJECTS:ice-torture-parts>)
target_link_libraries(ice-torture PRIVATE ice-torture-parts)
target_link_options(ice-torture PRIVATE ${ICE_TORTURE_WRAPS})
set_target_properties(ice-torture PROPERTIES
    OUTPUT_NAME torture RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/torture)
ice_own_target(ice-torture)
add_test(NAME torture COMMAND ice-torture --seconds 10)
set_tests_properties(torture PROPERTIES TIMEOUT 300 LABELS torture)
