// SPDX-License-Identifier: Apache-2.0
// The kernel text of matrix tiles in fp32, on any CPU.
#define CONVMIXER_ISA tiles_fp32
#define CONVMIXER_TILES
#define CONVMIXER_PORTABLE_LANES 16
#define CONVMIXER_PORTABLE_PIXEL_TILE 14
#define CONVMIXER_PORTABLE_ROW_TILE 16
#include "emulated_tiles.h"
#include "kernels/table.inl.h"
