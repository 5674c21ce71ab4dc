# Sound in, the answers of `listen` compared with those in golden/, byte for byte:
# cmake -DLISTEN=… -DOPTIONS=… -DSOUND=… -DGOLDEN=… -DOUT=… -P check.cmake
execute_process(COMMAND ${LISTEN} ${OPTIONS} INPUT_FILE ${SOUND} OUTPUT_FILE ${OUT}
    RESULT_VARIABLE STATUS)
if(NOT STATUS EQUAL 0)
    message(FATAL_ERROR "listen ${OPTIONS} fails: ${STATUS}")
endif()
execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${OUT} ${GOLDEN} RESULT_VARIABLE STATUS)
if(NOT STATUS EQUAL 0)
    message(FATAL_ERROR "listen ${OPTIONS} answers otherwise than ${GOLDEN}")
endif()
