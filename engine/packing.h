// SPDX-License-Identifier: Apache-2.0
// Fused nodes → weights as the kernels read them. Layouts: kernels/kernels.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/graph.h"
#include "engine/weight_order.h"
#include "kernels/kernels.h"
#include "support/buffer.h"

namespace convmixer {

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
