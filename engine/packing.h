// SPDX-License-Identifier: Apache-2.0
// Fused nodes → weights as the kernels read them. Layouts: kernels/kernels.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/graph.h"
#include "kernels/kernels.h"
#include "support/buffer.h"

namespace convmixer {

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

KernelActivation kernel_activation(Activation activation);

// What follows the sums of a layer: scale · act(bias + Σ) + shift, + src_scale · src of a residual.
// A value a channel, before they are padded and rounded to float; an empty list stands for 0, 1, 0
// and 1.
struct Epilogue {
  std::vector<double> bias, scale, shift, src_scale;
};
// A fused node's. The affine of kHead is that of the features, and no part of it.
Epilogue epilogue_of(const Node& node);

// [oc tile][ic][kOcTile] weights and [oc tile][kOcTile] vectors of a pointwise product; or those of
// a Strassen product (engine/strassen.h), whose tiles are those of the first 1/2 or 1/4 of the
// output channels.
struct PackedPointwise {
  int strassen = 0;  // levels
  int ic = 0, oc_blk = 0, tiles = 0;
  KernelActivation activation = kActIdentity;
  Buffer<float> weights, bias, scale, shift;
  Buffer<float> unscale;  // of a Strassen product, or of one of integers
  Buffer<float> border;   // of a layer whose results are bytes
  std::size_t bytes() const;
};

struct PackedDepthwise {
  int kernel_size = 0;
  KernelActivation activation = kActIdentity;
  Buffer<float> weights;                   // [c_blk][depthwise_words][lanes]
  Buffer<float> bias, src_scale, scale;    // [c_blk][lanes]
  Buffer<float> shift, unscale, row_zero;  // of bytes; the last [c_blk][k][lanes]
  std::size_t bytes() const;
};

// The order of the input channels in a packed patch embedding: kernels/kernels.h, patches_f32 and
// patches_u8.
enum class PatchOrder { kChannelsFirst, kChannelsLast };

// The place of input channel i in that order in a row of the node's own weights.
inline int patch_column(const Node& node, PatchOrder order, int i) {
  const int area = node.kernel_size * node.kernel_size;
  return order == PatchOrder::kChannelsFirst ? i : i % node.ic * area + i / node.ic;
}

// Values a word of the patch embedding's operands: those of the blocks, but 16 bits each where the
// blocks have bytes.
inline int patch_per_word(const KernelTable& table) {
  return table.precision == kInt8 ? 2 : table.per_word;
}

// Whether a depthwise layer's weights are laid out for matrix tiles.
inline bool taps_in_tiles(int kernel_size, const KernelTable& table) {
  return table.taps_in_tiles && kernel_size <= kMostKernelInTiles;
}

// Words a lane of a depthwise layer's weights: kernels/kernels.h, DepthwiseParams.
int depthwise_words(int kernel_size, const KernelTable& table);

// The bf16 nearest to a float, ties to even; NaN stays NaN.
std::uint16_t to_bf16(float value);

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
// values (not words) of a depthwise layer's packed weights: n times, where a word holds n.
template <typename Put>
void place_taps(int channels, int kernel_size, const KernelTable& table, Put put) {
  if (taps_in_tiles(kernel_size, table)) {
    return place_taps_in_tiles(channels, kernel_size, put);
  }
  const int k = kernel_size, pad = (k - 1) / 2, n = table.per_word, lanes = table.lanes;
  const int before = ceil_div(pad, n), groups = before + ceil_div(k / 2, n) + 1;
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

// Floats or bf16, as the table has them; integers are packed by engine/quantize.h.
// Every function gives the pages of the node's weights back once they are read.
PackedPointwise pack_pointwise(const Node& node, const KernelTable& table);  // kHead too
PackedPointwise pack_patch_embed(const Node& node, const KernelTable& table, PatchOrder order);
// The node's shift must have been folded (fold_batchnorm); throws Error(kInternal) otherwise.
// Results are multiplied by `dst_scale`, a value a channel, or by 1 where it is empty.
PackedDepthwise pack_depthwise(const Node& node, const KernelTable& table,
                               const std::vector<float>& dst_scale);

// All but the weights, whose number of input channels is `ic`; `tiles` of all output channels.
PackedPointwise pack_epilogue(const Node& node, const Epilogue& epilogue, const KernelTable& table,
                              int ic);

// Words that the weights of all its tiles take.
std::size_t product_words(const PackedPointwise& packed, const KernelTable& table, int per_word);

// `count` floats, the n given values first; an empty list stands for `otherwise` in the first n.
Buffer<float> padded(const std::vector<double>& values, double otherwise, int n, int count);

// Whether any weight, bias or BatchNorm value of a fused node is NaN or infinite.
bool has_non_finite(const Node& node);

}  // namespace convmixer
