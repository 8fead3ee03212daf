// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in fp32 by Winograd's F(2, 3) over the rows of taps: two results of three
// taps, one below the other, take four multiplications instead of six. (S. Winograd, "Arithmetic
// Complexity of Computations", 1980; for convolutions A. Lavin and S. Gray, "Fast Algorithms for
// Convolutional Neural Networks", CVPR 2016, who take both dimensions.)
//
// Of rows d0 … d3 of src and taps g0, g1, g2 of a column of the kernel:
//   m0 = (d1 + d2) · (g0 + g1 + g2) / 2      y0 = g0·d0 + g1·d1 + g2·d2 = m0 + m1 + m2
//   m1 = (d2 − d1) · (g0 − g1 + g2) / 2      y1 = g0·d1 + g1·d2 + g2·d3 = m0 − m1 + m3
//   m2 = (d0 − d2) · g0
//   m3 = (d3 − d1) · g2
// A kernel of 9×9 has three such rows of taps, one of 7×7 two and a row that is left. Each product
// is summed over all of them and over the columns before the sums are put together, so that this
// costs 2½ additions a result. The columns stay as they are: a difference of two rows is made in
// a register, is multiplied with all taps of its row, which stay in registers too where there are
// 32, and serves up to 9 results beside each other: 54 multiply-adds and 12 additions a vector of
// 9×9 (rows of 16) instead of 81 multiply-adds, and 21 loads of rows and taps instead of 86.
// Rounding errors are 0.7 to 0.9 of the plain sum's: chains are shorter, and begin with zero.
// (Where a row is far larger than the ones beside it, they are as large as its would be.)
#pragma once

#include "kernels/depthwise.inl.h"
#include "kernels/tap_layout.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// sum[x] += Σ over the taps of a row, `weights`, of row(x + tap).
template <int kTaps, int N, typename Row>
__attribute__((always_inline)) inline void add_row(const float* weights, Vec (&sum)[N], Row row) {
  Vec w[kTaps];
#pragma GCC unroll 9
  for (int t = 0; t < kTaps; ++t) w[t] = load(weights + t * kLanes);
#pragma GCC unroll 40
  for (int i = 0; i < N + kTaps - 1; ++i) {
    const Vec v = row(i * kLanes);
#pragma GCC unroll 9
    for (int t = 0; t < kTaps; ++t) {
      if (i >= t && i - t < N) accumulate(sum[i - t], v, w[t]);
    }
  }
}

template <int N>
__attribute__((always_inline)) inline void clear(Vec (&sum)[N]) {
#pragma GCC unroll 32
  for (int x = 0; x < N; ++x) sum[x] = set1(0.0f);
}

// What stands in for rows above and below the image.
alignas(64) constexpr float kNoRow[(kRowTile + kMostWinogradKernel) * kLanes] = {};

// sum[x] += product kProduct. `rows` are those of src that the taps of a pair of results reach, at
// the first result's first tap; `weights` the product's.
template <int kProduct, int kKernel, int N>
__attribute__((always_inline)) inline void add_product(const float* const* rows,
                                                       const float* weights, Vec (&sum)[N],
                                                       Prefetch& next) {
  constexpr int kFrom[] = {1, 2, 0, 3}, kAnd[] = {2, 1, 2, 1};
  int r = 0;
  for (; r + 3 <= kKernel; r += 3, weights += kKernel * kLanes) {
    next.step();
    const float *const a = rows[r + kFrom[kProduct]], *const b = rows[r + kAnd[kProduct]];
    if (a == kNoRow && b == kNoRow) continue;
    add_row<kKernel>(
        weights, sum, [&](int at) __attribute__((always_inline)) {
          return kProduct == 0 ? add(load(a + at), load(b + at)) : sub(load(a + at), load(b + at));
        });
  }
  if constexpr (kProduct >= 2) {
    for (; r < kKernel; ++r, weights += kKernel * kLanes) {
      next.step();
      const float* const a = rows[r + kProduct - 2];
      if (a == kNoRow) continue;
      add_row<kKernel>(
          weights, sum, [&](int at) __attribute__((always_inline)) { return load(a + at); });
    }
  }
}

// What a tile makes of a pair of rows.
struct WinogradSums {
  alignas(64) float of[2][kRowTile * kLanes];
};

