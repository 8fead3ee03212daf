# SPDX-License-Identifier: Apache-2.0
# cmake -DNM=… -DISA_OBJECTS=a.o,b.o -DLIBRARY_OBJECTS=c.o,d.o -DSHARED=lib.so -DABI=… -P check_symbols.cmake
#
# - An instruction set's object exports one strong symbol, its kTable, and no weak one: a weak copy of an inline
#   function, compiled for AVX-512, could replace everybody's at link time and stop older CPUs.
# - The library does not print, exit or abort.
# - The shared library shows exactly the names in ABI.
cmake_minimum_required(VERSION 3.20)

function(symbols out file)
  execute_process(COMMAND ${NM} ${ARGN} ${file} RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE error)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "${NM} ${ARGN} ${file}: ${result}: ${error}")
  endif()
  string(REPLACE "\n" ";" lines "${text}")
  set(${out} "${lines}" PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" ISA_OBJECTS "${ISA_OBJECTS}")
string(REPLACE "," ";" LIBRARY_OBJECTS "${LIBRARY_OBJECTS}")
if(NOT ISA_OBJECTS OR NOT LIBRARY_OBJECTS)
  message(FATAL_ERROR "no objects to look at")
endif()

foreach(object ${ISA_OBJECTS})
  symbols(lines ${object} --defined-only --extern-only)
  set(strong)
  foreach(line ${lines})
    if(line MATCHES " ([A-Za-z]) (.+)$")
      set(kind ${CMAKE_MATCH_1})
      set(name ${CMAKE_MATCH_2})
      if(kind MATCHES "[WwVvu]")
        message(SEND_ERROR "${object}: weak symbol ${name}")
      else()
        list(APPEND strong ${name})
      endif()
    endif()
  endforeach()
  if(NOT "${strong}" MATCHES "^_ZN9convmixer[0-9]+[a-z0-9_]+6kTableE$")
    message(SEND_ERROR "${object}: expected kTable as the only strong symbol, found: ${strong}")
  endif()
endforeach()

# The last two lines are what the compiler makes of printf and assert.
set(forbidden abort exit _exit _Exit quick_exit
              printf fprintf vprintf vfprintf puts fputs putchar perror stdout stderr _ZSt4cout _ZSt4cerr _ZSt4clog
              __printf_chk __fprintf_chk __vprintf_chk __vfprintf_chk
              __assert_fail)
foreach(object ${LIBRARY_OBJECTS} ${ISA_OBJECTS})
  symbols(lines ${object} --undefined-only)
  foreach(line ${lines})
    if(line MATCHES " U ([^ @]+)" AND CMAKE_MATCH_1 IN_LIST forbidden)
      message(SEND_ERROR "${object}: uses ${CMAKE_MATCH_1}")
    endif()
  endforeach()
endforeach()

symbols(lines ${SHARED} --dynamic --defined-only)
set(shown)
foreach(line ${lines})
  if(line MATCHES " [A-Za-z] ([^ @]+)")
    list(APPEND shown ${CMAKE_MATCH_1})
  endif()
endforeach()
file(STRINGS ${ABI} listed REGEX "^[^#]")
list(SORT shown)
list(SORT listed)
if(NOT "${shown}" STREQUAL "${listed}")
  message(SEND_ERROR "${SHARED}: expected the symbols of ${ABI}\n  ${listed}\nfound\n  ${shown}")
endif()
