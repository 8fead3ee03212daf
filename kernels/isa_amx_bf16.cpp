// SPDX-License-Identifier: Apache-2.0
#define CONVMIXER_ISA amx_bf16
#define CONVMIXER_BF16
#define CONVMIXER_TILES
#include "kernels/simd_amx.h"
#include "kernels/table.inl.h"
