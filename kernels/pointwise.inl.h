// SPDX-License-Identifier: Apache-2.0
// Pointwise convolution as a matrix product: constant packed weights × a panel of pixels.
//
// A register tile holds N pixels × 2 vectors of output channels. For each word of input channels
// (one, two or four of them) it loads two weight vectors and broadcasts N panel words: 2N
// multiply-adds for N + 2 loads, or more where multiply-adds broadcast words themselves. Loops,
// inside out: kSumWords words (their weights for one tile stay near), the pixels of the panel, the
// rest of the input channels, the tiles of output channels. Between the parts the sums wait in a
// buffer that stays in L1. Each part is summed from zero before it is added: rounding errors grow
// with the length of a chain.
#pragma once

#include "kernels/prefetch.inl.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

constexpr int kOcVecs = 2;
constexpr int kOcTile = kOcVecs * kLanes;

// The sums of one tile of output channels for the pixels that are multiplied with it at a time.
struct Sums {
  alignas(64) float v[kMostSumPixels * kOcTile];  // [pixel][kOcTile]
};

// Words of a pixel in a block of the panel, and from pixel to pixel.
template <class P>
constexpr int kPixelWords = kLanes / P::kPerWord;
template <class P>
constexpr int kPanelPixel = kPixelWords<P>* P::kPanelBlocks* P::kPieces;

// sums (+)= over `words` words of input channels of N pixels.
template <class P, int N>
void pointwise_tile(const float* panel, ptrdiff_t panel_block_stride, const float* weights,
                    int words, bool first, float* sums, Prefetch& next) {
  static_assert(kOcVecs == 2, "the two vectors of a tile are written out");
  constexpr int kWords = kPixelWords<P>;
  Prefetch fetch = next;
  Vec sum[N][kOcVecs];
#pragma GCC unroll 16
  for (int p = 0; p < N; ++p) sum[p][0] = sum[p][1] = set1(0.0f);
  const auto add_word = [&](const float* x) __attribute__((always_inline)) {
    const Vec w0 = load(weights), w1 = load(weights + kLanes);
    weights += kOcTile;
#pragma GCC unroll 16
    for (int p = 0; p < N; ++p) {
      const float* const word = x + p * kWords;
      if constexpr (P::kPerWord == 1) {
        if (p * kPixelTile < kMemoryPixels * N) {
          P::accumulate_word(sum[p][0], word, w0);
          P::accumulate_word(sum[p][1], word, w1);
          continue;
        }
      }
      const Vec v = broadcast(word);
      P::accumulate(sum[p][0], v, w0);
      P::accumulate(sum[p][1], v, w1);
    }
  };
  for (; words >= kWords; words -= kWords, panel += panel_block_stride) {
    fetch.step();
#pragma GCC unroll kWordUnroll
    for (int i = 0; i < kWords; ++i) add_word(panel + i);
  }
  for (int i = 0; i < words; ++i) add_word(panel + i);
  next = fetch;
#pragma GCC unroll 16
  for (int p = 0; p < N; ++p) {
#pragma GCC unroll 2
    for (int v = 0; v < kOcVecs; ++v) {
      float* const at = sums + p * kOcTile + v * kLanes;
      store(at, first ? sum[p][v] : P::add_sums(load(at), sum[p][v]));
    }
  }
}

using PointwiseTile = void (*)(const float*, ptrdiff_t, const float*, int, bool, float*, Prefetch&);

template <class P, int N, int... Rest>
struct PointwiseTiles : PointwiseTiles<P, N - 1, N, Rest...> {};
template <class P, int... N>
struct PointwiseTiles<P, 0, N...> {
  static constexpr PointwiseTile kBySize[] = {nullptr, pointwise_tile<P, N>...};
};

