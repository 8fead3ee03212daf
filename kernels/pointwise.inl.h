// SPDX-License-Identifier: Apache-2.0
// Pointwise convolution as a matrix product: constant packed weights × a panel of pixels.
//
// A register tile holds N pixels × 2 vectors of output channels. For each input channel it loads
// two weight vectors and broadcasts N panel values: 2N multiply-adds for N + 2 loads. Loops, inside
// out: kSumChannels input channels (their weights for one tile stay in L1), the pixels of the panel
// (that part of them stays in L2), the tiles of output channels, the rest of the input channels.
// Between those, the sums wait in dst. Each part is summed from zero before it is added: rounding
// errors grow with the length of a chain.
#pragma once

namespace convmixer::CONVMIXER_ISA {
namespace {

constexpr int kOcVecs = 2;
constexpr int kOcTile = kOcVecs * kLanes;
constexpr int kSumBlocks = kSumChannels / kLanes;

// Where a tile's sums come from and go to.
struct TileDst {
  float* dst;  // pixel offsets are relative to it; first block of the tile
  const int32_t* offset;
  ptrdiff_t block_stride;
  const float* bias;
  bool first;   // the sums are added to the bias; else to what dst holds
  bool second;  // false where the tile's second block lies beyond the last channel
};

// Adds block V of a tile's sums to the bias or to what dst holds.
template <int V, int N>
inline void add_sums(const Vec (&sum)[N][kOcVecs], const TileDst& to) {
  float* const dst = to.dst + V * to.block_stride;
  const Vec bias = load(to.bias + V * kLanes);
#pragma GCC unroll 16
  for (int p = 0; p < N; ++p) {
    float* const at = dst + to.offset[p];
    store(at, add(to.first ? bias : load(at), sum[p][V]));
  }
}

template <int N>
void pointwise_tile(const float* panel, ptrdiff_t panel_block_stride, const float* weights,
                    int k_blocks, const TileDst& to) {
  Vec sum[N][kOcVecs];
#pragma GCC unroll 16
  for (int p = 0; p < N; ++p) sum[p][0] = sum[p][1] = set1(0.0f);
  for (int b = 0; b < k_blocks; ++b, panel += panel_block_stride) {
#pragma GCC unroll 4
    for (int i = 0; i < kLanes; ++i, weights += kOcTile) {
      const Vec w0 = load(weights), w1 = load(weights + kLanes);
#pragma GCC unroll 16
      for (int p = 0; p < N; ++p) {
        const Vec x = broadcast(panel + p * kLanes + i);
        sum[p][0] = fma(x, w0, sum[p][0]);
        sum[p][1] = fma(x, w1, sum[p][1]);
      }
    }
  }
  add_sums<0>(sum, to);
  if (to.second) add_sums<1>(sum, to);
}

using PointwiseTile = void (*)(const float*, ptrdiff_t, const float*, int, const TileDst&);

template <int N, int... Rest>
struct PointwiseTiles : PointwiseTiles<N - 1, N, Rest...> {};
template <int... N>
struct PointwiseTiles<0, N...> {
  static constexpr PointwiseTile kBySize[] = {nullptr, pointwise_tile<N>...};
};

template <KernelActivation A>
void pointwise_epilogue(const PointwiseParams& p, int tile, const TileDst& to) {
  for (int v = 0; v < (to.second ? 2 : 1); ++v) {
    const ptrdiff_t o = static_cast<ptrdiff_t>(tile) * kOcTile + v * kLanes;
    const Vec scale = load(p.scale + o), shift = load(p.shift + o);
    float* const dst = to.dst + v * to.block_stride;
    for (int i = 0; i < p.pixels; ++i) {
      float* const at = dst + p.dst_offset[i];
      store(at, fma(scale, activate<A>(load(at)), shift));
    }
  }
}

template <KernelActivation A>
void pointwise(const PointwiseParams* params) {
  const PointwiseParams& p = *params;
  // ⌈pixels / kPixelTile⌉ tiles of nearly equal size: a multiply-add costs the same in a slightly
  // smaller tile, while a small rest would leave the ports idle.
  const int tiles = (p.pixels + kPixelTile - 1) / kPixelTile;
  const int size = p.pixels / tiles, larger = p.pixels % tiles;
  for (int k = 0; k < p.ic_blk; k += kSumBlocks) {
    const int k_blocks = kSumBlocks < p.ic_blk - k ? kSumBlocks : p.ic_blk - k;
    for (int t = p.tile_begin; t < p.tile_end; ++t) {
      const float* const weights =
          p.weights + (static_cast<ptrdiff_t>(t) * p.ic_blk + k) * kLanes * kOcTile;
      TileDst to{p.dst + static_cast<ptrdiff_t>(t) * kOcVecs * p.dst_block_stride,
                 p.dst_offset,
                 p.dst_block_stride,
                 p.bias + static_cast<ptrdiff_t>(t) * kOcTile,
                 k == 0,
                 t * kOcVecs + 1 < p.oc_blk};
      const float* panel = p.panel + k * p.panel_block_stride;
      for (int i = 0; i < tiles; ++i) {
        const int n = size + (i < larger ? 1 : 0);
        PointwiseTiles<kPixelTile>::kBySize[n](panel, p.panel_block_stride, weights, k_blocks, to);
        panel += n * kLanes;
        to.offset += n;
      }
      if (k + k_blocks == p.ic_blk) pointwise_epilogue<A>(p, t, to);
    }
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
