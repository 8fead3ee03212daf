// SPDX-License-Identifier: Apache-2.0
#define CONVMIXER_ISA amx
#define CONVMIXER_TILES
#include "kernels/simd_amx.h"
#include "kernels/table.inl.h"
