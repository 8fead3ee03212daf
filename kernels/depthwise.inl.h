// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution + activation + scale + residual, one channel block.
//
// N neighbouring results of a row stay in registers; each tap loads its weight once and takes the N
// inputs as memory operands: N multiply-adds for N + 1 loads, which the two load ports of current
// cores deliver at the rate of the two multiply-add ports. Any kernel size, and no branch at
// borders: the planes carry zeros beside each row, and taps above and below the image are left out.
#pragma once

#include "kernels/prefetch.inl.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

template <int N>
void depthwise_tile(const DepthwiseParams& p, const float* src, const float* weights, int ky_count,
                    float* dst, Prefetch& next) {
  Vec sum[N];
  const Vec bias = load(p.bias);
#pragma GCC unroll 32
  for (int x = 0; x < N; ++x) sum[x] = bias;
  for (int ky = 0; ky < ky_count; ++ky, src += p.row_stride) {
    next.step();
    for (int kx = 0; kx < p.kernel_size; ++kx, weights += kLanes) {
      const Vec w = load(weights);
      const float* const row = src + kx * kLanes;
#pragma GCC unroll 32
      for (int x = 0; x < N; ++x) sum[x] = fma(load(row + x * kLanes), w, sum[x]);
    }
  }
#pragma GCC unroll 32
  for (int x = 0; x < N; ++x) store(dst + x * kLanes, sum[x]);
}

using DepthwiseTile = void (*)(const DepthwiseParams&, const float*, const float*, int, float*,
                               Prefetch&);

template <int N, int... Rest>
struct DepthwiseTiles : DepthwiseTiles<N - 1, N, Rest...> {};
template <int... N>
struct DepthwiseTiles<0, N...> {
  static constexpr DepthwiseTile kBySize[] = {nullptr, depthwise_tile<N>...};
};

template <KernelActivation A>
void depthwise(const DepthwiseParams* params) {
  const DepthwiseParams& p = *params;
  const int k = p.kernel_size, pad = (k - 1) / 2;
  const int tiles = (p.w + kRowTile - 1) / kRowTile;
  const int size = p.w / tiles, larger = p.w % tiles;
  const Vec scale = load(p.scale), src_scale = load(p.src_scale);
  const int steps = (p.y_end - p.y_begin) * tiles * k;
  Prefetch next(p.next, p.next_lines, steps);
  float* dst = p.dst;
  for (int y = p.y_begin; y < p.y_end; ++y, dst += p.w * kLanes) {
    const int ky_begin = y < pad ? pad - y : 0;
    const int ky_end = p.h - y + pad < k ? p.h - y + pad : k;
    const float* const weights = p.weights + ky_begin * k * kLanes;
    const float* const first = p.src + (y + ky_begin - pad) * static_cast<ptrdiff_t>(p.row_stride);
    for (int i = 0, x = 0; i < tiles; ++i) {
      const int n = size + (i < larger ? 1 : 0);
      DepthwiseTiles<kRowTile>::kBySize[n](p, first + (x - pad) * kLanes, weights,
                                           ky_end - ky_begin, dst + x * kLanes, next);
      x += n;
    }
    const float* const src = p.src + y * static_cast<ptrdiff_t>(p.row_stride);
    for (int x = 0; x < p.w; ++x) {
      const Vec u = activate<A>(load(dst + x * kLanes));
      store(dst + x * kLanes, fma(scale, u, mul(src_scale, load(src + x * kLanes))));
    }
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
