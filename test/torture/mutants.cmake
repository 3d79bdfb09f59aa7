# A torture test for each planted bug of mutants.py, and the test that each of them finds its own.
set(table ${CMAKE_CURRENT_LIST_DIR}/mutants.py)
set(folder ${CMAKE_CURRENT_BINARY_DIR}/torture/mutants)
ice_plant(${table} ${folder} INCLUDE ${PROJECT_SOURCE_DIR}/lib ${PROJECT_SOURCE_DIR}/lib/transport
    ${PROJECT_SOURCE_DIR}/lib/actions
    WITH $<TARGET_OBJECTS:ice-torture-parts> LINK ice::testing ice-command-line
    LINK_OPTIONS ${ICE_TORTURE_WRAPS})
add_test(NAME torture_mutants COMMAND ${ICE_PYTHON} ${table} run ${folder}/bin)
set_tests_properties(torture_mutants PROPERTIES TIMEOUT 1800 LABELS torture PROCESSORS 2)
