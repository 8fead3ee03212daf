// SPDX-License-Identifier: Apache-2.0
// The contract of the kernels. Included by every instruction set's object, so: plain structs, no
// std.
//
// Layout. Channels come in blocks of `lanes` floats (one vector); c_blk = ⌈c / lanes⌉ and the lanes
// beyond c are zero in weights, biases, scales and shifts, hence zero in every result (or NaN, in a
//   pixel that holds an infinity: 0 · ∞).
// - planes: [c_blk] planes of `block_stride` floats; pixel (y, x) at (y·(w + gap) + x)·lanes, where
//   the `gap` pixels between rows, and before the first and after the last row, are zero. gap ≥
//   k/2, so a row's right border is the next one's left border and a depthwise kernel reads no
//   pixel that must be masked.
// - panel: [c_blk][pixel][lanes] of some consecutive pixels, `block_stride` floats from block to
// block:
//   the broadcast operand of the pointwise product.
// All pointers are to floats aligned to a vector unless stated. No kernel allocates, throws, checks
// or starts a thread; src and dst never overlap.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace convmixer {

enum KernelActivation { kActIdentity = 0, kActRelu = 1, kActGelu = 2, kActCount = 3 };

constexpr int kSumChannels = 256;

// dst[o][p] = scale[o] · act(bias[o] + Σ_i weights[o][i] · panel[i][p]) + shift[o]
// Sums of kSumChannels channels, one multiply-add each in ascending order, are added one after the
// other, whatever the tiling: a pixel's bits do not depend on `pixels`, its place in the panel or
// the range of tiles.
struct PointwiseParams {
  const float* panel;
  ptrdiff_t panel_block_stride;
  int pixels;  // ≥ 1
  int ic, oc_blk;
  const float* weights;  // [oc tile][ic_blk · lanes][kOcTile], see KernelTable::oc_tile
  const float* bias;     // [oc tile][kOcTile], and so are
  const float* scale;
  const float* shift;
  float* dst;
  const int32_t* dst_offset;  // a float offset for each pixel, within a block of dst
  ptrdiff_t dst_block_stride;
  int tile_begin, tile_end;  // the range of oc tiles to compute
};

// The same result with other roundings, by one or two levels of Strassen's algorithm: output
// channels, input channels and pixels are halved, seven products of half size make the four
// quarters of dst, and with two levels each of the seven is made so too.
//   dst[o][p] = scale[o] · act(bias[o] + unscale[o] · Σ_i A[o][i] · panel[i][p]) + shift[o],
// where the weights are combinations of A's parts (engine/strassen.h). `pixels` is a multiple of
// n = 2^levels and at most 256, ic and oc are multiples of n · kOcTile. Pixels a multiple of
// pixels / n apart share roundings: bits depend on the panel's pixels, but not on the range of
// tiles; a NaN or an infinity spreads to those pixels, and to channels as far apart.
struct StrassenParams {
  // weights: [7^levels][oc tile of the first 1/n][ic / n][kOcTile]. The tiles in the range stand
  // for themselves and for those as far into the other parts. dst must not be read before the end:
  // it holds partial sums.
  PointwiseParams product;
  int levels;
  const float* unscale;  // [oc tile][kOcTile]
  // Sums of the panel's parts, a level each: [ic_blk / 2][pixels / 2][lanes], [ic_blk / 4][…].
  float* scratch[2];
  ptrdiff_t scratch_block_stride[2];
};

// Rows y_begin … y_end−1 of one channel block:
// dst[y][x] = src_scale · src[y][x] + scale · act(bias + Σ weights[ky][kx] · src[y + ky − pad][x +
// kx − pad]), pad = (k − 1) / 2; taps above the first and below the last row are left out, those
// beside a row read its zero gap. The sum runs over (ky, kx) in ascending order.
struct DepthwiseParams {
  const float* src;  // pixel (0, 0) of the plane
  int h, w, kernel_size;
  int row_stride;  // floats from row to row of src
  int y_begin, y_end;
  const float* weights;  // [k][k][lanes]
  const float* bias;     // [lanes], and so is
  const float* src_scale;
  const float* scale;
  float* dst;         // row y_begin; rows follow without a gap (a panel's block)
  const float* next;  // what the next call reads: fetched into L2 meanwhile
  int next_lines;     // of 64 bytes; 0: nothing
};

// Cuts p×p patches out of one image and lays them out as a panel; floats beyond 3·p·p are zero.
// Patch i of the panel is output pixel `first + i` in row-major order of the w_out-wide result.
struct PatchParams {
  const void* src;  // f32: (3, h, w); u8: (h, w, 3)
  int h, w, patch_size, w_out;
  int first, count;
  float* panel;
  ptrdiff_t panel_block_stride;
};

// dst[lane] = mean over pixels of one channel block; summed by rows, then over rows.
struct MeanParams {
  const float* src;  // pixel (0, 0) of the plane
  int h, w, row_stride;
  float* dst;
};

struct KernelTable {
  const char* name;  // "portable", "avx2", "avx512"
  int lanes;         // floats a vector
  int oc_tile;       // output channels of a pointwise tile, a multiple of lanes
  int pixel_tile;    // pixels of a pointwise tile
  void (*pointwise[kActCount])(const PointwiseParams*);
  void (*strassen[kActCount])(const StrassenParams*);
  void (*depthwise[kActCount])(const DepthwiseParams*);
  // The order of a patch's values in the panel is (c, y, x) for f32 and (y, x, c) for u8: whole
  // rows of the source are copied, and the weights are packed in the same order.
  void (*patches_f32)(const PatchParams*);
  void (*patches_u8)(const PatchParams*);
  void (*mean)(const MeanParams*);
  // dst[i] = act(src[i]), n a multiple of lanes; for tests and benchmarks of the activations.
  void (*activation[kActCount])(const float* src, float* dst, ptrdiff_t n);
  // Runs `rounds` rounds of independent multiply-adds and returns how many floating-point
  // operations they were: the peak that percentages refer to. *sink keeps the compiler from
  // removing them.
  double (*fma_peak)(long rounds, float* sink);
};

}  // namespace convmixer
