// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in bf16 as products of matrix tiles, a channel at a time.
//
// A row of a tile of sums is a cell: 8 pixels of 2 rows, or 16 pixels of one for kernels of more
// than 9×9. The inputs of a cell lie in windows, one below the other, of twice its width: a row of
// the tile that is multiplied with the taps, which are shifted once for each of the 16 sums. With
// 9×9 taps there are 5 windows: 81 of 160 products are of use. The rows of a tile are cells one
// below the other, whose windows overlap.
//
// Planes hold 16 channels side by side, so pixels are transposed as they are gathered, into
// quarters of windows, 16 bytes of 4 pixels of 2 rows or of 8 of one. Results are in the same order
// of pixels, so that a cell's own inputs, which the residual needs, are two quarters, and are
// transposed on their way to the panel, when two channels share a word already.
#pragma once

#include "kernels/depthwise.inl.h"
#include "kernels/precision_tiles.inl.h"
#include "kernels/tap_layout.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

// kRows: of a cell.
template <class P, int kRows>
struct AmxDepthwise {
  static_assert(P::kPerWord == 2, "pairs of pixels and taps");
  static constexpr int kWidth = 16 / kRows;        // of a cell
  static constexpr int kQuarter = 4;               // words
  static constexpr int kQuarterPairs = 4 / kRows;  // of pixels of a row
  static constexpr int kMostBeside = 2 * kRows;    // cells of a pass, a tile of sums each
  static constexpr int kMostBelow =                // cells of a pass
      tap_pass_rows(kRows == 2 ? 9 : kMostKernelInTiles) / kRows;
  static_assert(kMostBelow <= kTileRows, "a row of a tile is a cell");
  static constexpr int kMostRow = 2 * kMostBeside + 2,
                       kMostWindows = tap_windows(kRows == 2 ? 9 : kMostKernelInTiles);
  static constexpr int kMostQuarters = (kMostBelow + kMostWindows - 1) * kMostRow;
  static_assert(kMostQuarters % 4 == 0, "gathered in fours");
  static constexpr int kTapRow = kTileLine / kRows;  // words
  static constexpr int kPairs = kLanes / 2;          // of channels

  struct Memory {
    alignas(64) float zeros[kLanes];
    alignas(64) float quarters[kLanes][kMostQuarters * kQuarter];
    // A ring, since what was just stored is slow to load as a tile.
    alignas(64) float taps[4][kTileRows * kTileLine];
    // Of a pair of channels that is finished, and the next one's, which is multiplied meanwhile.
    alignas(64) float sums[2][2][kMostBeside][kMostBelow][kTileLine];
    alignas(64) float results[kMostBeside][kMostBelow][kPairs][kTileLine];
  };

  // A tile of taps: of channel c, of the i-th windows of cells.
  struct TapTile {
    int c, i, count;  // of those before
  };

  const DepthwiseParams& p;
  const int k, pad;
  const int left;       // pixels of a window before its cell's first
  const int windows;    // of a cell
  const int first_row;  // of cells: even if they have two rows, whatever the strip, so that
                        // a pixel's sum has the same order in every one
  const int below;      // cells of a pass
  int row = 0;          // quarters from the windows of one row of cells to the next's
  TapTile laid_out, multiplied;  // next
  Memory memory;

  explicit AmxDepthwise(const DepthwiseParams& params)
      : p(params),
        k(p.kernel_size),
        pad((k - 1) / 2),
        left(tap_window_left(k)),
        windows(tap_windows(k)),
        first_row(p.y_begin / kRows * kRows),
        below(least(kMostBelow, ceil_div(p.y_end - first_row, kRows))) {
    store(memory.zeros, set1(0.0f));
  }
  static int least(int a, int b) { return a < b ? a : b; }
  static int ceil_div(int a, int b) { return (a + b - 1) / b; }