// bias + Σ of N pixels of two rows, or of the one that is wanted.
template <int kKernel, int N>
void winograd_tile(const float* const* rows, const float* weights, Vec bias, bool first,
                   bool second, WinogradSums& sums, Prefetch& next) {
  const auto weights_of = [&](int product) {
    return weights + winograd_row(kKernel, product) * kKernel * kLanes;
  };
  // Each product from zero: fewer roundings of large sums.
  Vec sum[N];
  clear(sum);
  add_product<0, kKernel>(rows, weights_of(0), sum, next);
#pragma GCC unroll 32
  for (int x = 0; x < N; ++x) store(sums.of[0] + x * kLanes, add(sum[x], bias));
  clear(sum);
  add_product<1, kKernel>(rows, weights_of(1), sum, next);
#pragma GCC unroll 32
  for (int x = 0; x < N; ++x) {
    float *const m0 = sums.of[0] + x * kLanes, *const difference = sums.of[1] + x * kLanes;
    store(difference, sub(load(m0), sum[x]));
    store(m0, add(load(m0), sum[x]));
  }
  const auto add_to = [&](float* row) {
#pragma GCC unroll 32
    for (int x = 0; x < N; ++x) store(row + x * kLanes, add(load(row + x * kLanes), sum[x]));
  };
  if (first) {
    clear(sum);
    add_product<2, kKernel>(rows, weights_of(2), sum, next);
    add_to(sums.of[0]);
  }
  if (second) {
    clear(sum);
    add_product<3, kKernel>(rows, weights_of(3), sum, next);
    add_to(sums.of[1]);
  }
}

using WinogradTile = void (*)(const float* const*, const float*, Vec, bool, bool, WinogradSums&,
                              Prefetch&);

template <int kKernel, int N, int... Rest>
struct WinogradTiles : WinogradTiles<kKernel, N - 1, N, Rest...> {};
template <int kKernel, int... N>
struct WinogradTiles<kKernel, 0, N...> {
  static constexpr WinogradTile kBySize[] = {nullptr, winograd_tile<kKernel, N>...};
};

template <class P, KernelActivation A, int kKernel>
void depthwise_winograd(const DepthwiseParams& p) {
  constexpr int kPad = (kKernel - 1) / 2;
  const int tiles = (p.w + kRowTile - 1) / kRowTile;
  const int size = p.w / tiles, larger = p.w % tiles;
  const int first_row = p.y_begin / 2 * 2;  // of a pair, whatever the strip
  const int pairs = (p.y_end - first_row + 1) / 2;
  // Of a pair of which one row is wanted a product is left out.
  const int left_out = pairs * 2 - (p.y_end - p.y_begin);
  const int steps = pairs * winograd_row(kKernel, 4) - left_out * (kKernel / 3 + kKernel % 3);
  const DepthwiseEpilogue<P, A> epilogue(p);
  Prefetch next(p.next_lines > 0 ? p.next : p.src, p.next_lines, tiles * steps);
  WinogradSums sums;
  for (int y = first_row; y < p.y_end; y += 2) {
    const float* const src = p.src + y * static_cast<ptrdiff_t>(p.row_stride);
    const bool first = y >= p.y_begin, second = y + 1 < p.y_end;
    for (int i = 0, x = 0; i < tiles; ++i) {
      const int n = size + (i < larger ? 1 : 0);
      const float* rows[kKernel + 1];
      for (int r = 0; r <= kKernel; ++r) {
        const int from = y - kPad + r;
        rows[r] =
            from < 0 || from >= p.h
                ? kNoRow
                : src + (r - kPad) * static_cast<ptrdiff_t>(p.row_stride) + (x - kPad) * kLanes;
      }
      WinogradTiles<kKernel, kRowTile>::kBySize[n](rows, p.weights, epilogue.bias, first, second,
                                                   sums, next);
      const auto store_row = [&](int row) {
        const ptrdiff_t pixel = static_cast<ptrdiff_t>(y + row - p.y_begin) * p.w + x;
        epilogue.store_all(sums.of[row], src + row * p.row_stride + x * kLanes, n,
                           p.dst + pixel * kDstPixel<P>);
      };
      if (first) store_row(0);
      if (second) store_row(1);
      x += n;
    }
  }
}

// Of any kernel size.
template <class P, KernelActivation A>
void depthwise_of_floats(const DepthwiseParams* params) {
  static_assert(P::kPerWord == 1, "floats");
  switch (params->kernel_size) {
    case 7:
      return depthwise_winograd<P, A, 7>(*params);
    case 9:
      return depthwise_winograd<P, A, 9>(*params);
    default:
      return depthwise<P, A>(params);
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
