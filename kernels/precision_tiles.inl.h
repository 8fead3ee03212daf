// SPDX-License-Identifier: Apache-2.0
// Operands whose pointwise products are those of matrix tiles, 16 × 16 sums of up to 16 words: see
// precision_fp32.inl.h. A pixel's values of kPanelBlocks channel blocks, 64 bytes, stand side by
// side in the panel, a row of a tile, and behind them, where a value is the sum of several, the
// rows of its other pieces. Of the vector functions it needs besides configure_tiles,
// release_tiles, clear_tile, load_tile, load_tile_once, store_tile and dot_tiles.
//
// Registers: 0 to 3 hold sums, of two tiles of pixels times two of output channels; 4 and 5 pixels;
// 6 and 7 weights.
#pragma once

#include "kernels/prefetch.inl.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

constexpr int kTileRows = 16;
constexpr int kTileLine = 16;  // words a row of a tile
constexpr ptrdiff_t kTileBytes = kTileLine * sizeof(float);
constexpr ptrdiff_t kSumBytes = kOcTile * sizeof(float);  // of sums and weights, from row to row

template <class Vectors>
struct Tiles;

// The patch embedding's operands are as the blocks', or of 16 bits, for which there are no tiles.
template <class Vectors, class Patches = typename Vectors::Patches>
struct PatchesOf {
  using Type = Patches;
};
template <class Vectors>
struct PatchesOf<Vectors, Vectors> {
  using Type = Tiles<Vectors>;
};

// `Vectors` is the same precision without tiles.
template <class Vectors>
struct Tiles : Vectors {
  static constexpr bool kMatrixTiles = true;
  static constexpr int kPanelBlocks = Vectors::kPerWord, kPieces = Vectors::kPieces;
  // Rows of the panel that are summed for all pixels (of Sums) before the next: their weights for
  // a tile of output channels, 24 KB or 12, stay in L1 beside the sums.
  static constexpr int kSumSteps = kPieces == 1 ? 12 : 2;
  static constexpr ptrdiff_t kPixelBytes = kTileBytes * kPieces;
  using Products = Tiles;
  // How often `product` calls it for a row of the panel of so many pixels.
  static int calls_of_next(int pixels) {
    return (pixels + 2 * kTileRows - 1) / (2 * kTileRows) * (kPieces == 3 ? 4 : 1);
  }
  static_assert(kLanes == kTileLine, "a vector is a row of a tile");
  static_assert(kPieces == 1 || kPieces == 3, "the products of pieces are written out");
  using Patches = typename PatchesOf<Vectors>::Type;

  static void store_panel(float* dst, const Vec* v) {
    if constexpr (kPieces > 1) {
      Vectors::store_pieces(dst, kTileLine, v[0]);
    } else {
      alignas(64) float pixels[kLanes];
      Vectors::store_panel(pixels, v);
      constexpr int kWords = kLanes / Vectors::kPerWord;
      for (int i = 0; i < Vectors::kPerWord; ++i) {
        __builtin_memcpy(dst + i * kLanes, pixels + i * kWords, kWords * sizeof(float));
      }
    }
  }

  // The registers, for products of `rows` rows that have `words` words.
  static void configure(int words, int rows = kTileRows) {
    TileConfig config;
    for (int i = 0; i < 8; ++i) {
      const bool pixels = i == 4 || i == 5, weights = i == 6 || i == 7;
      config.row_bytes[i] = static_cast<uint16_t>((pixels ? words : kTileLine) * 4);
      config.rows[i] = static_cast<uint8_t>(weights ? words : rows);
    }
    configure_tiles(config);
  }
  struct Registers {
    Registers() { configure(kTileLine); }
    ~Registers() { release_tiles(); }
  };

  // Of one row of the panel: pieces of pixels, of weights, and what the registers hold.
  template <bool kTwo>
  struct Step {
    const float *panel, *weights;
    ptrdiff_t weights_piece;  // from piece to piece

    void pixels(int piece) const {
      load_tile_once<4>(panel + piece * kTileLine, kPixelBytes);
      if constexpr (kTwo) {
        load_tile_once<5>(panel + (kTileRows * kPieces + piece) * kTileLine, kPixelBytes);
      }
    }
    void channels(int piece) const {
      load_tile<6>(weights + piece * weights_piece, kSumBytes);
      load_tile<7>(weights + piece * weights_piece + kLanes, kSumBytes);
    }
    static void dot() {
      dot_tiles<Vectors::kPrecision, 0, 4, 6>();
      dot_tiles<Vectors::kPrecision, 1, 4, 7>();
      if constexpr (kTwo) {
        dot_tiles<Vectors::kPrecision, 2, 5, 6>();
        dot_tiles<Vectors::kPrecision, 3, 5, 7>();
      }
    }
  };

