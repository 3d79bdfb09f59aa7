# One swarm for each planted bug of mutants.py: its changed sources are compiled with the changed
# headers first, and linked before the libraries, of which the linker then takes all the rest.
set(planter ${CMAKE_CURRENT_LIST_DIR}/mutants.py)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${planter})
execute_process(COMMAND ${ICE_PYTHON} ${planter} list OUTPUT_VARIABLE mutants
    OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE ";" "," mutants "${mutants}")
string(REPLACE "\n" ";" mutants "${mutants}")
file(GLOB headers ${PROJECT_SOURCE_DIR}/include/ice/*.hpp)

foreach(mutant IN LISTS mutants)
    string(REPLACE "," ";" sources "${mutant}")
    list(POP_FRONT sources name)
    set(tree ${CMAKE_CURRENT_BINARY_DIR}/sim/mutants/${name})
    set(planted ${sources})
    list(TRANSFORM planted PREPEND ${tree}/)
    set(originals ${sources})
    list(TRANSFORM originals PREPEND ${PROJECT_SOURCE_DIR}/)
    add_custom_command(OUTPUT ${planted}
        COMMAND ${ICE_PYTHON} ${planter} plant ${name} ${tree}
        DEPENDS ${planter} ${originals} ${headers} VERBATIM)

    add_executable(ice-mutant-${name} ${planted} $<TARGET_OBJECTS:ice-swarm-main>)
    target_include_directories(ice-mutant-${name} BEFORE PRIVATE ${tree}/include)
    target_include_directories(ice-mutant-${name} PRIVATE sim ${PROJECT_SOURCE_DIR}/lib/transport)
    target_link_libraries(ice-mutant-${name} PRIVATE ice-swarm-parts)
    target_compile_options(ice-mutant-${name} PRIVATE -O1 -g0)
    target_link_options(ice-mutant-${name} PRIVATE -s)
    set_target_properties(ice-mutant-${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/sim/mutants/bin)
endforeach()

add_test(NAME mutants COMMAND ${ICE_PYTHON} ${planter} run
    ${CMAKE_CURRENT_BINARY_DIR}/sim/mutants/bin)
set_tests_properties(mutants PROPERTIES TIMEOUT 1800 LABELS sim)