// sums[pixel][kOcTile] = Σ over `ic` input channels of weights[ic][kOcTile] · panel, or, where this
// is not the `first` of the products that make them, that much more. `next` are the weights
// that are multiplied next.
template <class P>
void sum_tile(const float* panel, ptrdiff_t panel_block_stride, int pixels, int ic,
              const float* weights, const float* next, bool first, float* sums) {
  static_assert(kSumWords % kPixelWords<P> == 0, "parts begin with a block of the panel");
  // ⌈pixels / kPixelTile⌉ tiles of nearly equal size: a multiply-add costs the same in a slightly
  // smaller tile, while a small rest would leave the ports idle.
  const int tiles = (pixels + kPixelTile - 1) / kPixelTile;
  const int size = pixels / tiles, larger = pixels % tiles;
  const int blocks = ic / kLanes, words = (ic + P::kPerWord - 1) / P::kPerWord;
  Prefetch fetch(next, blocks * kPixelWords<P> * kOcTile * int{sizeof(float)} / int{kLineBytes},
                 tiles * (blocks > 0 ? blocks : 1));
  for (int i = 0; i < words; i += kSumWords) {
    const int now = kSumWords < words - i ? kSumWords : words - i;
    const float* x = panel + i / kPixelWords<P> * panel_block_stride;
    float* to = sums;
    for (int k = 0; k < tiles; ++k) {
      const int n = size + (k < larger ? 1 : 0);
      PointwiseTiles<P, kPixelTile>::kBySize[n](x, panel_block_stride, weights, now,
                                                first && i == 0, to, fetch);
      x += n * kPixelWords<P>;
      to += n * kOcTile;
    }
    weights += now * kOcTile;
  }
}

// What follows the sums of one vector of output channels: operands of P1, planes of P2.
template <class P1, class P2, KernelActivation A>
struct PointwiseEpilogue {
  Vec bias, scale, shift, unscale, border;

  PointwiseEpilogue(const PointwiseParams& p, ptrdiff_t o)
      : bias(load(p.bias + o)),
        scale(load(p.scale + o)),
        shift(load(p.shift + o)),
        unscale(P1::kUnscale ? load(p.unscale + o) : bias),
        border(P2::kBorder ? load(p.border + o) : set1(0.0f)) {}

  // Of N pixels.
  template <int N>
  void finish(const float* sums, Vec (&x)[N]) const {
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) {
      const Vec sum = load(sums + k * kOcTile);
      if constexpr (P1::kUnscale) {
        x[k] = fma(P1::to_float(sum), unscale, bias);
      } else {
        x[k] = add(sum, bias);
      }
    }
    activate<A, P2>(x);
#pragma GCC unroll 8
    for (int k = 0; k < N; ++k) x[k] = fma(scale, x[k], shift);
  }

  // `pixels` pixels, the first of which is pixel `x` of its row.
  void store_all(const PointwiseParams& p, const float* sums, const int32_t* offset, int pixels,
                 int x, float* dst) const {
    if constexpr (P2::kPerWord == 1) {
      side_by_side<kSideBySide<P2>>(
          pixels, [&](ptrdiff_t i, auto count) __attribute__((always_inline)) {
            Vec v[count.value];
            finish(sums + i * kOcTile, v);
            for (int k = 0; k < count.value; ++k) store(dst + offset[i + k], v[k]);
          });
    } else {
      store_groups(p, sums, offset, pixels, x, dst);
    }
  }

  void store_groups(const PointwiseParams& p, const float* sums, const int32_t* offset, int pixels,
                    int x, float* dst) const {
    constexpr int kGroup = P2::kPerWord, kDiffused = P2::kDiffusedPixels;
    constexpr int kGroupsAtOnce = kSideBySide<P2> / kGroup;
    static_assert(kDiffused == 0 || (kDiffused % kGroup == 0 && kMostSumPixels % kDiffused == 0 &&
                                     kGroupsAtOnce * kGroup % kDiffused == 0),
                  "a call, and what it stores at once, begins with the first that share errors");
    Vec left_over = set1(0.0f);
    for (int i = 0, n; i < pixels; i += n) {
      const int left = p.row_pixels - x < pixels - i ? p.row_pixels - x : pixels - i;
      const float* const from = sums + i * kOcTile;
      if constexpr (kDiffused != 0) left_over = x % kDiffused == 0 ? set1(0.0f) : left_over;
      if (left >= kGroupsAtOnce * kGroup) {
        n = store_whole<kGroupsAtOnce>(from, offset + i, dst, left_over);
      } else if (left >= kGroup) {
        n = store_whole<1>(from, offset + i, dst, left_over);
      } else {
        n = left;
        Vec v[kGroup];
        for (int k = 0; k < n; ++k) {
          Vec one[1];
          finish(from + k * kOcTile, one);
          diffuse(one, left_over);
          v[k] = one[0];
        }
        for (int k = n; k < kGroup; ++k) v[k] = P2::border_value(border);
        P2::store_plane(dst + offset[i], v);
      }
      x += n;
      if (x < p.row_pixels) continue;
      x = 0;
      if constexpr (P2::kBorder) fill_gap(p, dst + offset[i + n - 1] + kLanes);
    }
  }

  // So many whole groups, each with its place; returns the pixels.
  template <int kGroups>
  int store_whole(const float* sums, const int32_t* offset, float* dst, Vec& left_over) const {
    constexpr int kGroup = P2::kPerWord, kPixels = kGroups * kGroup;
    Vec v[kPixels];
    finish(sums, v);
    diffuse(v, left_over);
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) P2::store_plane(dst + offset[g * kGroup], v + g * kGroup);
    return kPixels;
  }

  // Pixels that share errors follow each other. Where N are more than those, v[0] is the first of
  // its own, and the chains run side by side.
  template <int N>
  static void diffuse(Vec (&v)[N], Vec& left_over) {
    if constexpr (P2::kDiffusedPixels != 0) {
      constexpr int kChains = N > P2::kDiffusedPixels ? N / P2::kDiffusedPixels : 1;
      constexpr int kChain = N / kChains;
      Vec left[kChains];
      left[0] = left_over;
#pragma GCC unroll 8
      for (int c = 1; c < kChains; ++c) left[c] = set1(0.0f);
#pragma GCC unroll 8
      for (int k = 0; k < kChain; ++k) {
#pragma GCC unroll 8
        for (int c = 0; c < kChains; ++c) {
          Vec& pixel = v[c * kChain + k];
          pixel = P2::diffuse(pixel, left[c]);
        }
      }
      left_over = left[kChains - 1];
    }
  }

  void fill_gap(const PointwiseParams& p, float* at) const {
    for (int g = 0; g < p.gap; ++g) store(at + g * kLanes, border);
  }
};

