// SPDX-License-Identifier: Apache-2.0
// The kernel texts with the lanes and tiles of avx512 (kernels/simd_avx512.h) in portable vectors:
// a CPU without AVX-512 tests them in that shape all the same.
#define CONVMIXER_ISA wide
#define CONVMIXER_PORTABLE_LANES 16
#define CONVMIXER_PORTABLE_PIXEL_TILE 14
#define CONVMIXER_PORTABLE_ROW_TILE 16
#include "kernels/simd_portable.h"
#include "kernels/table.inl.h"
