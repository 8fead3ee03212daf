# SPDX-License-Identifier: Apache-2.0
# Every build option, with its default; those that differ are printed.

if(CMAKE_SOURCE_DIR STREQUAL PROJECT_SOURCE_DIR)
  set(CONVMIXER_TOP_LEVEL ON)
else()
  set(CONVMIXER_TOP_LEVEL OFF)
endif()

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64)$")
  set(CONVMIXER_DEFAULT_ISAS portable avx2 avx512 amx)
else()
  set(CONVMIXER_DEFAULT_ISAS portable)
endif()

if(CONVMIXER_TOP_LEVEL AND NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Release, RelWithDebInfo or Debug" FORCE)
endif()

# Further arguments are the values that the option may have, in capitals or not: a word that is none of them, as "yes",
# would silently count as AUTO.
function(convmixer_option name default help)
  if(NOT DEFINED ${name} OR DEFINED CACHE{${name}})  # else it is a variable of the parent's, which counts
    set(${name} "${default}" CACHE STRING "${help}")
  endif()
  if(ARGN)
    if(DEFINED CACHE{${name}})
      set_property(CACHE ${name} PROPERTY STRINGS ${ARGN})
    endif()
    string(TOUPPER "${${name}}" value)
    if(NOT value IN_LIST ARGN)
      list(JOIN ARGN ", " values)
      message(FATAL_ERROR "${name}: expected one of ${values}, found \"${${name}}\"")
    endif()
    set(${name} ${value})
    set(${name} ${value} PARENT_SCOPE)
  endif()
  if(NOT "${${name}}" STREQUAL "${default}")
    message(STATUS "${name} = ${${name}} (default: ${default})")
  endif()
endfunction()

convmixer_option(CONVMIXER_ISAS "${CONVMIXER_DEFAULT_ISAS}" "Instruction sets to compile kernels for")
convmixer_option(CONVMIXER_ONEDNN AUTO "oneDNN primitives: AUTO (where it is installed), ON, OFF" AUTO ON OFF)
convmixer_option(CONVMIXER_CLI ${CONVMIXER_TOP_LEVEL} "The convmixer command, its bundled model, the examples")
convmixer_option(CONVMIXER_MPI AUTO "convmixer-mpi, for mpirun: AUTO (where MPI is installed), ON, OFF" AUTO ON OFF)
convmixer_option(CONVMIXER_TESTS ${CONVMIXER_TOP_LEVEL} "Tests")
convmixer_option(CONVMIXER_BENCH ${CONVMIXER_TOP_LEVEL} "Benchmarks")
convmixer_option(CONVMIXER_FUZZ OFF "libFuzzer in the targets of tests/fuzz; needs clang")
convmixer_option(CONVMIXER_SANITIZE "" "Sanitizers, as -fsanitize= takes them: address,undefined or thread")
