# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the shared library, its header, and the two ways to find them.
include(CMakePackageConfigHelpers)

install(TARGETS convmixer EXPORT convmixer-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES include/convmixer.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
foreach(command convmixer_command convmixer_mpi_command)
  if(TARGET ${command})
    install(TARGETS ${command} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
  endif()
endforeach()

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/convmixer)
install(EXPORT convmixer-targets NAMESPACE convmixer:: DESTINATION ${package_dir})
configure_package_config_file(cmake/convmixer-config.cmake.in ${PROJECT_BINARY_DIR}/convmixer-config.cmake
  INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/convmixer-config-version.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/convmixer-config.cmake ${PROJECT_BINARY_DIR}/convmixer-config-version.cmake
  DESTINATION ${package_dir})

# From lib/pkgconfig (or lib/ARCH/pkgconfig) back to the prefix.
file(RELATIVE_PATH CONVMIXER_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" CONVMIXER_PC_PREFIX ${CONVMIXER_PC_PREFIX})
configure_file(cmake/convmixer.pc.in ${PROJECT_BINARY_DIR}/convmixer.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/convmixer.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
