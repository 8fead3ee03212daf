# SPDX-License-Identifier: Apache-2.0
# cmake -DNM=… -DISA_OBJECTS=a.o,b.o -DLIBRARIES=a.a,b.a -DSHARED=lib.so -DABI=convmixer.abi -P check_symbols.cmake
#
# - An instruction set's object exports one strong symbol, its kTable, and no weak one: a weak copy of an inline
#   function, compiled for AVX-512, could replace everybody's at link time and stop older CPUs.
# - The library does not print, exit or abort.
# - The shared library shows exactly the names in ABI.

function(symbols out file)
  execute_process(COMMAND ${NM} ${ARGN} ${file} RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE error)
  if(NOT result EQUAL 0 OR text STREQUAL "")
    message(FATAL_ERROR "${NM} ${ARGN} ${file} failed: ${error}")
  endif()
  string(REPLACE "\n" ";" lines "${text}")
  set(${out} "${lines}" PARENT_SCOPE)
endfunction()

string(REPLACE "," ";" ISA_OBJECTS "${ISA_OBJECTS}")
string(REPLACE "," ";" LIBRARIES "${LIBRARIES}")
if(NOT ISA_OBJECTS OR NOT LIBRARIES)
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
  if(NOT "${strong}" MATCHES "^_ZN9convmixer[0-9]+[a-z0-9]+6kTableE$")
    message(SEND_ERROR "${object}: expected kTable as the only strong symbol, found: ${strong}")
  endif()
endforeach()

foreach(library ${LIBRARIES})
  symbols(lines ${library} --undefined-only)
  foreach(line ${lines})
    if(line MATCHES " U (abort|exit|printf|puts|_ZSt4cout|_ZSt4cerr)$")
      message(SEND_ERROR "${library}: uses ${CMAKE_MATCH_1}")
    endif()
  endforeach()
endforeach()

symbols(lines ${SHARED} --dynamic --defined-only)
set(shown)
foreach(line ${lines})
  if(line MATCHES " [A-Z] ([^ @]+)")
    list(APPEND shown ${CMAKE_MATCH_1})
  endif()
endforeach()
file(STRINGS ${ABI} listed REGEX "^[^#]")
list(SORT shown)
list(SORT listed)
if(NOT shown STREQUAL listed)
  message(SEND_ERROR "${SHARED}: expected the symbols of ${ABI}\n  ${listed}\nfound\n  ${shown}")
endif()
