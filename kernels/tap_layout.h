// SPDX-License-Identifier: Apache-2.0
// How far a row of taps reaches, and how the weights of a depthwise layer lie for matrix tiles and
// for Winograd's products: DepthwiseParams in params.h tells what these numbers mean,
// depthwise_tiles.inl.h and depthwise_winograd.inl.h why. Static, since objects of other
// instruction sets include them.
#pragma once

namespace convmixer {

// Groups of n pixels, n being a word's, that a row of taps reaches before and behind a pixel's own,
// and all of them. Gaps beside the rows of a plane have room for as many.
static constexpr int tap_groups_before(int kernel_size, int n) {
  return ((kernel_size - 1) / 2 + n - 1) / n;
}
static constexpr int tap_groups_behind(int kernel_size, int n) {
  return (kernel_size / 2 + n - 1) / n;
}
static constexpr int tap_groups(int kernel_size, int n) {
  return tap_groups_before(kernel_size, n) + 1 + tap_groups_behind(kernel_size, n);
}

// The largest kernel_size that is multiplied by matrix tiles where KernelTable::taps_in_tiles.
constexpr int kMostKernelInTiles = 17;
// Sums are made for cells of 8 × 2 pixels or, of larger kernels, of 16 × 1.
static constexpr int tap_cell_rows(int kernel_size) { return kernel_size <= 9 ? 2 : 1; }
// Of a panel at a time: a row of a tile is a cell.
static constexpr int tap_pass_rows(int kernel_size) { return 16 * tap_cell_rows(kernel_size); }
// The inputs of a cell are in windows of twice its width, which begin so many pixels before it, a
// multiple of a quarter of a window.
static constexpr int tap_window_left(int kernel_size) {
  const int quarter = 8 / tap_cell_rows(kernel_size);
  return ((kernel_size - 1) / 2 + quarter - 1) / quarter * quarter;
}
// Of a cell, one below the other.
static constexpr int tap_windows(int kernel_size) {
  return tap_cell_rows(kernel_size) == 2 ? (kernel_size + 2) / 2 : kernel_size;
}
// Rows of weights of a channel.
static constexpr int tap_rows(int kernel_size) {
  return tap_cell_rows(kernel_size) == 2 ? 2 * tap_windows(kernel_size) + 1 : kernel_size;
}

// The kernels whose sums are Winograd's products where KernelTable::winograd.
constexpr int kMostWinogradKernel = 9;
static constexpr bool winograd_kernel(int kernel_size) {
  return kernel_size == 7 || kernel_size == kMostWinogradKernel;
}
// The first row of weights of each product; of product 4, which there is not, their number.
static constexpr int winograd_row(int kernel_size, int product) {
  const int threes = kernel_size / 3, rest = kernel_size % 3;
  return product * threes + (product > 2 ? (product - 2) * rest : 0);
}

}  // namespace convmixer
