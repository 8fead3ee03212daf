// SPDX-License-Identifier: Apache-2.0
// The contract of the kernels. Included by every instruction set's object, so: plain structs, no
// std.
//
// Precision. Planes, panels and packed weights are arrays of words of 4 bytes, handed over as
// float* whatever they hold: one float, two bf16, four bytes or two bytes in 16 bits each:
// `per_word` values, the first in the lowest bits. Strides and offsets count words. Sums, and the
// arithmetic behind them, are float; sums of bytes are int32 until then. What else differs stands
// at Precision and at the parameters.
//
// Layout. Channels come in blocks of `lanes` (one vector of words); c_blk = ⌈c / lanes⌉ and the
// lanes beyond c are zero in weights, biases, scales and shifts, hence zero in every result (or
// NaN, in a pixel that holds an infinity: 0 · ∞).
// - planes: [c_blk] planes of `block_stride` words; a row is ⌈w / per_word⌉ groups of per_word
//   pixels, a word each channel: pixel (y, x) is value x % per_word of the words at
//   (y·(groups + gap) + x / per_word)·lanes. The `gap` groups between rows, before the first and
//   after the last row, and what is left of a row's last group, hold the border's value: zero. gap
//   ≥ ⌈(k/2) / per_word⌉, so a row's right border is the next one's left border and a depthwise
//   kernel reads no pixel that must be masked.
// - panel: [c_blk][pixel][lanes values] of some consecutive pixels, `block_stride` words from block
//   to block: the broadcast operand of the pointwise product, per_word channels at a time.
// All pointers are aligned to a vector unless stated. No kernel allocates, throws, checks or starts
// a thread; src and dst never overlap.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace convmixer {

enum KernelActivation { kActIdentity = 0, kActRelu = 1, kActGelu = 2, kActCount = 3 };

// Of planes, panels and the weights of blocks. The classifier is computed in fp32 in all of them.
//   kBf16: values are rounded to the nearest bf16, ties to even.
//   kInt8: planes and panels hold unsigned bytes, real = scale · (byte − zero point) with a scale
//          and a zero point a channel; weights are signed bytes times a scale for each output
//          channel. The patch embedding has fp32 operands. Behind the sums, each step rounds alike
//          in all variants (a multiply-add once), so that all give the same bytes.
enum Precision { kFp32 = 0, kBf16 = 1, kInt8 = 2, kPrecisionCount = 3 };

// dst[o][p] = scale[o] · act(bias[o] + Σ_i weights[o][i] · panel[i][p]) + shift[o]
// and in kInt8 the nearest byte to it, with unscale[o] · Σ for the sum; `scale` and `shift` lead to
// dst's bytes. Sums of KernelTable::sum_words words of channels, one multiply-add each in ascending
// order, are added one after the other, whatever the tiling: a pixel's bits do not depend on
// `pixels`, its place in the panel or the range of tiles.
struct PointwiseParams {
  const float* panel;
  ptrdiff_t panel_block_stride;
  int pixels;  // ≥ 1
  int ic, oc_blk;
  const float*
      weights;  // [oc tile][words of ic_blk · lanes channels][kOcTile words]; KernelTable::oc_tile
  const float* bias;  // [oc tile][kOcTile], and so are
  const float* scale;
  const float* shift;
  const float* unscale;  // kInt8 with operands of bytes, and StrassenParams
  float* dst;
  const int32_t* dst_offset;  // an offset for each pixel, within a block of dst: of its group
  ptrdiff_t dst_block_stride;
  int tile_begin, tile_end;  // the range of oc tiles to compute
  // Where per_word > 1: the pixels are whole rows of dst, of so many pixels and at most 128 in all,
  // or one row.
  int row_pixels;
  // kInt8: the border is written with the pixels, since its value, the zero point, is the layer's:
  // `gap` groups behind each row's last group, and before the first pixel's where `gap_before`.
  const float* border;  // [oc tile][kOcTile] words of per_word equal bytes
  int gap, gap_before;
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
  // Sums of the panel's parts, a level each: [ic_blk / 2][pixels / 2][lanes], [ic_blk / 4][…].
  float* scratch[2];
  ptrdiff_t scratch_block_stride[2];
};

