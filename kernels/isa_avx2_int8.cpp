// SPDX-License-Identifier: Apache-2.0
#define CONVMIXER_ISA avx2_int8
#define CONVMIXER_INT8
#include "kernels/simd_avx2.h"
#include "kernels/table.inl.h"
