// SPDX-License-Identifier: Apache-2.0
// fp32 whose pointwise products are those of tiles of bf16, with the accuracy of floats: a float is
// exactly the sum of three bf16, one near to it, one to what that leaves over, and what is left
// then. Of the nine products of two floats' pieces the six largest are summed; the three others are
// together at most 2^−22 of the floats' product, and 2^−26 in the mean, of either sign. (G. Henry,
// P. T. P. Tang and A. Heinecke, "Leveraging the bfloat16 Artificial Intelligence Datatype For
// Higher-Precision Computations", ARITH 2019.) Pieces smaller than 2^−126 count as zero; an
// infinity, and in the panel what bf16 rounds to one, becomes NaN (∞ − ∞).
//
// The panel's values are cut once, to the nearest, as the depthwise layer makes them. The weights
// stay floats in memory, which they come from for every image, and are cut for each
// kMostSumPixels pixels, by cutting off, while the tiles multiply what was cut before.
//
// Of the vector functions it needs upper_halves, nearest_bf16 and store_upper_halves besides those
// of bf16.
#pragma once

#include "kernels/precision_bf16.inl.h"
#include "kernels/precision_tiles.inl.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// The panel, two bf16 a word.
struct Bf16x3Panel : Bf16 {
  static constexpr int kPieces = 3;
  // kLanes channels of a pixel; pieces are `stride` words apart.
  static void store_pieces(float* dst, ptrdiff_t stride, Vec v) {
#pragma GCC unroll 2
    for (int i = 1; i < kPieces; ++i, dst += stride) {
      const Vec piece = nearest_bf16(v);
      store_upper_halves(dst, piece);
      v = sub(v, piece);
    }
    store_upper_halves(dst, v);  // no more than 8 bits are left
  }
};

// Rows of weights to be cut: [channel][kOcTile] to [row of the panel][piece][word][kOcTile].
struct Cutter {
  static constexpr int kPieces = Bf16x3Panel::kPieces;
  // What is read so many bytes later is fetched into L2: four rows of the panel.
  static constexpr uintptr_t kAhead = 4 * kTileLine * 2 * kOcTile * sizeof(float);
  const float* src;
  float* dst;
  int words;     // of a row of the panel
  int left;      // words to be cut
  int a_step;    // of them, while others are multiplied
  int word = 0;  // of the row

  void cut() {
    const ptrdiff_t piece = ptrdiff_t{words} * kOcTile;
#pragma GCC unroll 2
    for (int o = 0; o < kOcTile; o += kLanes) {
      Vec first = load(src + o), second = load(src + kOcTile + o);
      const auto ahead = reinterpret_cast<uintptr_t>(src + o) + kAhead;
      prefetch(reinterpret_cast<const void*>(ahead));
      prefetch(reinterpret_cast<const void*>(ahead + kSumBytes));
#pragma GCC unroll 3
      for (int p = 0; p < kPieces; ++p) {
        const Vec both = upper_halves(first, second);
        store(dst + p * piece + o, both);
        first = sub(first, unpack_bf16(both, 0));
        second = sub(second, unpack_bf16(both, 1));
      }
    }
    src += 2 * kOcTile;
    dst += kOcTile;
    --left;
    if (++word < words) return;
    word = 0;
    dst += (kPieces - 1) * piece;
  }
  void step() {
    for (int i = 0; i < a_step && left > 0; ++i) cut();
  }
};

struct Bf16x3Products : Tiles<Bf16x3Panel> {
  template <typename T>
  static void store_patch(uint16_t* dst, Vec v, float) {
    store_pieces(reinterpret_cast<float*>(dst), kTileLine, v);
  }

  // As sum_tile, of all input channels; see Tiles::sum.
  static void sum(const float* panel, ptrdiff_t panel_block_stride, int pixels, int ic,
                  const float* weights, const float*, float* sums) {
    alignas(64) float pieces[2][kSumSteps * kPieces * kTileLine * kOcTile];
    const Parts parts(ic);
    const auto cutter = [&](int i, int steps) -> Cutter {
      const Part part = parts[i];
      const int all = part.rows * part.words;
      return {weights + ptrdiff_t{part.first} * kTileLine * kPerWord * kOcTile, pieces[i % 2],
              part.words, all, (all + steps - 1) / steps};
    };
    cutter(0, 1).step();
    for (int i = 0; i < parts.count(); ++i) {
      const Part part = parts[i];
      Cutter next =
          i + 1 < parts.count() ? cutter(i + 1, calls_of_next(pixels) * part.rows) : Cutter{};
      if (part.words != kTileLine) configure(part.words);
      products(panel + part.first * panel_block_stride, panel_block_stride, pixels, pieces[i % 2],
               part.words, part.rows, i == 0, sums, next);
    }
    if (parts.rest > 0) configure(kTileLine);
  }
};

// The planes.
struct Bf16x3Planes : Fp32 {
  static constexpr bool kStrassen = false;
  using Products = Bf16x3Products;
  using Patches = Bf16x3Products;
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
