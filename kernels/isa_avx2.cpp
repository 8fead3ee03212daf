// SPDX-License-Identifier: Apache-2.0
#define CONVMIXER_ISA avx2
#include "kernels/simd_avx2.h"
#include "kernels/table.inl.h"
