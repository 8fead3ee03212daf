# SPDX-License-Identifier: Apache-2.0
# The kernel texts are compiled once per instruction set, each into its own object library with its own flags.

set(CONVMIXER_FLAGS_portable "")
set(CONVMIXER_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(CONVMIXER_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c
                           -mprefer-vector-width=512)

# Adds kernels/isa_NAME.cpp to `target` and tells its registry that it is there.
function(convmixer_add_isa target name)
  add_library(convmixer_isa_${name} OBJECT isa_${name}.cpp)
  set_target_properties(convmixer_isa_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON
                        INTERPROCEDURAL_OPTIMIZATION OFF)
  target_link_libraries(convmixer_isa_${name} PRIVATE convmixer_flags)
  target_compile_options(convmixer_isa_${name} PRIVATE
    ${CONVMIXER_FLAGS_${name}} -fno-exceptions -fno-rtti -fno-threadsafe-statics
    # Register tiles are written out; speed must not depend on the build type.
    $<$<NOT:$<CONFIG:Debug>>:-O3>)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:convmixer_isa_${name}>)
  string(TOUPPER ${name} upper)
  target_compile_definitions(${target} PRIVATE CONVMIXER_HAS_${upper})
endfunction()
