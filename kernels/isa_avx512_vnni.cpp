// SPDX-License-Identifier: Apache-2.0
#define CONVMIXER_ISA avx512_vnni
#define CONVMIXER_INT8
#include "kernels/simd_avx512_words.h"
#include "kernels/table.inl.h"