  // The quarters of `count` windows, one below the other, for the cells from (y, x) on, of 16
  // channels. Beside the row and its gap the last group stands again, whose taps are zero.
  void gather(int y, int x, int count, Prefetch& next) {
    const int low = -tap_groups_before(k, P::kPerWord);
    const int high = ceil_div(p.w, P::kPerWord) - 1 + tap_groups_behind(k, P::kPerWord);
    ptrdiff_t offsets[kQuarterPairs * kMostRow];  // of groups in a row
    for (int g = 0; g < kQuarterPairs * row; ++g) {
      const int group = (x - left) / P::kPerWord + g;
      offsets[g] = ptrdiff_t{group < low ? low : group > high ? high : group} * kLanes;
    }
    int src_y = y - pad, q = 0;
    for (int n = 0; n < count * row; n += 4) {
      next.step();
      Vec v[kTileLine];
#pragma GCC unroll 4
      for (int i = 0; i < 4; ++i) {
#pragma GCC unroll 2
        for (int r = 0; r < kRows; ++r) {
          const bool inside = src_y + r >= 0 && src_y + r < p.h;
          const float* const src =
              inside ? p.src + (src_y + r) * static_cast<ptrdiff_t>(p.row_stride) : memory.zeros;
#pragma GCC unroll 4
          for (int g = 0; g < kQuarterPairs; ++g) {
            v[4 * i + kQuarterPairs * r + g] =
                load(src + (inside ? offsets[kQuarterPairs * q + g] : 0));
          }
        }
        if (++q < row) continue;
        q = 0;
        src_y += kRows;
      }
      transpose(v);
      float* const to = memory.quarters[0] + n * kQuarter;
#pragma GCC unroll 16
      for (int c = 0; c < kLanes; ++c) store(to + c * kMostQuarters * kQuarter, v[c]);
    }
  }

  void advance(TapTile& t) const {
    ++t.count;
    if (++t.i < windows) return;
    t.i = 0;
    ++t.c;
  }

