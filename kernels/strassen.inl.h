// SPDX-License-Identifier: Apache-2.0
// The pointwise product by one level of Strassen's algorithm. With quarters A (weights), X (panel)
// and C (result), first index output or input channels, second input channels or pixels:
//   M1 = (A11 + A22)(X11 + X22)   M2 = (A21 + A22) X11   M3 = A11 (X12 − X22)   M4 = A22 (X21 −
//   X11) M5 = (A11 + A12) X22   M6 = (A21 − A11)(X11 + X12)   M7 = (A12 − A22)(X21 + X22) C11 = M1
//   + M4 − M5 + M7   C12 = M3 + M5   C21 = M2 + M4   C22 = M1 − M2 + M3 + M6
// (V. Strassen, "Gaussian elimination is not optimal", Numer. Math. 13, 1969.)
//
// A's combinations are packed once. X's are formed for one product at a time and stay in L2; a
// tile's sums go from their buffer in L1 straight to the one or two quarters of dst that take them.
#pragma once

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

// dst = a + sign · b for `blocks` channel blocks of `floats` floats.
inline void combine(const float* a, const float* b, float sign, ptrdiff_t block_stride, int blocks,
                    int floats, float* dst, ptrdiff_t dst_block_stride) {
  const Vec s = set1(sign);
  for (int k = 0; k < blocks; ++k, a += block_stride, b += block_stride, dst += dst_block_stride) {
    for (int i = 0; i < floats; i += kLanes) {
      store(dst + i, fma(load(b + i), s, load(a + i)));
    }
  }
}

// Adds a tile's sums, `pixels` of them, to the quarter q of dst.
template <KernelActivation A>
void add_to_quarter(const StrassenParams& params, int tile, const StrassenQuarter& q, int pixels,
                    const Sums& sums) {
  const PointwiseParams& p = params.product;
  const Vec sign = set1(q.sign);
  const int32_t* const offset = p.dst_offset + q.column * pixels;
  for (int v = 0; v < kOcVecs; ++v) {
    const ptrdiff_t block = tile * kOcVecs + v + q.row * (p.oc_blk / 2);
    const ptrdiff_t o = block * kLanes;
    const Vec bias = load(p.bias + o), scale = load(p.scale + o), shift = load(p.shift + o),
              unscale = load(params.unscale + o);
    float* const dst = p.dst + block * p.dst_block_stride;
    const float* const from = sums.v + v * kLanes;
    for (int i = 0; i < pixels; ++i) {
      float* const at = dst + offset[i];
      const Vec before = q.first ? set1(0.0f) : load(at);
      const Vec sum = fma(load(from + i * kOcTile), sign, before);
      store(at, q.last ? fma(scale, activate<A>(fma(sum, unscale, bias)), shift) : sum);
    }
  }
}

inline void prefetch_quarter(const PointwiseParams& p, int tile, const StrassenQuarter& q,
                             int pixels) {
  for (int v = 0; v < kOcVecs; ++v) {
    const ptrdiff_t block = tile * kOcVecs + v + q.row * (p.oc_blk / 2);
    const float* const dst = p.dst + block * p.dst_block_stride;
    for (int i = 0; i < pixels; ++i) prefetch(dst + p.dst_offset[q.column * pixels + i]);
  }
}

template <KernelActivation A>
void strassen(const StrassenParams* params) {
  const PointwiseParams& p = params->product;
  const int pixels = p.pixels / 2, ic = p.ic / 2, blocks = ic / kLanes;
  const int tiles = p.oc_blk / 2 / kOcVecs;
  const auto weights_of = [&](int product, int tile) {
    return p.weights +
           (static_cast<ptrdiff_t>(kStrassen[product].weights) * tiles + tile) * ic * kOcTile;
  };
  const auto quarter_of = [&](int row, int column) {
    return p.panel + row * blocks * p.panel_block_stride + column * pixels * kLanes;
  };
  Sums sums;
  for (int m = 0; m < 7; ++m) {
    const StrassenProduct& product = kStrassen[m];
    const float* x = quarter_of(product.row[0], product.column[0]);
    ptrdiff_t stride = p.panel_block_stride;
    if (product.row[1] >= 0) {
      combine(x, quarter_of(product.row[1], product.column[1]), product.sign, stride, blocks,
              pixels * kLanes, params->scratch, params->scratch_block_stride);
      x = params->scratch;
      stride = params->scratch_block_stride;
    }
    for (int t = p.tile_begin; t < p.tile_end; ++t) {
      const float* const next =
          t + 1 < p.tile_end ? weights_of(m, t + 1) : weights_of(m < 6 ? m + 1 : 0, p.tile_begin);
      for (const StrassenQuarter& q : product.to) {
        if (q.row >= 0) prefetch_quarter(p, t, q, pixels);
      }
      sum_tile(x, stride, pixels, ic, weights_of(m, t), next, sums);
      for (const StrassenQuarter& q : product.to) {
        if (q.row >= 0) add_to_quarter<A>(*params, t, q, pixels, sums);
      }
    }
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
