// SPDX-License-Identifier: Apache-2.0
// The kernel texts with the words and tiles of avx2_int8, two bytes a word, on any CPU.
#define CONVMIXER_ISA pairs_int8
#define CONVMIXER_INT8
#define CONVMIXER_FUSED
#define CONVMIXER_PORTABLE_LANES 8
#define CONVMIXER_PORTABLE_PIXEL_TILE 6
#define CONVMIXER_PORTABLE_ROW_TILE 8
#define CONVMIXER_PORTABLE_INT8_PER_WORD 2
#include "kernels/simd_portable_words.h"
#include "kernels/table.inl.h"
