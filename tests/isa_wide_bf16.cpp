// SPDX-License-Identifier: Apache-2.0
// As isa_wide.cpp, in bf16.
#define CONVMIXER_ISA wide_bf16
#define CONVMIXER_BF16
#define CONVMIXER_PORTABLE_LANES 16
#define CONVMIXER_PORTABLE_PIXEL_TILE 14
#define CONVMIXER_PORTABLE_ROW_TILE 16
#include "kernels/simd_portable_words.h"
#include "kernels/table.inl.h"
