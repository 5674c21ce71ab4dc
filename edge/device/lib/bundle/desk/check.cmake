# Runs `listen` on a recording and compares its output with golden/, byte for byte:
# cmake -DLISTEN=… -DOPTIONS=… -DSOUND=… -DGOLDEN=… -DOUT=… -P check.cmake
execute_process(COMMAND ${LISTEN} ${OPTIONS} INPUT_FILE ${SOUND} OUTPUT_FILE ${OUT}
    RESULT_VARIABLE STATUS)
if(NOT STATUS EQUAL 0)
    message(FATAL_ERROR "listen ${OPTIONS} failed: ${STATUS}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${OUT} ${GOLDEN} RESULT_VARIABLE STATUS)
if(NOT STATUS EQUAL 0)
    message(FATAL_ERROR "the output of listen ${OPTIONS} differs from ${GOLDEN}")
endif()
