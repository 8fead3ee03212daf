// SPDX-License-Identifier: Apache-2.0
// The contract of the kernels. Included by every instruction set's object, so: plain structs, no
// std.
//
// Precision. Planes, panels and packed weights are arrays of words of 4 bytes, handed over as
// float* whatever they hold: one float, two bf16, four bytes or two bytes in 16 bits each:
// `per_word` values, the first in the lowest bits. Strides and offsets count words. Sums, and the
// arithmetic behind them, are float; sums of bytes are int32 until then. What else differs stands
// at Precision and at the parameters (kernels/params.h).
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
//   to block: the broadcast operand of the pointwise product, panel_per_word channels at a time
//   (that of patches two in kInt8). Where `panel_blocks` is n > 1, so many blocks stand side by
//   side, [⌈c_blk / n⌉][pixel][n][lanes values], which is a row of a matrix tile, and the product
//   reads, and ignores, up to 15 pixels behind the last. Where `pieces` is m > 1, in kFp32, each
//   value is the sum of m bf16, [⌈c_blk / n⌉][pixel][m][n][lanes values]; an infinity is NaN.
//   Patches of kInt8 stand as if n were 1.
// All pointers are aligned to a vector unless stated (a channel block of a panel of pieces to half
// of one, and a product's panel may begin at any pixel). No kernel allocates, throws, checks or
// starts a thread; src and dst never overlap.
#pragma once

#include "kernels/params.h"

namespace convmixer {

enum KernelActivation { kActIdentity = 0, kActRelu = 1, kActGelu = 2, kActCount = 3 };

// Of planes, panels and the weights of blocks. The classifier is computed in fp32 in all of them.
//   kBf16: values are rounded to the nearest bf16, ties to even.
//   kInt8: planes and panels hold unsigned bytes, real = scale · (byte − zero point) with a scale
//          and a zero point a channel; weights are signed bytes times a scale for each output
//          channel. The patch embedding's operands are signed 16 bits, two a word. Behind the sums,
//          each step rounds alike in all variants (a multiply-add once), so that all give the same
//          bytes.
enum Precision { kFp32 = 0, kBf16 = 1, kInt8 = 2, kPrecisionCount = 3 };

struct KernelTable {
  const char* name;  // "portable", "avx2", "avx512", "amx"; other precisions': "avx512_bf16"
  Precision precision;
  int per_word;        // values in 4 bytes: 1, 2 or 4
  int lanes;           // words a vector
  int oc_tile;         // output channels of a pointwise tile, a multiple of lanes
  int panel_per_word;  // of the panel; weights of pointwise products are as `per_word` tells
  int panel_blocks;    // channel blocks side by side in a panel; above 1: products of matrix tiles
  int pieces;          // whose sum is a value of a panel: 1 or 3
  int pixel_tile;      // pixels of a pointwise tile
  int sum_words;       // of a pointwise sum's parts; matrix tiles have none
  void (*pointwise[kActCount])(const PointwiseParams*);
  // The product that follows patches_…; in kInt8 its operands have 16 bits, else it is `pointwise`.
  void (*patch_embed[kActCount])(const PointwiseParams*);
  // kFp32 where pieces is 1, and kInt8 where per_word is 2; null in others.
  void (*strassen[kActCount])(const StrassenParams*);
  void (*strassen_panel)(const StrassenPanelParams*);
  void (*depthwise[kActCount])(const DepthwiseParams*);
  // Depthwise weights are laid out for matrix tiles up to kMostKernelInTiles, for Winograd's
  // products where winograd_kernel (tap_layout.h, DepthwiseParams).
  bool taps_in_tiles, winograd;
  // The order of a patch's values in the panel is (c, y, x) for f32 and (y, x, c) for u8: whole
  // rows of the source are copied, and the weights are packed in the same order.
  void (*patches_f32)(const PatchParams*);
  void (*patches_u8)(const PatchParams*);
  void (*mean)(const MeanParams*);
  // dst[i] = act(src[i]), n a multiple of lanes; for tests and benchmarks of the activations.
  void (*activation[kActCount])(const float* src, float* dst, ptrdiff_t n);
  // Runs `rounds` rounds of independent multiply-adds, of the products' kind (in kFp32 of floats),
  // and returns how many operations they were (two a multiply-add): the peak that percentages refer
  // to. *sink keeps the compiler from removing them.
  double (*fma_peak)(long rounds, float* sink);
};

}  // namespace convmixer
