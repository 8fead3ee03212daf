// SPDX-License-Identifier: Apache-2.0
#define CONVMIXER_ISA portable_int8
#define CONVMIXER_INT8
#define CONVMIXER_FUSED
#include "kernels/simd_portable_words.h"
#include "kernels/table.inl.h"
