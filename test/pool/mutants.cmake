# Tests of pools once more for each planted bug of mutants.py, and the test that each of them fails.
# Not optimised: what is inlined into the tests would not be the planted code.
set(table ${CMAKE_CURRENT_LIST_DIR}/mutants.py)
set(folder ${CMAKE_CURRENT_BINARY_DIR}/pool/mutants)
add_library(ice-pool-tests OBJECT pool_core_test.cpp pool_caller_error_test.cpp
    pool_refusals_test.cpp pool_large_request_test.cpp pipeline_test.cpp lease_test.cpp
    pool_cancellation_test.cpp)
ice_test_settings(ice-pool-tests)
target_compile_options(ice-pool-tests PRIVATE -O0 -g0)
ice_plant(${table} ${folder}
    WITH $<TARGET_OBJECTS:ice-pool-tests> $<TARGET_OBJECTS:ice-test-main>
    LINK ice::testing Boost::unit_test_framework COMPILE_OPTIONS -O0 -g0 LINK_OPTIONS -s)
add_test(NAME pool_mutants COMMAND ${ICE_PYTHON} ${table} run ${folder}/bin)
set_tests_properties(pool_mutants PROPERTIES TIMEOUT 600 LABELS unit PROCESSORS 2)
