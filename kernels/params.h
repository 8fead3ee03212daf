// SPDX-License-Identifier: Apache-2.0
// The parameters of a kernel's call, an operator each. Layouts and precisions: kernels/kernels.h.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace convmixer {

// Pixels of whose sums a pointwise kernel keeps one tile of output channels at a time, on the
// stack.
constexpr int kMostSumPixels = 128;

// dst[o][p] = scale[o] · act(bias[o] + Σ_i weights[o][i] · panel[i][p]) + shift[o]
// and in kInt8 the byte nearest to the sum of it and half of what rounding left over of the pixel
// before (of none for the first of each four of a row), with unscale[o] · Σ for Σ; `scale` and
// `shift` lead to dst's bytes. Sums of KernelTable::sum_words words of channels, one multiply-add
// each in ascending order, are added one after the other, whatever the tiling: a pixel's bits do
// not depend on `pixels`, its place in the panel or the range of tiles. (Matrix tiles add in an
// order of their own, the same for every pixel.)
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
  const float* unscale;  // kInt8 and StrassenParams
  float* dst;
  const int32_t* dst_offset;  // an offset for each pixel, within a block of dst: of its group
  ptrdiff_t dst_block_stride;
  int tile_begin, tile_end;  // the range of oc tiles to compute
  // Where KernelTable::per_word > 1: the pixels are whole rows of dst, of so many pixels.
  int row_pixels;
  // kInt8: the border is written with the pixels, since its value, the zero point, is the layer's:
  // `gap` groups behind each row's last group, and before the first pixel's where `gap_before`.
  const float* border;  // [oc tile][kOcTile] words of per_word equal bytes
  int gap, gap_before;
};

static constexpr int strassen_products(int levels) { return levels == 2 ? 49 : 7; }
// Parts of dst that are summed, and those that wait for being added: (4^(levels + 1) − 1) / 3.
static constexpr int strassen_sum_parts(int levels) { return levels == 2 ? 16 + 4 + 1 : 4 + 1; }

// The same result with other roundings, by one or two levels of Strassen's algorithm: output
// channels, input channels and pixels are halved, seven products of half size make the four
// quarters of dst, and with two levels each of the seven is made so too.
//   dst[o][p] = scale[o] · act(bias[o] + unscale[o] · Σ_i A[o][i] · X[i][p]) + shift[o],
// where the weights are combinations of A's parts (engine/strassen.h) and the panel, of X's parts
// (StrassenPanelParams). `pixels`, of X, is a multiple of n = 2^levels and at most
// 2 · kMostSumPixels, ic and oc are multiples of n · kOcTile; in kInt8, whose sums are exact, so
// that the bytes are those of the plain product, pixels / n are whole rows and an even number.
// Pixels a multiple of pixels / n apart share roundings: bits depend on the panel's pixels, but not
// on the range of tiles; a NaN or an infinity spreads to those pixels, and to channels as far
// apart.
struct StrassenParams {
  // weights: [oc tile of the first 1/n][7^levels][words of ic / n channels][kOcTile]. The tiles in
  // the range stand for themselves and for those as far into the other parts.
  PointwiseParams product;
  int levels;
  ptrdiff_t product_stride;  // of the panel; panel_block_stride is that within a product
  int tiles_at_once;         // ≥ 1: multiplied with an operand before the next; changes no bits
  float* sums;  // room for tiles_at_once · strassen_sum_parts(levels) · pixels / n · kOcTile floats
};

// The panel of such products, [7^levels][ic_blk / n][pixels / n][lanes values], and in it a block
// of each of the seven, or 49. It is made of n blocks of X, `src_stride` words apart, each of
// `pixels` pixels: of channel block b and those 1 … n − 1 times ic_blk / n behind it.
struct StrassenPanelParams {
  const float* src;
  ptrdiff_t src_stride;
  int pixels, levels;
  float* panel;  // block b of the first product
  ptrdiff_t product_stride;
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
//
// Where KernelTable::taps_in_tiles and kernel_size is at most kMostKernelInTiles (tap_layout.h),
// weights are [lanes][tap_rows][32 / r] bf16, where r is tap_cell_rows: tap (ky, kx) is at
// [tap_rows − r − ky][kx + tap_window_left − pad + 16 / r − 1], and all others are zero. The bias
// is added last. An infinity or NaN spreads to all pixels of a cell one of whose windows holds it;
// cells begin at multiples of their width and of r.
//
// Where KernelTable::winograd and winograd_kernel(kernel_size), weights are those of Winograd's
// products (depthwise_winograd.inl.h), [winograd_row(k, 4)][k][lanes]: of product 0 a row
// (g0 + g1 + g2) / 2 for each three rows g0, g1, g2 of taps, then of product 1 (g0 − g1 + g2) / 2,
// then of product 2 the g0 and the last k % 3 rows, then of product 3 the g2 and these again. Each
// is summed over (row, kx) in ascending order; rows 2i and 2i + 1 share products, whatever the
// range. Infinities, of `src` or of weights, may become NaN as far as taps reach, and so may values
// from 2^127 on, two of which may have an infinite sum; taps beside the image count too (0 · ∞).
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

// The largest |value| of a patch made of floats in kInt8: 13 bits with the sign leave the weights
// of a 7×7 patch as many (engine/byte_weights.h).
constexpr int kMostPatchValue = 4095;

// Cuts p×p patches out of one image and lays them out as a panel; values beyond 3·p·p are zero.
// Patch i of the panel is output pixel `first + i` in row-major order of the w_out-wide result. In
// kInt8 this panel's values have 16 bits: bytes as they are; of floats the whole number nearest to
// scale · src, ties to even, not beyond ±kMostPatchValue; NaN becomes −kMostPatchValue.
struct PatchParams {
  const void* src;  // f32: (3, h, w); u8: (h, w, 3)
  int h, w, patch_size, w_out;
  int first, count;
  float scale;  // of floats in kInt8
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

}  // namespace convmixer
