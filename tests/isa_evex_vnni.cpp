// SPDX-License-Identifier: Apache-2.0
// The text of kernels/isa_avxvnni.cpp with the same instructions in their AVX-512 encoding: CPUs
// with AVX512_VNNI and without AVX_VNNI test it all the same.
#define CONVMIXER_ISA evex_vnni
#define CONVMIXER_INT8
#define CONVMIXER_AVXVNNI(name) _mm256_##name##_epi32
#include "kernels/simd_avx2.h"
#include "kernels/table.inl.h"
