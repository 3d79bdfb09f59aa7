# The tests of links and of subscriptions once more for each planted bug of mutants.py, and the test
# that each of them fails. Not optimised: what is inlined into the tests would not be the planted
# code.
set(table ${CMAKE_CURRENT_LIST_DIR}/mutants.py)
set(folder ${CMAKE_CURRENT_BINARY_DIR}/link/mutants)
add_library(ice-link-tests OBJECT link_test.cpp redis_subscriber_test.cpp)
ice_test_settings(ice-link-tests)
target_compile_options(ice-link-tests PRIVATE -O0 -g0)
ice_plant(${table} ${folder}
    INCLUDE ${CMAKE_CURRENT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/lib/actions
        ${PROJECT_SOURCE_DIR}/lib/server
    WITH $<TARGET_OBJECTS:ice-link-tests> $<TARGET_OBJECTS:ice-test-main>
    LINK ice::testing Boost::unit_test_framework COMPILE_OPTIONS -O0 -g0 LINK_OPTIONS -s)
add_test(NAME link_mutants COMMAND ${ICE_PYTHON} ${table} run ${folder}/bin)
set_tests_properties(link_mutants PROPERTIES TIMEOUT 600 LABELS unit PROCESSORS 2)
