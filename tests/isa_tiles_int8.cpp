// SPDX-License-Identifier: Apache-2.0
// The kernel text of matrix tiles in int8, on any CPU.
#define CONVMIXER_ISA tiles_int8
#define CONVMIXER_INT8
#define CONVMIXER_TILES
#define CONVMIXER_FUSED
#define CONVMIXER_PORTABLE_LANES 16
#define CONVMIXER_PORTABLE_PIXEL_TILE 14
#define CONVMIXER_PORTABLE_ROW_TILE 16
#include "emulated_tiles.h"
#include "kernels/table.inl.h"
