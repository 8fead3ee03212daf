// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution + activation + scale + residual, one channel block.
//
// N neighbouring groups of a row stay in registers, a sum for each pixel; each tap loads its
// weights once and takes the N inputs as memory operands: in fp32 N multiply-adds for N + 1 loads,
// which the two load ports of current cores deliver at the rate of the two multiply-add ports.
// Where the variant takes kTapsAtOnce of them, t, each input is loaded once for t multiply-adds.
// Where a word holds n values, each input serves the sums of the n pixels in its group, and ⌈k / n⌉
// products or one more do the work of k. Any kernel size, and no branch at borders: the planes
// carry a gap beside each row, and taps above and below the image are left out.
#pragma once

#include "kernels/pointwise.inl.h"
#include "kernels/prefetch.inl.h"
#include "kernels/tap_layout.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// On Intel's cores that have matrix tiles loads are the limit; on AMD's more than one tap gained
// nothing (docs/performance.md).
#ifdef CONVMIXER_TILES
constexpr int kTapsAtOnce = 3;
#else
constexpr int kTapsAtOnce = 1;
#endif

// sum[x] += Σ of kTaps taps side by side, for N pixels of a float each.
template <class P, int kTaps, int N>
__attribute__((always_inline)) inline void add_taps(const float* row, const float* weights,
                                                    Vec (&sum)[N][1]) {
  Vec w[kTaps];
#pragma GCC unroll 4
  for (int t = 0; t < kTaps; ++t) w[t] = load(weights + t * kLanes);
#pragma GCC unroll 40
  for (int i = 0; i < N + kTaps - 1; ++i) {
    const Vec v = load(row + i * kLanes);
#pragma GCC unroll 4
    for (int t = 0; t < kTaps; ++t) {  // of pixel i − t
      if (i >= t && i - t < N) sum[i - t][0] = P::dot(v, w[t], sum[i - t][0]);
    }
  }
}

// sums[pixel][lanes] = start + Σ over ky_count rows of taps, for N groups of pixels.
template <class P, int N>
void depthwise_tile(const float* src, int row_stride, const float* weights, int ky_count,
                    int window, Vec start, float* sums, Prefetch& next) {
  constexpr int kGroup = P::kPerWord;
  Vec sum[N][kGroup];
#pragma GCC unroll 32
  for (int x = 0; x < N; ++x) {
#pragma GCC unroll 4
    for (int i = 0; i < kGroup; ++i) sum[x][i] = start;
  }
  for (int ky = 0; ky < ky_count; ++ky, src += row_stride) {
    next.step();
    int g = 0;
    if constexpr (kGroup == 1 && kTapsAtOnce > 1) {
      for (; g + kTapsAtOnce <= window; g += kTapsAtOnce, weights += kTapsAtOnce * kLanes) {
        add_taps<P, kTapsAtOnce>(src + g * kLanes, weights, sum);
      }
    }
    for (; g < window; ++g, weights += kGroup * kLanes) {
      Vec w[kGroup];
#pragma GCC unroll 4
      for (int i = 0; i < kGroup; ++i) w[i] = load(weights + i * kLanes);
      const float* const row = src + g * kLanes;
#pragma GCC unroll 32
      for (int x = 0; x < N; ++x) {
        const Vec v = load(row + x * kLanes);
#pragma GCC unroll 4
        for (int i = 0; i < kGroup; ++i) sum[x][i] = P::dot(v, w[i], sum[x][i]);
      }
    }
  }
#pragma GCC unroll 32
  for (int x = 0; x < N; ++x) {
#pragma GCC unroll 4
    for (int i = 0; i < kGroup; ++i) store(sums + (x * kGroup + i) * kLanes, sum[x][i]);
  }
}

using DepthwiseTile = void (*)(const float*, int, const float*, int, int, Vec, float*, Prefetch&);

template <class P, int N, int... Rest>
struct DepthwiseTiles : DepthwiseTiles<P, N - 1, N, Rest...> {};
template <class P, int... N>
struct DepthwiseTiles<P, 0, N...> {
  static constexpr DepthwiseTile kBySize[] = {nullptr, depthwise_tile<P, N>...};
};

// What the sum of these rows of taps begins with: the bias, or minus what src's zero point adds.
template <class P>
Vec start_of(const DepthwiseParams& p, int ky_begin, int ky_end) {
  if constexpr (P::kUnscale) {
    Vec sum = set1(0.0f);
    for (int ky = ky_begin; ky < ky_end; ++ky) {
      sum = P::subtract_sums(sum, load(p.row_zero + ky * kLanes));
    }
    return sum;
  } else {
    return load(p.bias);
  }
}

