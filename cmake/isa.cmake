# SPDX-License-Identifier: Apache-2.0
# The kernel texts are compiled once per instruction set, each into its own object library with its own flags.
list(REMOVE_DUPLICATES CONVMIXER_ISAS)

set(CONVMIXER_FLAGS_portable "")
set(CONVMIXER_FLAGS_avx2 -mavx2 -mfma -mf16c)
set(CONVMIXER_FLAGS_avx512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c
                           -mprefer-vector-width=512)
set(CONVMIXER_FLAGS_portable_bf16 "")
set(CONVMIXER_FLAGS_portable_int8 "")
set(CONVMIXER_FLAGS_avx2_int8 ${CONVMIXER_FLAGS_avx2})
set(CONVMIXER_FLAGS_avxvnni ${CONVMIXER_FLAGS_avx2} -mavxvnni)
set(CONVMIXER_FLAGS_avx512_bf16 ${CONVMIXER_FLAGS_avx512} -mavx512bf16)
set(CONVMIXER_FLAGS_avx512_vnni ${CONVMIXER_FLAGS_avx512} -mavx512vnni)
set(CONVMIXER_FLAGS_amx ${CONVMIXER_FLAGS_avx512_bf16})
set(CONVMIXER_FLAGS_amx_bf16 ${CONVMIXER_FLAGS_avx512_bf16})  # AMX's instructions are in assembly
set(CONVMIXER_FLAGS_amx_int8 ${CONVMIXER_FLAGS_avx512_vnni})

# The objects of an instruction set in CONVMIXER_ISAS, one a precision and set of features.
set(CONVMIXER_OBJECTS_portable portable portable_bf16 portable_int8)
set(CONVMIXER_OBJECTS_avx2 avx2 avxvnni avx2_int8)
set(CONVMIXER_OBJECTS_avx512 avx512 avx512_bf16 avx512_vnni)
set(CONVMIXER_OBJECTS_amx amx amx_bf16 amx_int8)

# Adds kernels/isa_NAME.cpp to `target`.
function(convmixer_add_isa_object target name)
  # Register tiles are written out; speed must not depend on the build type. (Sanitizers' checks are as fast with -O2,
  # which compiles in two thirds of the time.)
  set(level -O3)
  if(CONVMIXER_SANITIZE)
    set(level -O2)
  endif()
  add_library(convmixer_isa_${name} OBJECT isa_${name}.cpp)
  set_target_properties(convmixer_isa_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON
                        INTERPROCEDURAL_OPTIMIZATION OFF)
  target_link_libraries(convmixer_isa_${name} PRIVATE convmixer_flags)
  target_compile_options(convmixer_isa_${name} PRIVATE
    ${CONVMIXER_FLAGS_${name}} -fno-exceptions -fno-rtti -fno-threadsafe-statics
    $<$<NOT:$<CONFIG:Debug>>:${level}>)
  target_sources(${target} PRIVATE $<TARGET_OBJECTS:convmixer_isa_${name}>)
endfunction()

# Adds the objects of an instruction set and tells the registry that they are there.
function(convmixer_add_isa target isa)
  foreach(name ${CONVMIXER_OBJECTS_${isa}})
    convmixer_add_isa_object(${target} ${name})
  endforeach()
  string(TOUPPER ${isa} upper)
  target_compile_definitions(${target} PRIVATE CONVMIXER_HAS_${upper})
endfunction()
