// SPDX-License-Identifier: Apache-2.0
// Depthwise convolution in bf16 as products of matrix tiles, a row of the kernel and a channel at a
// time: 16 rows of input times the row's taps, shifted once for each of 16 output pixels.
//
// A tile's rows are windows of the input, kernel_size + 15 pixels of one channel, which serve 16
// output pixels of a row: windows (y, x) of R rows and S windows a row, R · S ≤ 16, in row-major
// order, so that those of the next row of taps are S rows further on. Planes hold 16 channels side
// by side, so windows are transposed as they are gathered, and results on their way back.
//
// The taps' tile has row r, column n: (w[2r − n], w[2r + 1 − n]), w beginning at the window's first
// pixel: each row is the one before, shifted by two pairs. So it is read, with a negative stride,
// from one row of pairs, of which all but kernel_size + 1 are zero.
#pragma once

#include "kernels/depthwise.inl.h"
#include "kernels/precision_tiles.inl.h"

namespace convmixer::CONVMIXER_ISA {
namespace {

template <class P>
struct DepthwiseTilesOf {
  static_assert(P::kPerWord == 2, "pairs of pixels and taps");
  static constexpr int kGroups = kTileRows / P::kPerWord;  // of 16 output pixels
  static constexpr int kAtOnce = 4;                        // channels, a tile of sums each
  static constexpr int kMostBeside = 2;                    // windows of a row
  // (R + kernel_size − 1) · S.
  static constexpr int kMostWindows = (16 / kMostBeside + kMostKernelInTiles - 1) * kMostBeside;
  static constexpr int kPairs = 48;      // 46, of the taps' tile
  static constexpr int kFirstPair = 30;  // of row 0

  struct Memory {
    alignas(64) float windows[kLanes][kMostWindows][kTileLine];
    // Two sets, since what was just stored is slow to load in other pieces.
    alignas(64) float taps[2][kAtOnce][kMostKernelInTiles][kPairs];
    alignas(64) float sums[kLanes][kTileRows][kTileLine];
    alignas(64) float pixels[kTileRows * kLanes];
  };

  const DepthwiseParams& p;
  const Window<P> window;
  const int k, pad, words, row_groups;
  Memory memory;

  explicit DepthwiseTilesOf(const DepthwiseParams& params)
      : p(params),
        window(p.kernel_size),
        k(p.kernel_size),
        pad((k - 1) / 2),
        words(kGroups + window.groups - 1),
        row_groups((p.w + P::kPerWord - 1) / P::kPerWord) {
    for (auto& set : memory.taps) {
      for (auto& channel : set) {
        for (int i = 0; i < k * kPairs; i += kLanes) store(channel[0] + i, set1(0.0f));
      }
    }
  }

  // The windows of rows y … y + rows − 1 and of `beside` windows from the first-th on, of 16
  // channels. Behind the row and its gap the last group stands again, whose taps are zero.
  void gather(int y, int rows, int first, int beside, Prefetch& next) {
    for (int i = 0; i < rows + k - 1; ++i) {
      const int src_y = y + i - pad;
      const float* const row = p.src + src_y * static_cast<ptrdiff_t>(p.row_stride);
      for (int s = 0; s < beside; ++s) {
        next.step();
        float* const to = memory.windows[0][i * beside + s];
        Vec v[kTileLine];
        if (src_y < 0 || src_y >= p.h) {
#pragma GCC unroll 16
          for (int c = 0; c < kLanes; ++c) store(to + c * kMostWindows * kTileLine, set1(0.0f));
          continue;
        }
        const int group = (first + s) * kGroups - window.before;
        const float* const src = row + group * kLanes;
        const int last = row_groups + window.groups - 2 - window.before - group;
#pragma GCC unroll 16
        for (int g = 0; g < kTileLine; ++g) v[g] = load(src + (g < last ? g : last) * kLanes);
        transpose(v);
#pragma GCC unroll 16
        for (int c = 0; c < kLanes; ++c) store(to + c * kMostWindows * kTileLine, v[c]);
      }
    }
  }

  // Of channels c … c + kAtOnce − 1.
  void lay_out_taps(int c) {
    const int first = kFirstPair + 1 + pad - P::kPerWord * window.before - k;
    const float* taps = p.weights + c * k * (k + 1);
    for (int i = 0; i < kAtOnce; ++i) {
      for (int ky = 0; ky < k; ++ky, taps += k + 1) {
        copy_words(memory.taps[c / kAtOnce % 2][i][ky] + first, taps, k + 1);
      }
    }
  }

