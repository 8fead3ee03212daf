// SPDX-License-Identifier: Apache-2.0
#define CONVMIXER_ISA portable_bf16
#define CONVMIXER_BF16
#include "kernels/simd_portable_words.h"
#include "kernels/table.inl.h"
