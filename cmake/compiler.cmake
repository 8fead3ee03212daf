# SPDX-License-Identifier: Apache-2.0
# convmixer_flags: what every target of the project is compiled with.

add_library(convmixer_flags INTERFACE)
target_compile_features(convmixer_flags INTERFACE cxx_std_20)
target_include_directories(convmixer_flags INTERFACE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
target_compile_options(convmixer_flags INTERFACE
  -Wall -Wextra -Wshadow -Wno-psabi
  # No fused multiply-add but those written as such: variants and compilers must agree.
  -ffp-contract=off
  -fvisibility=hidden
  $<$<COMPILE_LANGUAGE:CXX>:-fvisibility-inlines-hidden>
  # No path of the build machine in objects.
  -ffile-prefix-map=${PROJECT_SOURCE_DIR}=.)

if(CONVMIXER_SANITIZE)
  target_compile_options(convmixer_flags INTERFACE
    -fsanitize=${CONVMIXER_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  target_link_options(convmixer_flags INTERFACE -fsanitize=${CONVMIXER_SANITIZE})
endif()

if(CONVMIXER_FUZZ)  # counters for libFuzzer, which the targets of tests/fuzz are linked with
  target_compile_options(convmixer_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()

# A library of one folder, linked into libconvmixer and into the tests.
function(convmixer_add_folder name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(convmixer_${name} STATIC ${ARG_SOURCES})
  set_target_properties(convmixer_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_link_libraries(convmixer_${name} PUBLIC convmixer_flags ${ARG_LINK})
endfunction()
