// SPDX-License-Identifier: Apache-2.0
// The pointwise product by one or two levels of Strassen's algorithm. With quarters A (weights), X
// (panel) and C (result), first index output or input channels, second input channels or pixels:
// clang-format off
//   M1 = (A11 + A22)(X11 + X22)    C11 = M1 + M3 − M6 + M7
//   M2 = (A21 + A22) X11           C12 = M4 + M6
//   M3 = A22 (X21 − X11)           C21 = M2 + M3
//   M4 = A11 (X12 − X22)           C22 = M1 − M2 + M4 + M5
//   M5 = (A21 − A11)(X11 + X12)
//   M6 = (A11 + A12) X22
//   M7 = (A12 − A22)(X21 + X22)
// clang-format on
// (V. Strassen, "Gaussian elimination is not optimal", Numer. Math. 13, 1969; in an order of our
// own.)
//
// A's combinations are packed once. X's are formed as the depthwise layer makes its blocks, while
// these are in L1 (or L2, with two levels), and written to the panel instead of X. The product then
// takes some tiles of output channels of all quarters at a time: their sums, of 4 quarters or 16
// sixteenths, stay in a buffer that L2 holds, and dst is written once. (Kept in dst, between one
// product and the next, they would be fetched from L2 or L3 and written back three times, and every
// store would wait for its line.) All tiles of such a group are multiplied with an operand of X
// before the next operand is read: a panel that is too large for L2 comes from L3 once a group.
#pragma once

#include "kernels/pointwise.inl.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// What a product multiplies the weights with: a quarter of X, and another one added or subtracted.
struct StrassenOperand {
  int row[2], column[2];
  int sign;  // of the second; 0: there is none
};
constexpr StrassenOperand kStrassenOperands[7] = {
    {{0, 1}, {0, 1}, 1}, {{0, 0}, {0, 0}, 0}, {{1, 0}, {0, 0}, -1}, {{0, 1}, {1, 1}, -1},
    {{0, 0}, {0, 1}, 1}, {{1, 1}, {1, 1}, 0}, {{1, 1}, {0, 1}, 1},
};

// The M-th operand of X, which is 2 · `blocks` channel blocks of 2 · `words` words. Blocks lie
// `src_stride` and `dst_stride` words apart.
template <class P, int M>
void strassen_operand(const float* src, ptrdiff_t src_stride, int blocks, int words, float* dst,
                      ptrdiff_t dst_stride) {
  constexpr StrassenOperand kOperand = kStrassenOperands[M];
  const auto quarter = [&](int i) {
    return src + kOperand.row[i] * blocks * src_stride + kOperand.column[i] * words;
  };
  for (int block = 0; block < blocks; ++block) {
    const float* const a = quarter(0) + block * src_stride;
    const float* const b = quarter(1) + block * src_stride;
    float* const to = dst + block * dst_stride;
    for (int i = 0; i < words; i += kLanes) {
      Vec v = load(a + i);
      if constexpr (kOperand.sign > 0) v = P::add_values(v, load(b + i));
      if constexpr (kOperand.sign < 0) v = P::subtract_values(v, load(b + i));
      store(to + i, v);
    }
  }
}

// f(M) for each of the seven.
template <class F>
void each_operand(F f) {
  f(Count<0>());
  f(Count<1>());
  f(Count<2>());
  f(Count<3>());
  f(Count<4>());
  f(Count<5>());
  f(Count<6>());
}

template <class P>
void strassen_panel(const StrassenPanelParams* params) {
  const StrassenPanelParams& p = *params;
  const auto level = [&](const float* src, ptrdiff_t src_stride, int words, float* dst) {
    each_operand([&](auto m) {
      strassen_operand<P, m.value>(src, src_stride, 1, words, dst + m.value * p.product_stride, 0);
    });
  };
  const int half_words = p.pixels / 2 * kPixelWords<P>;
  if (p.levels == 1) return level(p.src, p.src_stride, half_words, p.panel);
  alignas(64) float half[2 * kMostSumPixels * kLanes];  // two blocks of pixels / 2
  each_operand([&](auto m) {
    strassen_operand<P, m.value>(p.src, p.src_stride, 2, half_words, half, half_words);
    level(half, half_words, half_words / 2, p.panel + 7 * m.value * p.product_stride);
  });
}

// sums + Sign · v, or v where Sign is 0.
template <class P, int Sign>
Vec added(const float* sums, Vec v) {
  if constexpr (Sign == 0) return v;
  if constexpr (Sign > 0) return P::add_sums(load(sums), v);
  if constexpr (Sign < 0) return P::subtract_sums(load(sums), v);
}
template <class P, int Sign>
void add_to(float* a, const float* src, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i += kLanes) store(a + i, added<P, Sign>(a + i, load(src + i)));
}
template <class P, int SignA, int SignB>
void add_to_both(float* a, float* b, const float* src, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; i += kLanes) {
    const Vec v = load(src + i);
    store(a + i, added<P, SignA>(a + i, v));
    store(b + i, added<P, SignB>(b + i, v));
  }
}

