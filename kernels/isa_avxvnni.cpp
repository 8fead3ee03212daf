// SPDX-License-Identifier: Apache-2.0
#define CONVMIXER_ISA avxvnni
#define CONVMIXER_INT8
#define CONVMIXER_AVXVNNI(name) _mm256_##name##_avx_epi32
#include "kernels/simd_avx2.h"
#include "kernels/table.inl.h"
