// SPDX-License-Identifier: Apache-2.0
// The pointwise product by one or two levels of Strassen's algorithm. With quarters A (weights), X
// (panel) and C (result), first index output or input channels, second input channels or pixels:
// clang-format off
//   M1 = (A11 + A22)(X11 + X22)    C11 = M1 + M4 − M5 + M7
//   M2 = (A21 + A22) X11           C12 = M3 + M5
//   M3 = A11 (X12 − X22)           C21 = M2 + M4
//   M4 = A22 (X21 − X11)           C22 = M1 − M2 + M3 + M6
//   M5 = (A11 + A12) X22
//   M6 = (A21 − A11)(X11 + X12)
//   M7 = (A12 − A22)(X21 + X22)
// clang-format on
// (V. Strassen, "Gaussian elimination is not optimal", Numer. Math. 13, 1969.)
//
// A's combinations are packed once. X's are formed for one product at a time and stay in L2; a
// tile's sums go from their buffer in L1 straight to the parts of dst that take them: one or two
// quarters, or with two levels up to four sixteenths.
#pragma once

#include "kernels/pointwise.inl.h"
#include "kernels/precision_fp32.inl.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

struct StrassenQuarter {
  int row, column;  // halves of output channels and pixels; row < 0: none
  float sign;
  bool first, last;  // of the products that this quarter sums
};
struct StrassenProduct {
  int weights;            // M1 is 0
  int row[2], column[2];  // quarters of X; row[1] < 0: one alone
  float sign;             // of the second
  StrassenQuarter to[2];
};

// In an order that ends one quarter after another: its epilogue follows its last product.
constexpr StrassenProduct kStrassen[7] = {
    {0, {0, 1}, {0, 1}, 1, {{0, 0, 1, true, false}, {1, 1, 1, true, false}}},
    {1, {0, -1}, {0, 0}, 0, {{1, 0, 1, true, false}, {1, 1, -1, false, false}}},
    {3, {1, 0}, {0, 0}, -1, {{0, 0, 1, false, false}, {1, 0, 1, false, true}}},
    {2, {0, 1}, {1, 1}, -1, {{0, 1, 1, true, false}, {1, 1, 1, false, false}}},
    {5, {0, 0}, {0, 1}, 1, {{1, 1, 1, false, true}, {-1, 0, 0, false, false}}},
    {4, {1, -1}, {1, 0}, 0, {{0, 0, -1, false, false}, {0, 1, 1, false, true}}},
    {6, {1, 1}, {0, 1}, 1, {{0, 0, 1, false, true}, {-1, 0, 0, false, false}}},
};

constexpr bool first_is_never_last() {
  for (const StrassenProduct& product : kStrassen) {
    for (const StrassenQuarter& q : product.to) {
      if (q.first && q.last) return false;
    }
  }
  return true;
}
static_assert(first_is_never_last(), "add_to_target starts a sum or ends one, not both");

// A part of the panel, or sums of such parts.
struct StrassenOperand {
  const float* x;
  ptrdiff_t block_stride;
  int blocks, pixels;
};

// Where a product's sums go: the part of dst that begins with this block and pixel.
struct StrassenTarget {
  int block, pixel;
  float sign;
  bool first, last;
};

// What a product multiplies the weights with: a quarter of `whole`, or the sum of two in `scratch`.
inline StrassenOperand strassen_operand(const StrassenProduct& product,
                                        const StrassenOperand& whole, float* scratch,
                                        ptrdiff_t scratch_block_stride) {
  StrassenOperand part{nullptr, whole.block_stride, whole.blocks / 2, whole.pixels / 2};
  const auto quarter = [&](int i) {
    return whole.x + product.row[i] * part.blocks * whole.block_stride +
           product.column[i] * part.pixels * kLanes;
  };
  part.x = quarter(0);
  if (product.row[1] < 0) return part;
  const Vec sign = set1(product.sign);
  const float *a = quarter(0), *b = quarter(1);
  for (int k = 0; k < part.blocks; ++k, a += whole.block_stride, b += whole.block_stride) {
    float* const to = scratch + k * scratch_block_stride;
    for (int i = 0; i < part.pixels * kLanes; i += kLanes) {
      store(to + i, fma(load(b + i), sign, load(a + i)));
    }
  }
  part.x = scratch;
  part.block_stride = scratch_block_stride;
  return part;
}

// Appends the targets of a product within the part `whole`, whose quarters are of `blocks` ×
// `pixels`.
inline int add_targets(const StrassenProduct& product, const StrassenTarget& whole, int blocks,
                       int pixels, StrassenTarget* targets, int count) {
  for (const StrassenQuarter& q : product.to) {
    if (q.row < 0) continue;
    targets[count++] = {whole.block + q.row * blocks, whole.pixel + q.column * pixels,
                        whole.sign * q.sign, whole.first && q.first, whole.last && q.last};
  }
  return count;
}

