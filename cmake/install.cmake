# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the shared library, its header, and the two ways to find them.
include(CMakePackageConfigHelpers)

install(TARGETS convmixer EXPORT convmixer-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES include/convmixer.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
set(doc_dir ${CMAKE_INSTALL_DOCDIR})
if(NOT CONVMIXER_TOP_LEVEL)  # it is the parent's, whose files may have the same names
  set(doc_dir ${CMAKE_INSTALL_DATAROOTDIR}/doc/convmixer)
endif()
install(FILES LICENSE NOTICE DESTINATION ${doc_dir})
foreach(command convmixer_command convmixer_mpi_command)
  if(TARGET ${command})
    install(TARGETS ${command} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/convmixer)
install(EXPORT convmixer-targets NAMESPACE convmixer:: DESTINATION ${package_dir})
configure_package_config_file(cmake/convmixer-config.cmake.in ${PROJECT_BINARY_DIR}/convmixer-config.cmake
  INSTALL_DESTINATION ${package_dir})
# As the SOVERSION: option structs tell their size, so programs of an older minor version go on working.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/convmixer-config-version.cmake
  COMPATIBILITY SameMajorVersion)
install(FILES ${PROJECT_BINARY_DIR}/convmixer-config.cmake ${PROJECT_BINARY_DIR}/convmixer-config-version.cmake
  DESTINATION ${package_dir})

# From lib/pkgconfig (or lib/ARCH/pkgconfig) back to the prefix, so that an installed tree may be moved. Absolute
# folders, as some distributions have them, stand as they are.
if(IS_ABSOLUTE "${CMAKE_INSTALL_LIBDIR}")
  set(CONVMIXER_PC_PREFIX ${CMAKE_INSTALL_PREFIX})
else()
  file(RELATIVE_PATH up /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" up ${up})
  set(CONVMIXER_PC_PREFIX "\${pcfiledir}/${up}")
endif()
foreach(folder LIBDIR INCLUDEDIR)
  set(CONVMIXER_PC_${folder} ${CMAKE_INSTALL_${folder}})
  if(NOT IS_ABSOLUTE "${CMAKE_INSTALL_${folder}}")
    string(PREPEND CONVMIXER_PC_${folder} "\${prefix}/")
  endif()
endforeach()
configure_file(cmake/convmixer.pc.in ${PROJECT_BINARY_DIR}/convmixer.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/convmixer.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
