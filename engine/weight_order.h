// SPDX-License-Identifier: Apache-2.0
// Where each weight of a layer stands among those that the kernels read. Layouts: kernels/params.h.
#pragma once

#include <cstddef>

#include "kernels/kernels.h"
#include "kernels/tap_layout.h"

namespace convmixer {

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

// Whether a depthwise layer's weights are laid out for matrix tiles.
inline bool taps_in_tiles(int kernel_size, const KernelTable& table) {
  return table.taps_in_tiles && kernel_size <= kMostKernelInTiles;
}

// Whether they are those of Winograd's products, sums of taps.
inline bool winograd_taps(int kernel_size, const KernelTable& table) {
  return table.winograd && winograd_kernel(kernel_size);
}

// Words a lane of a depthwise layer's weights: kernels/params.h, DepthwiseParams.
inline int depthwise_words(int kernel_size, const KernelTable& table) {
  if (winograd_taps(kernel_size, table)) return winograd_row(kernel_size, 4) * kernel_size;
  if (taps_in_tiles(kernel_size, table)) {
    return tap_rows(kernel_size) * 16 / tap_cell_rows(kernel_size);
  }
  const int n = table.per_word;
  return kernel_size * tap_groups(kernel_size, n) * n;
}

// Of place_taps, the order of matrix tiles.
template <typename Put>
void place_taps_in_tiles(int channels, int kernel_size, Put put) {
  const int k = kernel_size, cell_rows = tap_cell_rows(k), rows = tap_rows(k);
  const int row_taps = 32 / cell_rows;
  const int first = tap_window_left(k) - (k - 1) / 2 + row_taps / 2 - 1;
  for (int c = 0; c < channels; ++c) {
    const std::size_t before = static_cast<std::size_t>(c) * static_cast<std::size_t>(rows);
    for (int ky = 0; ky < k; ++ky) {
      const std::size_t row = before + static_cast<std::size_t>(rows - cell_rows - ky);
      for (int kx = 0; kx < k; ++kx) {
        put(row * static_cast<std::size_t>(row_taps) + static_cast<std::size_t>(first + kx), c, ky,
            kx);
      }
    }
  }
}

// Calls put(index, c, ky, kx) for each tap of each channel, where `index` is its place among the
// values (not words) of a depthwise layer's packed weights: n times, where a word holds n, but once
// in the order of matrix tiles. Not for Winograd's products.
template <typename Put>
void place_taps(int channels, int kernel_size, const KernelTable& table, Put put) {
  if (taps_in_tiles(kernel_size, table)) {
    return place_taps_in_tiles(channels, kernel_size, put);
  }
  const int k = kernel_size, pad = (k - 1) / 2, n = table.per_word, lanes = table.lanes;
  const int before = tap_groups_before(k, n), groups = tap_groups(k, n);
  const int words = depthwise_words(k, table);
  for (int c = 0; c < channels; ++c) {
    const std::size_t block = static_cast<std::size_t>(c / lanes) * static_cast<std::size_t>(words);
    for (int ky = 0; ky < k; ++ky) {
      for (int kx = 0; kx < k; ++kx) {
        for (int pixel = 0; pixel < n; ++pixel) {
          // From the first pixel of the first group.
          const int at = pixel + kx - pad + before * n;
          const int word = (ky * groups + at / n) * n + pixel;
          const std::size_t index =
              ((block + static_cast<std::size_t>(word)) * static_cast<std::size_t>(lanes) +
               static_cast<std::size_t>(c % lanes)) *
                  static_cast<std::size_t>(n) +
              static_cast<std::size_t>(at % n);
          put(index, c, ky, kx);
        }
      }
    }
  }
}

// Calls put(index, o, i) for each weight of a product whose words hold per_word input channels;
// `index` as above.
template <typename Put>
void place_product(int ic, int oc, int per_word, const KernelTable& table, Put put) {
  const auto tile = static_cast<std::size_t>(table.oc_tile), n = static_cast<std::size_t>(per_word);
  const std::size_t values = static_cast<std::size_t>(ceil_div(ic, table.lanes) * table.lanes);
  for (int first = 0; first < oc; first += table.oc_tile) {
    const std::size_t from = static_cast<std::size_t>(first) * values;
    const int end = oc < first + table.oc_tile ? oc : first + table.oc_tile;
    for (int i = 0; i < ic; ++i) {
      const std::size_t word =
          from + static_cast<std::size_t>(i) / n * tile * n + static_cast<std::size_t>(i) % n;
      for (int o = first; o < end; ++o) put(word + static_cast<std::size_t>(o - first) * n, o, i);
    }
  }
}

}  // namespace convmixer
