// SPDX-License-Identifier: Apache-2.0
// As isa_wide.cpp, in int8.
#define CONVMIXER_ISA wide_int8
#define CONVMIXER_INT8
#define CONVMIXER_FUSED
#define CONVMIXER_PORTABLE_LANES 16
#define CONVMIXER_PORTABLE_PIXEL_TILE 14
#define CONVMIXER_PORTABLE_ROW_TILE 16
#include "kernels/simd_portable_words.h"
#include "kernels/table.inl.h"
