# SPDX-License-Identifier: Apache-2.0
# cmake -DWITHOUT=a,b -DWITH=c -P check_mpi.cmake
#
# What the files of WITHOUT load, directly or not, is no MPI; of WITH it is.
cmake_minimum_required(VERSION 3.20)

function(loads_mpi out file)
  execute_process(COMMAND ldd ${file} RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE error)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "ldd ${file}: ${result}: ${error}")
  endif()
  string(REGEX MATCH "libmpi[^ ]*|libmpich[^ ]*|libopen-(pal|rte)[^ ]*|libpmix[^ ]*" found "${text}")
  set(${out} "${found}" PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" WITHOUT "${WITHOUT}")
foreach(file ${WITHOUT})
  loads_mpi(found ${file})
  if(found)
    message(SEND_ERROR "${file}: loads ${found}")
  endif()
endforeach()
loads_mpi(found ${WITH})
if(NOT found)
  message(SEND_ERROR "${WITH}: expected an MPI library among those it loads, found none")
endif()