  // One or two tiles of pixels, times two of output channels, over `steps` rows of the panel, of
  // `words` words. next.step() is called between them, for work of the vector units while those of
  // the tiles are busy.
  template <bool kTwo, class Next>
  static void product(const float* panel, ptrdiff_t panel_block_stride, const float* weights,
                      int words, int steps, bool first, float* sums, Next& next) {
    float* const second = sums + kTileRows * kOcTile;
    if (first) {
      clear_tile<0>();
      clear_tile<1>();
      if constexpr (kTwo) clear_tile<2>(), clear_tile<3>();
    } else {
      load_tile<0>(sums, kSumBytes);
      load_tile<1>(sums + kLanes, kSumBytes);
      if constexpr (kTwo) load_tile<2>(second, kSumBytes), load_tile<3>(second + kLanes, kSumBytes);
    }
    Step<kTwo> step{panel, weights, ptrdiff_t{words} * kOcTile};
    for (int i = 0; i < steps; ++i) {
      step.pixels(0), step.channels(kPieces - 1), step.dot();
      if constexpr (kPieces == 3) {  // the six largest products, a new operand at a time
        step.channels(0), step.dot();
        next.step();
        step.channels(1), step.dot();
        next.step();
        step.pixels(1), step.dot();
        next.step();
        step.channels(0), step.dot();
        step.pixels(2), step.dot();
      }
      next.step();
      step.panel += panel_block_stride;
      step.weights += kPieces * kTileLine * kOcTile;
    }
    store_tile<0>(sums, kSumBytes);
    store_tile<1>(sums + kLanes, kSumBytes);
    if constexpr (kTwo) store_tile<2>(second, kSumBytes), store_tile<3>(second + kLanes, kSumBytes);
  }

  template <class Next>
  static void products(const float* panel, ptrdiff_t panel_block_stride, int pixels,
                       const float* weights, int words, int steps, bool first, float* sums,
                       Next& next) {
    int i = 0;
    for (; i + kTileRows < pixels; i += 2 * kTileRows) {
      product<true>(panel + i * kPieces * kTileLine, panel_block_stride, weights, words, steps,
                    first, sums + i * kOcTile, next);
    }
    if (i < pixels) {
      product<false>(panel + i * kPieces * kTileLine, panel_block_stride, weights, words, steps,
                     first, sums + i * kOcTile, next);
    }
  }

  // The rows of the panel, in parts whose products are made one after the other: kSumSteps rows of
  // kTileLine words, then what is left of the last row, since beyond it the panel holds no values.
  struct Part {
    int first, rows, words;
  };
  struct Parts {
    int rows, rest;
    explicit Parts(int ic) {
      const int words = (ic + kLanes - 1) / kLanes * (kLanes / Vectors::kPerWord);
      rows = words / kTileLine;
      rest = words % kTileLine;
    }
    int whole() const { return (rows + kSumSteps - 1) / kSumSteps; }
    int count() const { return whole() + (rest > 0 ? 1 : 0); }
    Part operator[](int i) const {
      if (i == whole()) return {rows, 1, rest};
      const int first = i * kSumSteps;
      return {first, kSumSteps < rows - first ? kSumSteps : rows - first, kTileLine};
    }
  };

  // As sum_tile, of all input channels; sums of up to 15 pixels more are written.
  static void sum(const float* panel, ptrdiff_t panel_block_stride, int pixels, int ic,
                  const float* weights, const float* next, float* sums) {
    const Parts parts(ic);
    const int words = parts.rows * kTileLine + parts.rest;
    const int lines = words * kOcTile * 4 / int{kLineBytes};
    // A step fetches at least one line, and `next` may be null where it was fetched before.
    Prefetch fetch(next != nullptr ? next : weights, next != nullptr ? lines : 0,
                   calls_of_next(pixels) * (parts.rows > 0 ? parts.rows : 1));
    for (int i = 0; i < parts.count(); ++i) {
      const Part part = parts[i];
      if (part.words != kTileLine) configure(part.words);
      products(panel + part.first * panel_block_stride, panel_block_stride, pixels,
               weights + part.first * kTileLine * kOcTile, part.words, part.rows, i == 0, sums,
               fetch);
    }
    if (parts.rest > 0) configure(kTileLine);
  }

  // As fma_peak.
  static double peak(long rounds, float* sink) {
    const Registers registers;
    clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
    clear_tile<4>(), clear_tile<5>(), clear_tile<6>(), clear_tile<7>();
    for (long r = 0; r < rounds; ++r) {
      dot_tiles<Vectors::kPrecision, 0, 4, 6>(), dot_tiles<Vectors::kPrecision, 1, 4, 7>(),
          dot_tiles<Vectors::kPrecision, 2, 5, 6>(), dot_tiles<Vectors::kPrecision, 3, 5, 7>();
    }
    alignas(64) float sums[kTileRows * kTileLine];
    store_tile<0>(sums, kTileBytes);
    *sink = sums[0];
    return 2.0 * kTileRows * kTileLine * kTileLine * Vectors::kPerWord * 4 *
           static_cast<double>(rounds);
  }
};

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
