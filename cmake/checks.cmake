# SPDX-License-Identifier: Apache-2.0
# Tests of what is built and written rather than of what it computes.

add_test(NAME docs COMMAND ${CMAKE_COMMAND} -DROOT=${PROJECT_SOURCE_DIR}
         -P ${PROJECT_SOURCE_DIR}/cmake/check_docs.cmake)

# Sanitizers add symbols of their own, and unoptimised code has weak ones.
if(NOT CONVMIXER_SANITIZE AND CMAKE_BUILD_TYPE STREQUAL "Release")
  set(isa_objects)
  foreach(isa ${CONVMIXER_ISAS})
    foreach(name ${CONVMIXER_OBJECTS_${isa}})
      list(APPEND isa_objects $<TARGET_OBJECTS:convmixer_isa_${name}>)
    endforeach()
  endforeach()
  set(library_objects $<TARGET_OBJECTS:convmixer>)
  foreach(folder support kernels engine models images capi)
    list(APPEND library_objects $<TARGET_OBJECTS:convmixer_${folder}>)
  endforeach()
  add_test(NAME symbols COMMAND ${CMAKE_COMMAND} -DNM=${CMAKE_NM} "-DISA_OBJECTS=$<JOIN:${isa_objects},$<COMMA>>"
           "-DLIBRARY_OBJECTS=$<JOIN:${library_objects},$<COMMA>>" -DSHARED=$<TARGET_FILE:convmixer>
           -DABI=${PROJECT_SOURCE_DIR}/cmake/convmixer.abi -P ${PROJECT_SOURCE_DIR}/cmake/check_symbols.cmake)
endif()

# Not where a folder is absolute: installing would leave the build tree.
if(CONVMIXER_CLI AND NOT CONVMIXER_SANITIZE AND NOT
   "${CMAKE_INSTALL_BINDIR} ${CMAKE_INSTALL_LIBDIR} ${CMAKE_INSTALL_DATADIR} ${CMAKE_INSTALL_INCLUDEDIR} ${CMAKE_INSTALL_DOCDIR}" MATCHES "(^| )/")
  add_test(NAME install COMMAND ${CMAKE_COMMAND} -DBUILD=${PROJECT_BINARY_DIR} -DSOURCE=${PROJECT_SOURCE_DIR}
           -DGENERATOR=${CMAKE_GENERATOR} -DC_COMPILER=${CMAKE_C_COMPILER} -DBINDIR=${CMAKE_INSTALL_BINDIR}
           -DLIBDIR=${CMAKE_INSTALL_LIBDIR} -DDATADIR=${CMAKE_INSTALL_DATADIR}
           -P ${PROJECT_SOURCE_DIR}/tests/install/check_install.cmake)
endif()

# The library and the ordinary command load no MPI; convmixer-mpi shows that the check would see it.
if(TARGET convmixer_mpi_command)
  add_test(NAME no_mpi COMMAND ${CMAKE_COMMAND} -DWITHOUT=$<TARGET_FILE:convmixer>,$<TARGET_FILE:convmixer_command>
           -DWITH=$<TARGET_FILE:convmixer_mpi_command> -P ${PROJECT_SOURCE_DIR}/cmake/check_mpi.cmake)
endif()