// Adds a tile's sums, `pixels` of them, to a target.
template <KernelActivation A>
void add_to_target(const StrassenParams& params, int tile, const StrassenTarget& to, int pixels,
                   const Sums& sums) {
  const PointwiseParams& p = params.product;
  const ptrdiff_t block = to.block + tile * kOcVecs, o = block * kLanes;
  const int32_t* const offset = p.dst_offset + to.pixel;
  static_assert(kOcVecs == 2, "each() writes them out");
  float* dst[kOcVecs];
  Vec sign = set1(to.sign), bias[kOcVecs], scale[kOcVecs], shift[kOcVecs], unscale[kOcVecs];
#pragma GCC unroll 2
  for (int v = 0; v < kOcVecs; ++v) {
    dst[v] = p.dst + (block + v) * p.dst_block_stride;
    bias[v] = load(p.bias + o + v * kLanes);
    scale[v] = load(p.scale + o + v * kLanes);
    shift[v] = load(p.shift + o + v * kLanes);
    unscale[v] = load(p.unscale + o + v * kLanes);
  }
  // combine(sums, at): a pixel's sums, and what the target holds, to what it shall hold.
  const auto each = [&](auto combine) __attribute__((always_inline)) {
    const float* from = sums.v;
    for (int i = 0; i < pixels; ++i, from += kOcTile) {
      Vec x[kOcVecs] = {load(from), load(from + kLanes)};
      float* const at[kOcVecs] = {dst[0] + offset[i], dst[1] + offset[i]};
      combine(x, at);
      for (int v = 0; v < kOcVecs; ++v) store(at[v], x[v]);
    }
  };
  const auto add_up = [&](Vec(&x)[kOcVecs], float* const* at) __attribute__((always_inline)) {
    for (int v = 0; v < kOcVecs; ++v) x[v] = fma(x[v], sign, load(at[v]));
  };
  if (to.first) {
    each([&](Vec(&x)[kOcVecs], float* const*) __attribute__((always_inline)) {
      for (int v = 0; v < kOcVecs; ++v) x[v] = mul(x[v], sign);
    });
  } else if (!to.last) {
    each(add_up);
  } else {
    each([&](Vec(&x)[kOcVecs], float* const* at) __attribute__((always_inline)) {
      add_up(x, at);
      for (int v = 0; v < kOcVecs; ++v) x[v] = fma(x[v], unscale[v], bias[v]);
      activate<A, Fp32>(x);
      for (int v = 0; v < kOcVecs; ++v) x[v] = fma(scale[v], x[v], shift[v]);
    });
  }
}

inline void prefetch_target(const PointwiseParams& p, int tile, const StrassenTarget& to,
                            int pixels) {
  // Neighbouring pixels share a line where a vector is half of one; at the end of a row one of two
  // lines may be left out.
  constexpr int kLinePixels = int{kLineBytes} / (kLanes * int{sizeof(float)});
  static_assert(kLinePixels >= 1);
  const float* const dst = p.dst + (to.block + tile * kOcVecs) * p.dst_block_stride;
  for (int i = 0; i < pixels; i += kLinePixels) {
    for (int v = 0; v < kOcVecs; ++v) {
      prefetch(dst + v * p.dst_block_stride + p.dst_offset[to.pixel + i]);
    }
  }
}

// One product: `weights` are its tiles', `next` the first weights of the product after it.
template <KernelActivation A>
void strassen_product(const StrassenParams& params, const StrassenOperand& x, const float* weights,
                      const float* next, const StrassenTarget* targets, int count, Sums& sums) {
  const PointwiseParams& p = params.product;
  const int ic = x.blocks * kLanes;
  const ptrdiff_t tile_floats = static_cast<ptrdiff_t>(ic) * kOcTile;
  for (int t = p.tile_begin; t < p.tile_end; ++t) {
    const float* const tile = weights + t * tile_floats;
    for (int i = 0; i < count; ++i) prefetch_target(p, t, targets[i], x.pixels);
    sum_tile<Fp32>(x.x, x.block_stride, x.pixels, ic, tile,
                   t + 1 < p.tile_end ? tile + tile_floats : next + p.tile_begin * tile_floats,
                   sums);
    for (int i = 0; i < count; ++i) add_to_target<A>(params, t, targets[i], x.pixels, sums);
  }
}

template <KernelActivation A>
void strassen(const StrassenParams* params) {
  const StrassenParams& s = *params;
  const PointwiseParams& p = s.product;
  const int parts = 1 << s.levels, products = s.levels == 2 ? 49 : 7;
  const ptrdiff_t product_floats =
      static_cast<ptrdiff_t>(p.oc_blk / parts * kLanes) * (p.ic / parts);
  const StrassenOperand whole{p.panel, p.panel_block_stride, p.ic / kLanes, p.pixels};
  constexpr StrassenTarget kAll{0, 0, 1, true, true};
  Sums sums;
  // Of the n-th product in order.
  const auto weights_of = [&](int n) {
    const int i = n % products, outer = kStrassen[s.levels == 2 ? i / 7 : i].weights;
    return p.weights +
           (s.levels == 2 ? outer * 7 + kStrassen[i % 7].weights : outer) * product_floats;
  };
  for (int m = 0; m < 7; ++m) {
    const StrassenProduct& outer = kStrassen[m];
    const StrassenOperand x =
        strassen_operand(outer, whole, s.scratch[0], s.scratch_block_stride[0]);
    StrassenTarget quarters[2];
    const int count = add_targets(outer, kAll, p.oc_blk / 2, p.pixels / 2, quarters, 0);
    if (s.levels == 1) {
      strassen_product<A>(s, x, weights_of(m), weights_of(m + 1), quarters, count, sums);
      continue;
    }
    for (int n = 0; n < 7; ++n) {
      const StrassenProduct& inner = kStrassen[n];
      const StrassenOperand y = strassen_operand(inner, x, s.scratch[1], s.scratch_block_stride[1]);
      StrassenTarget parts_of_dst[4];
      int targets = 0;
      for (int q = 0; q < count; ++q) {
        targets =
            add_targets(inner, quarters[q], p.oc_blk / 4, p.pixels / 4, parts_of_dst, targets);
      }
      strassen_product<A>(s, y, weights_of(7 * m + n), weights_of(7 * m + n + 1), parts_of_dst,
                          targets, sums);
    }
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