// The products of a group of tiles of output channels. A tile's follow each other in the weights,
// as their operands do in the panel.
struct StrassenProducts {
  const float *panel, *weights;  // the next product's: its operand, its weights of the first tile
  const float *end, *behind;     // where the first tile's weights end; what follows the group's
  ptrdiff_t panel_block_stride, product_stride, tile_words;
  int tiles, pixels, ic;  // pixels and ic of a product
  ptrdiff_t tile_sums() const { return static_cast<ptrdiff_t>(pixels) * kOcTile; }
  ptrdiff_t sums() const { return tiles * tile_sums(); }
};

// c (+)= the next 7^Levels products. c are the quarters C11, C12, C21, C22 one after the other,
// each of the next level, at the end [tile][pixel][kOcTile]. `scratch`: of a quarter, and of the
// levels below.
template <class P, int Levels>
void strassen_sums(StrassenProducts& t, bool first, float* c, float* scratch) {
  if constexpr (Levels == 0) {
    const float* weights = t.weights;
    t.weights += static_cast<ptrdiff_t>(t.ic) / P::kPerWord * kOcTile;
    for (int i = 0; i < t.tiles; ++i, weights += t.tile_words) {
      const float* const next = i + 1 < t.tiles      ? weights + t.tile_words
                                : t.weights == t.end ? t.behind
                                                     : t.weights;
      sum_tile<P>(t.panel, t.panel_block_stride, t.pixels, t.ic, weights, next, first,
                  c + i * t.tile_sums());
    }
    t.panel += t.product_stride;
  } else {
    const ptrdiff_t n = t.sums() << 2 * (Levels - 1);
    float *const c11 = c, *const c12 = c + n, *const c21 = c + 2 * n, *const c22 = c + 3 * n;
    float *const m = scratch, *const below = scratch + n;
    const auto next = [&](bool is_first, float* to) {
      strassen_sums<P, Levels - 1>(t, is_first, to, below);
    };
    if (first) {
      next(true, c11);
      add_to<P, 0>(c22, c11, n);
      next(true, c21);
      add_to<P, -1>(c22, c21, n);
      next(true, m);
      add_to_both<P, 1, 1>(c11, c21, m, n);
      next(true, c12);
      add_to<P, 1>(c22, c12, n);
    } else {
      next(true, m);
      add_to_both<P, 1, 1>(c11, c22, m, n);
      next(true, m);
      add_to_both<P, 1, -1>(c21, c22, m, n);
      next(true, m);
      add_to_both<P, 1, 1>(c11, c21, m, n);
      next(true, m);
      add_to_both<P, 1, 1>(c12, c22, m, n);
    }
    next(false, c22);
    next(true, m);
    add_to_both<P, -1, 1>(c11, c12, m, n);
    next(false, c11);
  }
}

template <class P, KernelActivation A, int Levels>
void strassen_tiles(const StrassenParams& s) {
  using Products = typename P::Strassen;
  const PointwiseParams& p = s.product;
  constexpr int kParts = 1 << Levels;
  const int ic = p.ic / kParts;
  const ptrdiff_t tile_words =
      static_cast<ptrdiff_t>(strassen_products(Levels)) * (ic / P::kPerWord) * kOcTile;
  for (int begin = p.tile_begin, end; begin < p.tile_end; begin = end) {
    end = s.tiles_at_once < p.tile_end - begin ? begin + s.tiles_at_once : p.tile_end;
    const float* const weights = p.weights + begin * tile_words;
    StrassenProducts group{p.panel,
                           weights,
                           weights + tile_words,
                           p.weights + (end < p.tile_end ? end : p.tile_begin) * tile_words,
                           p.panel_block_stride,
                           s.product_stride,
                           tile_words,
                           end - begin,
                           p.pixels / kParts,
                           ic};
    strassen_sums<Products, Levels>(group, true, s.sums, s.sums + kParts * kParts * group.sums());
    for (int i = 0; i < kParts * kParts * group.tiles; ++i) {
      // Bits of `part`, from the lowest: column and row of the quarter, and of the one it is in.
      const int part = i / group.tiles, tile = begin + i % group.tiles;
      const int row = ((part >> 2) & 2) | ((part >> 1) & 1);
      const int column = ((part >> 1) & 2) | (part & 1);
      for (int v = 0; v < kOcVecs; ++v) {
        const ptrdiff_t block = row * (p.oc_blk / kParts) + tile * kOcVecs + v;
        store_results<Products, P, A>(p, block, s.sums + i * group.tile_sums() + v * kLanes,
                                      column * group.pixels, group.pixels);
      }
    }
  }
}

template <class P, KernelActivation A>
void strassen(const StrassenParams* params) {
  return params->levels == 2 ? strassen_tiles<P, A, 2>(*params) : strassen_tiles<P, A, 1>(*params);
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