// Rows y_begin … y_end−1 of one channel block:
// dst[y][x] = src_scale · src[y][x] + scale · act(bias + Σ weights[ky][kx] · src[y + ky − pad][x +
// kx − pad]), pad = (k − 1) / 2; taps above the first and below the last row are left out, those
// beside a row read its gap. The sum runs over (ky, kx) in ascending order. In kInt8 it is
// unscale · (Σ weights · src − Σ of `row_zero` over the rows that are there), and dst is the
// nearest byte to the above + shift.
//
// Where per_word is n > 1, a product takes n taps at once, those that lie in one group. Seen from
// the n pixels of a group, the taps begin at different places in their first group: weights are
// [k][groups][n][lanes], for each the n taps of a group, zero where there is none. The groups are
// those from −⌈pad / n⌉ to ⌈(k/2) / n⌉ around the pixel's. Whole groups are stored: dst has room
// for n − 1 pixels behind the last. An infinity or NaN spreads to all pixels whose groups' taps
// reach its group (0 · ∞).
struct DepthwiseParams {
  const float* src;  // pixel (0, 0) of the plane
  int h, w, kernel_size;
  int row_stride;  // words from row to row of src
  int y_begin, y_end;
  const float* weights;  // [k][k][lanes], see above
  const float* bias;     // [lanes], and so are
  const float* src_scale;
  const float* scale;
  const float* shift;  // kInt8, and so are
  const float* unscale;
  const float* row_zero;  // [k][lanes] int32: src's zero point · Σ_kx weights[ky][kx]
  float* dst;             // row y_begin; rows follow without a gap (a panel's block)
  const float* next;      // what the next call reads: fetched into L2 meanwhile
  int next_lines;         // of 64 bytes; 0: nothing
};

// Cuts p×p patches out of one image and lays them out as a panel (of floats in kInt8); values
// beyond 3·p·p are zero. Patch i of the panel is output pixel `first + i` in row-major order of the
// w_out-wide result.
struct PatchParams {
  const void* src;  // f32: (3, h, w); u8: (h, w, 3)
  int h, w, patch_size, w_out;
  int first, count;
  float* panel;
  ptrdiff_t panel_block_stride;
};

// dst[lane] = mean over pixels of one channel block, in floats; summed by rows, then over rows. In
// kInt8 scale · mean + shift.
struct MeanParams {
  const float* src;  // pixel (0, 0) of the plane
  int h, w, row_stride;
  float* dst;
  const float *scale = nullptr, *shift = nullptr;  // [lanes], kInt8
};

struct KernelTable {
  const char* name;  // "portable", "avx2", "avx512"; other precisions' follow: "avx512_bf16"
  Precision precision;
  int per_word;    // values in 4 bytes: 1, 2 or 4
  int lanes;       // words a vector
  int oc_tile;     // output channels of a pointwise tile, a multiple of lanes
  int pixel_tile;  // pixels of a pointwise tile
  int sum_words;   // of a pointwise sum's parts
  void (*pointwise[kActCount])(const PointwiseParams*);
  // The product that follows patches_…; in kInt8 its operands are floats, else it is `pointwise`.
  void (*patch_embed[kActCount])(const PointwiseParams*);
  void (*strassen[kActCount])(const StrassenParams*);  // kFp32; null in others
  void (*depthwise[kActCount])(const DepthwiseParams*);
  // The order of a patch's values in the panel is (c, y, x) for f32 and (y, x, c) for u8: whole
  // rows of the source are copied, and the weights are packed in the same order.
  void (*patches_f32)(const PatchParams*);
  void (*patches_u8)(const PatchParams*);
  void (*mean)(const MeanParams*);
  // dst[i] = act(src[i]), n a multiple of lanes; for tests and benchmarks of the activations.
  void (*activation[kActCount])(const float* src, float* dst, ptrdiff_t n);
  // Runs `rounds` rounds of independent multiply-adds, of the products' kind, and returns how many
  // operations they were (two a multiply-add): the peak that percentages refer to. *sink keeps the
  // compiler from removing them.
  double (*fma_peak)(long rounds, float* sink);
};

}  // namespace convmixer