// From the sums of one block of output channels, of `pixels` pixels from the `first` on.
template <class P1, class P2, KernelActivation A>
void store_results(const PointwiseParams& p, ptrdiff_t block, const float* sums, int first,
                   int pixels) {
  const PointwiseEpilogue<P1, P2, A> epilogue(p, block * kLanes);
  float* const dst = p.dst + block * p.dst_block_stride;
  if (P2::kBorder && first == 0 && p.gap_before) {
    epilogue.fill_gap(p, dst + p.dst_offset[0] - p.gap * kLanes);
  }
  epilogue.store_all(p, sums, p.dst_offset + first, pixels,
                     P2::kPerWord > 1 ? first % p.row_pixels : 0, dst);
}

// Set up while products are computed.
template <class P, bool = P::kMatrixTiles>
struct RegistersOf {
  RegistersOf() {}
};
template <class P>
struct RegistersOf<P, true> : P::Registers {};

template <class P1, class P2, KernelActivation A>
void pointwise(const PointwiseParams* params) {
  const PointwiseParams& p = *params;
  constexpr int kBlockWords = P1::kPieces > 1 ? kLanes : kPixelWords<P1>;  // weights to be cut
  const int rows = (p.ic + kLanes - 1) / kLanes * kBlockWords;
  const auto weights_of = [&](int tile) {
    return p.weights + static_cast<ptrdiff_t>(tile) * rows * kOcTile;
  };
  Sums sums;
  // Whole rows where pixels share a word, or parts of a row that begin with a word.
  const bool long_rows = P2::kPerWord > 1 && p.row_pixels > kMostSumPixels;
  const int most = P2::kPerWord > 1 && !long_rows ? kMostSumPixels / p.row_pixels * p.row_pixels
                                                  : kMostSumPixels;
  [[maybe_unused]] const RegistersOf<P1> registers;
  for (int t = p.tile_begin; t < p.tile_end; ++t) {
    const float* const next = weights_of(t + 1 < p.tile_end ? t + 1 : p.tile_begin);
    for (int first = 0, pixels; first < p.pixels; first += pixels) {
      const int end = long_rows ? (first / p.row_pixels + 1) * p.row_pixels : p.pixels;
      pixels = most < end - first ? most : end - first;
      const float* const panel = p.panel + first * kPanelPixel<P1>;
      if constexpr (P1::kMatrixTiles) {
        P1::sum(panel, p.panel_block_stride, pixels, p.ic, weights_of(t),
                first == 0 ? next : nullptr, sums.v);
      } else {
        sum_tile<P1>(panel, p.panel_block_stride, pixels, p.ic, weights_of(t), next, true, sums.v);
      }
      for (int v = 0; v < kOcVecs && t * kOcVecs + v < p.oc_blk; ++v) {
        store_results<P1, P2, A>(p, static_cast<ptrdiff_t>(t) * kOcVecs + v, sums.v + v * kLanes,
                                 first, pixels);
      }
    }
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