// Words from pixel to pixel of dst, a panel of the products.
template <class P>
constexpr int kDstPixel = kPanelPixel<typename P::Products>;

// What follows the sums of a channel block.
template <class P, KernelActivation A>
struct DepthwiseEpilogue {
  Vec bias, src_scale, scale, shift, unscale;

  explicit DepthwiseEpilogue(const DepthwiseParams& p)
      : bias(load(p.bias)),
        src_scale(load(p.src_scale)),
        scale(load(p.scale)),
        shift(P::kUnscale ? load(p.shift) : bias),
        unscale(P::kUnscale ? load(p.unscale) : bias) {}

  // Of kGroups groups.
  template <int kGroups>
  void store_groups(const float* sums, const float* src, float* dst) const {
    constexpr int kGroup = P::kPerWord, kVecs = kGroups * kGroup;
    Vec u[kVecs];
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) {
      u[i] = load(sums + i * kLanes);
      if constexpr (P::kUnscale) u[i] = fma(P::to_float(u[i]), unscale, bias);
    }
    activate<A, P>(u);
#pragma GCC unroll 8
    for (int i = 0; i < kVecs; ++i) {
      const Vec residual = P::unpack(load(src + i / kGroup * kLanes), i % kGroup);
      u[i] = fma(scale, u[i],
                 P::kUnscale ? fma(src_scale, residual, shift) : mul(src_scale, residual));
    }
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) {
      P::Products::store_panel(dst + g * kGroup * kDstPixel<P>, u + g * kGroup);
    }
  }

  // Of a tile: `src` are its groups, dst the panel's pixels.
  void store_all(const float* sums, const float* src, int groups, float* dst) const {
    constexpr int kGroup = P::kPerWord;
    // Of 4 or 8 vectors: 0.98 to 1.02 of the rate (docs/performance.md).
    constexpr int kGroupsAtOnce = kGroup == 1 ? 2 : 1;
    side_by_side<kGroupsAtOnce>(
        groups, [&](ptrdiff_t g, auto count) __attribute__((always_inline)) {
          store_groups<count.value>(sums + g * kGroup * kLanes, src + g * kLanes,
                                    dst + g * kGroup * kDstPixel<P>);
        });
  }
};

template <class P, KernelActivation A>
void depthwise(const DepthwiseParams* params) {
  const DepthwiseParams& p = *params;
  constexpr int kGroup = P::kPerWord, kTile = kRowTile / kGroup;
  const int k = p.kernel_size, pad = (k - 1) / 2;
  const int before = tap_groups_before(k, kGroup), window = tap_groups(k, kGroup);
  const int groups = (p.w + kGroup - 1) / kGroup;
  const int tiles = (groups + kTile - 1) / kTile;
  const int size = groups / tiles, larger = groups % tiles;
  const DepthwiseEpilogue<P, A> epilogue(p);
  // A step fetches at least one line, and `next` may be null where there is none.
  Prefetch next(p.next_lines > 0 ? p.next : p.src, p.next_lines, (p.y_end - p.y_begin) * tiles * k);
  alignas(64) float sums[kTile * kGroup * kLanes];
  float* dst = p.dst;
  for (int y = p.y_begin; y < p.y_end; ++y, dst += p.w * kDstPixel<P>) {
    const int ky_begin = y < pad ? pad - y : 0;
    const int ky_end = p.h - y + pad < k ? p.h - y + pad : k;
    const float* const weights = p.weights + ky_begin * window * kGroup * kLanes;
    const float* const src = p.src + y * static_cast<ptrdiff_t>(p.row_stride);
    const float* const first =
        src + (ky_begin - pad) * static_cast<ptrdiff_t>(p.row_stride) - before * kLanes;
    const Vec start = start_of<P>(p, ky_begin, ky_end);
    for (int i = 0, x = 0; i < tiles; ++i) {
      const int n = size + (i < larger ? 1 : 0);
      DepthwiseTiles<P, kTile>::kBySize[n](first + x * kLanes, p.row_stride, weights,
                                           ky_end - ky_begin, window, start, sums, next);
      epilogue.store_all(sums, src + x * kLanes, n, dst + x * kGroup * kDstPixel<P>);
      x += n;
    }
  }
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
