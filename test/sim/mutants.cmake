# A swarm for each planted bug of mutants.py, and the test that each of them finds its own.
set(table ${CMAKE_CURRENT_LIST_DIR}/mutants.py)
set(folder ${CMAKE_CURRENT_BINARY_DIR}/sim/mutants)
ice_plant(${table} ${folder}
    INCLUDE sim ${PROJECT_SOURCE_DIR}/lib/transport ${PROJECT_SOURCE_DIR}/lib/actions
    WITH $<TARGET_OBJECTS:ice-swarm-main> LINK ice-swarm-parts
    COMPILE_OPTIONS -O1 -g0 LINK_OPTIONS -s)
add_test(NAME mutants COMMAND ${ICE_PYTHON} ${table} run ${folder}/bin)
set_tests_properties(mutants PROPERTIES TIMEOUT 1800 LABELS sim PROCESSORS 2)
