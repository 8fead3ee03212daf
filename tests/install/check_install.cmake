# SPDX-License-Identifier: Apache-2.0
# Installs the build tree, moves the copy, and uses it as a stranger would: by pkg-config with the C99 example, by
# find_package, and by the command, which must find the model that was installed with it and no other.
cmake_minimum_required(VERSION 3.20)

# The command's output, errors included, goes to `output`.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "${command}\nended with ${result}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

# Each bundled image is named by what it shows, and the best label follows the colon.
function(expect_labels program)
  set(right 0)
  string(REPLACE "\n" ";" lines "${output}")
  foreach(line ${lines})
    if(line MATCHES "/([a-z]+)_[0-9]+\\.jpg: +([a-z]+)" AND CMAKE_MATCH_1 STREQUAL CMAKE_MATCH_2)
      math(EXPR right "${right} + 1")
    endif()
  endforeach()
  list(LENGTH images count)
  if(count EQUAL 0 OR NOT right EQUAL count)
    message(FATAL_ERROR "${program}: expected ${count} right labels, found ${right}:\n${output}")
  endif()
endfunction()

set(work ${BUILD}/install-test)
set(prefix ${work}/moved)
file(REMOVE_RECURSE ${work})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/installed)
file(RENAME ${work}/installed ${prefix})
set(model ${prefix}/${DATADIR}/convmixer/cifar10_256_8.safetensors)
file(GLOB images ${prefix}/${DATADIR}/convmixer/images/*.jpg)
set(example ${SOURCE}/examples/classify.c)

set(ENV{LD_LIBRARY_PATH} ${prefix}/${LIBDIR})
set(ENV{PKG_CONFIG_PATH} ${prefix}/${LIBDIR}/pkgconfig)
run(pkg-config --cflags --libs convmixer)
separate_arguments(flags UNIX_COMMAND "${output}")
run(${C_COMPILER} -std=c99 -Wall -Werror ${example} ${flags} -o ${work}/classify)
run(${work}/classify ${model} ${images})
expect_labels("the C example")

run(${CMAKE_COMMAND} -S ${SOURCE}/tests/install/consumer -B ${work}/consumer -G ${GENERATOR}
    -DCMAKE_PREFIX_PATH=${prefix} -DEXAMPLE=${example} -DCMAKE_C_COMPILER=${C_COMPILER})
run(${CMAKE_COMMAND} --build ${work}/consumer)
unset(ENV{LD_LIBRARY_PATH})  # CMake's build tree knows where its libraries are
run(${work}/consumer/consumer ${model} ${images})
expect_labels("the find_package consumer")

unset(ENV{CONVMIXER_MODEL})
set(command ${prefix}/${BINDIR}/convmixer)
run(${command} classify ${prefix}/${DATADIR}/convmixer/images)
expect_labels("the command")

file(REMOVE ${model})
execute_process(COMMAND ${command} describe RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NOT result EQUAL 1 OR NOT output MATCHES "cifar10_256_8")
  message(FATAL_ERROR "without its model: expected exit status 1 and the model's path, found ${result}:\n${output}")
endif()