  // Row (quarter, r, pair) of the tile has the taps of a pair of a window's pixels, once for each
  // sum of a cell: where it has two rows, for the first of them those of row 2i + r, and for the
  // second those of row 2i + r − 1, which follows it in the weights.
  void lay_out_taps() {
    const TapTile& t = laid_out;
    const float* const last =
        p.weights + (t.c * tap_rows(k) + kRows * (windows - t.i) - 1) * kTapRow;
    float* const to = memory.taps[t.count % 4];
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
      const Vec taps = load_taps(last - r * kTapRow);
#pragma GCC unroll 16
      for (int i = 0; i < kWidth; ++i) {
        const int at = i / kQuarterPairs * kQuarter + r * kQuarterPairs + i % kQuarterPairs;
        store(to + at * kTileLine, shifted_taps<kRows>(taps, 2 * i));
      }
    }
    advance(laid_out);
  }

  template <int kCell>
  void multiply_cell(const float* windows_of_first) {
    constexpr int kA = 4 + kCell % 2;
    load_tile<kA>(windows_of_first + kCell * 2 * kQuarter,
                  row * ptrdiff_t{kQuarter * sizeof(float)});
    dot_tiles<kBf16, kCell, kA, 6>();
  }

  // By the next tile of taps; behind a channel's last its sums are stored.
  template <int kCells>
  void multiply() {
    const TapTile t = multiplied;
    if (t.i == 0) clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
    load_tile<6>(memory.taps[t.count % 4], kTileBytes);
    if (laid_out.c < kLanes) lay_out_taps();
    const float* const first = memory.quarters[t.c] + t.i * row * kQuarter;
    multiply_cell<0>(first);
    if constexpr (kCells > 1) multiply_cell<1>(first);
    if constexpr (kCells > 2) multiply_cell<2>(first);
    if constexpr (kCells > 3) multiply_cell<3>(first);
    advance(multiplied);
    if (multiplied.c == t.c) return;
    const auto sums = memory.sums[t.c / 2 % 2][t.c % 2];
    store_tile<0>(sums[0][0], kTileBytes);
    if constexpr (kCells > 1) store_tile<1>(sums[1][0], kTileBytes);
    if constexpr (kCells > 2) store_tile<2>(sums[2][0], kTileBytes);
    if constexpr (kCells > 3) store_tile<3>(sums[3][0], kTileBytes);
  }

  // A cell's own inputs; with two rows its first one may be the second of a window.
  Vec own_inputs(int c, int s, int m) const {
    const float* const at =
        memory.quarters[c] +
        ((m + pad / kRows) * row + s * 2 + left / (2 * kQuarterPairs)) * kQuarter;
    return pad % kRows == 0 ? unpack_cell(at) : unpack_cell(at, at + row * kQuarter);
  }

  // The results of channels c and c + 1 in the m-th cells from above.
  template <KernelActivation A, int kCells>
  void finish(int c, int m) {
    const Vec bias[2] = {broadcast(p.bias + c), broadcast(p.bias + c + 1)},
              scale[2] = {broadcast(p.scale + c), broadcast(p.scale + c + 1)},
              src_scale[2] = {broadcast(p.src_scale + c), broadcast(p.src_scale + c + 1)};
    Vec u[2 * kCells];
#pragma GCC unroll 8
    for (int i = 0; i < 2 * kCells; ++i) {
      u[i] = add(load(memory.sums[c / 2 % 2][i % 2][i / 2][m]), bias[i % 2]);
    }
    activate<A, P>(u);
#pragma GCC unroll 8
    for (int i = 0; i < 2 * kCells; ++i) {
      u[i] = fma(scale[i % 2], u[i], mul(src_scale[i % 2], own_inputs(c + i % 2, i / 2, m)));
    }
#pragma GCC unroll 4
    for (int s = 0; s < kCells; ++s) P::store_plane(memory.results[s][m][c / 2], u + 2 * s);
  }

  // Two cells from (y, x) on, one below the other, of all channels to the panel; kWhole: all of
  // their pixels, else those in rows p.y_begin … end − 1.
  template <bool kWhole>
  void store_cells(int s, int m, int y, int x, int end) {
    Vec v[kTileLine];
#pragma GCC unroll 16
    for (int i = 0; i < kTileLine; ++i) v[i] = load(memory.results[s][m + i / kPairs][i % kPairs]);
    transpose(v);
    const ptrdiff_t row_words = ptrdiff_t{p.w} * kPanelPixel<P>;
    float* const first = p.dst + (y - p.y_begin) * row_words + x * kPanelPixel<P>;
    constexpr int kPixels = 2 * kQuarterPairs;  // of a quarter's row
#pragma GCC unroll 16
    for (int i = 0; i < kTileLine; ++i) {
      const int r = i / kPixels % kRows, behind = i / (kPixels * kRows) * kPixels + i % kPixels;
      if (!kWhole && x + behind >= p.w) continue;
      float* const dst = first + r * row_words + behind * kPanelPixel<P>;
      if (kWhole || (y + r >= p.y_begin && y + r < end)) store_half<0>(dst, v[i]);
      if (kWhole || y + r + kRows < end) store_half<1>(dst + kRows * row_words, v[i]);
    }
  }

  // The cells of rows y … end − 1 from pixel x on.
  template <KernelActivation A, int kCells>
  void pass(int y, int end, int x) {
    const int count = ceil_div(end - y, kRows);
    laid_out = multiplied = {};
    lay_out_taps();
    lay_out_taps();
    while (multiplied.c < 2) multiply<kCells>();
    for (int c = 0; c < kLanes; c += 2) {
      const int done = multiplied.count, more = c + 2 < kLanes ? 2 * windows : 0;
      for (int m = 0; m < count; ++m) {
        while (multiplied.count < done + (m + 1) * more / count) multiply<kCells>();
        finish<A, kCells>(c, m);
      }
    }
    for (int s = 0; s < kCells; ++s) {
      for (int m = 0; m < count; m += 2) {
        const int cell_y = y + kRows * m, cell_x = x + kWidth * s;
        if (cell_y >= p.y_begin && cell_y + 2 * kRows <= end && cell_x + kWidth <= p.w) {
          store_cells<true>(s, m, cell_y, cell_x, end);
        } else {
          store_cells<false>(s, m, cell_y, cell_x, end);
        }
      }
    }
  }

  template <KernelActivation A>
  void run() {
    const int cells = ceil_div(p.w, kWidth);
    // Quarters of all passes, but for those that the last ones have less.
    const int passes = ceil_div(p.y_end - first_row, kRows * below);
    const int quarters =
        passes * (below + windows - 1) * 2 * (cells + ceil_div(cells, kMostBeside));
    Prefetch next(p.next_lines > 0 ? p.next : p.src, p.next_lines, ceil_div(quarters, 4));
    P::configure(kTileLine, below);
    for (int y = first_row; y < p.y_end; y += kRows * below) {
      const int end = least(y + kRows * below, p.y_end);
      for (int first = 0; first < cells; first += kMostBeside) {
        const int x = kWidth * first, now = least(kMostBeside, cells - first);
        row = 2 * now + 2;
        gather(y, x, ceil_div(end - y, kRows) + windows - 1, next);
        if (now == 1) pass<A, 1>(y, end, x);
        if (now == 2) pass<A, 2>(y, end, x);
        if constexpr (kMostBeside > 2) {
          if (now == 3) pass<A, 3>(y, end, x);
          if (now == 4) pass<A, 4>(y, end, x);
        }
      }
    }
    release_tiles();
  }
};

// The same as depthwise(), with weights of their own layout up to kMostKernelInTiles: see
// DepthwiseParams.
template <class P, KernelActivation A>
void depthwise_in_tiles(const DepthwiseParams* params) {
  const int k = params->kernel_size;
  if (k > kMostKernelInTiles) return depthwise<P, A>(params);
  if (tap_cell_rows(k) == 2) return AmxDepthwise<P, 2>(*params).template run<A>();
  AmxDepthwise<P, 1>(*params).template run<A>();
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
