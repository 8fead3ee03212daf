// SPDX-License-Identifier: Apache-2.0
// Pointwise convolution as a matrix product: constant packed weights × a panel of pixels.
//
// A register tile holds N pixels × 2 vectors of output channels. For each input channel it loads
// two weight vectors and broadcasts N panel values: 2N multiply-adds for N + 2 loads. Loops, inside
// out: kSumChannels input channels (their weights for one tile stay near), the pixels of the panel,
// the rest of the input channels, the tiles of output channels. Between the parts the sums wait in
// a buffer that stays in L1. Each part is summed from zero before it is added: rounding errors grow
// with the length of a chain.
#pragma once

#include "kernels/prefetch.inl.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

constexpr int kOcVecs = 2;
constexpr int kOcTile = kOcVecs * kLanes;

// The sums of one tile of output channels for all pixels of a chunk.
constexpr int kMostPixels = 128;
struct Sums {
  alignas(64) float v[kMostPixels * kOcTile];  // [pixel][kOcTile]
};

// sums (+)= over `ic` input channels of N pixels.
template <int N>
void pointwise_tile(const float* panel, ptrdiff_t panel_block_stride, const float* weights, int ic,
                    bool first, float* sums, Prefetch& next) {
  Vec sum[N][kOcVecs];
#pragma GCC unroll 16
  for (int p = 0; p < N; ++p) sum[p][0] = sum[p][1] = set1(0.0f);
  const auto add_channel = [&](const float* x) __attribute__((always_inline)) {
    const Vec w0 = load(weights), w1 = load(weights + kLanes);
    weights += kOcTile;
#pragma GCC unroll 16
    for (int p = 0; p < N; ++p) {
      const Vec v = broadcast(x + p * kLanes);
      sum[p][0] = fma(v, w0, sum[p][0]);
      sum[p][1] = fma(v, w1, sum[p][1]);
    }
  };
  for (; ic >= kLanes; ic -= kLanes, panel += panel_block_stride) {
    next.step();
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; ++i) add_channel(panel + i);
  }
  for (int i = 0; i < ic; ++i) add_channel(panel + i);
#pragma GCC unroll 16
  for (int p = 0; p < N; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < kOcVecs; ++v) {
      float* const at = sums + p * kOcTile + v * kLanes;
      store(at, first ? sum[p][v] : add(load(at), sum[p][v]));
    }
  }
}

using PointwiseTile = void (*)(const float*, ptrdiff_t, const float*, int, bool, float*, Prefetch&);

template <int N, int... Rest>
struct PointwiseTiles : PointwiseTiles<N - 1, N, Rest...> {};
template <int... N>
struct PointwiseTiles<0, N...> {
  static constexpr PointwiseTile kBySize[] = {nullptr, pointwise_tile<N>...};
};

// sums[pixel][kOcTile] = Σ over `ic` input channels of weights[ic][kOcTile] · panel; pixels ≤
// kMostPixels. `next` are the weights of the tile after this one.
inline void sum_tile(const float* panel, ptrdiff_t panel_block_stride, int pixels, int ic,
                     const float* weights, const float* next, Sums& sums) {
  // ⌈pixels / kPixelTile⌉ tiles of nearly equal size: a multiply-add costs the same in a slightly
  // smaller tile, while a small rest would leave the ports idle.
  const int tiles = (pixels + kPixelTile - 1) / kPixelTile;
  const int size = pixels / tiles, larger = pixels % tiles;
  const int blocks = ic / kLanes;
  Prefetch fetch(next, blocks * kOcTile * kLanes / kLineFloats, tiles * (blocks > 0 ? blocks : 1));
  for (int c = 0; c < ic; c += kSumChannels) {
    const int channels = kSumChannels < ic - c ? kSumChannels : ic - c;
    const float* x = panel + c / kLanes * panel_block_stride;
    float* to = sums.v;
    for (int i = 0; i < tiles; ++i) {
      const int n = size + (i < larger ? 1 : 0);
      PointwiseTiles<kPixelTile>::kBySize[n](x, panel_block_stride, weights, channels, c == 0, to,
                                             fetch);
      x += n * kLanes;
      to += n * kOcTile;
    }
    weights += channels * kOcTile;
  }
}

template <KernelActivation A>
void pointwise(const PointwiseParams* params) {
  const PointwiseParams& p = *params;
  const int rows = (p.ic + kLanes - 1) / kLanes * kLanes;
  const auto weights_of = [&](int tile) {
    return p.weights + static_cast<ptrdiff_t>(tile) * rows * kOcTile;
  };
  Sums sums;
  for (int first = 0; first < p.pixels; first += kMostPixels) {
    const int pixels = kMostPixels < p.pixels - first ? kMostPixels : p.pixels - first;
    const int32_t* const offset = p.dst_offset + first;
    for (int t = p.tile_begin; t < p.tile_end; ++t) {
      const int next = t + 1 < p.tile_end ? t + 1 : p.tile_begin;
      sum_tile(p.panel + first * kLanes, p.panel_block_stride, pixels, p.ic, weights_of(t),
               weights_of(next), sums);
      for (int v = 0; v < kOcVecs && t * kOcVecs + v < p.oc_blk; ++v) {
        const ptrdiff_t o = static_cast<ptrdiff_t>(t) * kOcTile + v * kLanes;
        const Vec bias = load(p.bias + o), scale = load(p.scale + o), shift = load(p.shift + o);
        float* const dst = p.dst + (static_cast<ptrdiff_t>(t) * kOcVecs + v) * p.dst_block_stride;
        for (int i = 0; i < pixels; ++i) {
          const Vec sum = add(load(sums.v + i * kOcTile + v * kLanes), bias);
          store(dst + offset[i], fma(scale, activate<A>(sum), shift));
        }
      }
    }
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