  template <int kChannel>
  void multiply(int c, int ky, int beside) {
    constexpr int kA = 4 + kChannel % 2, kB = 6 + kChannel % 2;
    load_tile<kA>(memory.windows[c + kChannel][ky * beside], kTileBytes);
    load_tile<kB>(memory.taps[c / kAtOnce % 2][kChannel][ky] + kFirstPair,
                  -ptrdiff_t{2 * sizeof(float)});
    dot_tiles<kBf16, kChannel, kA, kB>();
  }

  // The sums of 16 channels for the gathered windows.
  void sum(int beside) {
    lay_out_taps(0);
    for (int c = 0; c < kLanes; c += kAtOnce) {
      if (c + kAtOnce < kLanes) lay_out_taps(c + kAtOnce);
      clear_tile<0>(), clear_tile<1>(), clear_tile<2>(), clear_tile<3>();
      for (int ky = 0; ky < k; ++ky) {
        multiply<0>(c, ky, beside);
        multiply<1>(c, ky, beside);
        multiply<2>(c, ky, beside);
        multiply<3>(c, ky, beside);
      }
      store_tile<0>(memory.sums[c][0], kTileBytes);
      store_tile<1>(memory.sums[c + 1][0], kTileBytes);
      store_tile<2>(memory.sums[c + 2][0], kTileBytes);
      store_tile<3>(memory.sums[c + 3][0], kTileBytes);
    }
  }

  // Row `row` of the tiles of sums: up to 16 pixels from (y, x) on.
  template <KernelActivation A>
  void finish(const DepthwiseEpilogue<P, A>& epilogue, int row, int y, int x) {
    Vec v[kTileLine];
#pragma GCC unroll 16
    for (int c = 0; c < kLanes; ++c) v[c] = load(memory.sums[c][row]);
    transpose(v);
#pragma GCC unroll 16
    for (int i = 0; i < kTileLine; ++i) store(memory.pixels + i * kLanes, add(v[i], epilogue.bias));
    const int pixels = p.w - x < kTileLine ? p.w - x : kTileLine;
    epilogue.store_all(
        memory.pixels, p.src + y * static_cast<ptrdiff_t>(p.row_stride) + x / P::kPerWord * kLanes,
        (pixels + P::kPerWord - 1) / P::kPerWord,
        p.dst + ((y - p.y_begin) * static_cast<ptrdiff_t>(p.w) + x) * kPanelPixel<P>);
  }

  template <KernelActivation A>
  void run() {
    const int of_row = (p.w + kTileLine - 1) / kTileLine;  // windows
    // One window beside the other only where a tile has room for both.
    const int strip = p.y_end - p.y_begin;
    const int beside = of_row > 1 && strip <= kTileRows / kMostBeside ? kMostBeside : 1;
    const int rows = kTileRows / beside < strip ? kTileRows / beside : strip;
    const DepthwiseEpilogue<P, A> epilogue(p);
    const int passes = (strip + rows - 1) / rows * ((of_row + beside - 1) / beside);
    Prefetch next(p.next_lines > 0 ? p.next : p.src, p.next_lines,
                  passes * (rows + k - 1) * beside);
    P::configure(words, rows * beside);
    for (int y = p.y_begin; y < p.y_end; y += rows) {
      const int now = rows < p.y_end - y ? rows : p.y_end - y;
      // From right to left: a row's last group may reach into the next row's first pixel.
      for (int first = (of_row - 1) / beside * beside; first >= 0; first -= beside) {
        gather(y, now, first, beside, next);
        sum(beside);
        for (int i = 0; i < now * beside; ++i) {
          const int x = (first + i % beside) * kTileLine;
          if (x < p.w) finish<A>(epilogue, i, y + i / beside, x);
        }
      }
    }
    release_tiles();
  }
};

// The same as depthwise(), with weights of pairs of taps: see DepthwiseParams.
template <class P, KernelActivation A>
void depthwise_in_tiles(const DepthwiseParams* params) {
  DepthwiseTilesOf<P>(*params).template run<A>();
}

}  // namespace
}  // namespace convmixer::CONVMIXER_ISA
