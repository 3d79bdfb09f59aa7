# ice_plant(table folder ..): one program for each planted bug of a table (test/planting.py). Its
# changed sources are compiled with the changed headers first, and linked before the libraries, of
# which the linker then takes all the rest. The programs are in `folder`/bin; the target ice-mutants
# builds them.
set(ICE_PLANTING ${CMAKE_CURRENT_LIST_DIR}/planting.py)
function(ice_plant table folder)
    cmake_parse_arguments(PARSE_ARGV 2 arg "" "" "WITH;LINK;COMPILE_OPTIONS;LINK_OPTIONS;INCLUDE")
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${table} ${ICE_PLANTING})
    execute_process(COMMAND ${ICE_PYTHON} ${table} list OUTPUT_VARIABLE mutants
        OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
    string(REPLACE ";" "," mutants "${mutants}")
    string(REPLACE "\n" ";" mutants "${mutants}")
    file(GLOB_RECURSE headers ${PROJECT_SOURCE_DIR}/include/ice/*.hpp)
    foreach(mutant IN LISTS mutants)
        string(REPLACE "," ";" sources "${mutant}")
        list(POP_FRONT sources name)
        set(tree ${folder}/${name})
        list(TRANSFORM sources PREPEND ${tree}/ OUTPUT_VARIABLE planted)
        list(TRANSFORM sources PREPEND ${PROJECT_SOURCE_DIR}/ OUTPUT_VARIABLE originals)
        add_custom_command(OUTPUT ${planted}
            COMMAND ${ICE_PYTHON} ${table} plant ${name} ${tree} ${sources}
            DEPENDS ${table} ${ICE_PLANTING} ${originals} ${headers} VERBATIM)
        add_executable(ice-mutant-${name} ${planted} ${arg_WITH})
        target_include_directories(ice-mutant-${name} BEFORE PRIVATE ${tree}/include)
        target_include_directories(ice-mutant-${name} PRIVATE ${arg_INCLUDE})
        target_link_libraries(ice-mutant-${name} PRIVATE ${arg_LINK})
        target_compile_options(ice-mutant-${name} PRIVATE ${arg_COMPILE_OPTIONS})
        target_link_options(ice-mutant-${name} PRIVATE ${arg_LINK_OPTIONS})
        set_target_properties(ice-mutant-${name} PROPERTIES
            OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${folder}/bin)
        list(APPEND targets ice-mutant-${name})
    endforeach()
    if(NOT TARGET ice-mutants)
        add_custom_target(ice-mutants)
    endif()
    add_dependencies(ice-mutants ${targets})
endfunction()
