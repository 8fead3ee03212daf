// SPDX-License-Identifier: Apache-2.0
// Fused nodes → weights as the kernels read them. Layouts: kernels/kernels.h.
#pragma once

#include <string>
#include <vector>

#include "engine/graph.h"
#include "kernels/kernels.h"
#include "support/buffer.h"

namespace convmixer {

inline int ceil_div(int a, int b) { return (a + b - 1) / b; }

KernelActivation kernel_activation(Activation activation);

// [oc tile][ic][kOcTile] weights and [oc tile][kOcTile] vectors of a pointwise product; or those of
// a Strassen product (engine/strassen.h), whose tiles are those of the first 1/2 or 1/4 of the
// output channels.
struct PackedPointwise {
  int strassen = 0;  // levels
  int ic = 0, oc_blk = 0, tiles = 0;
  KernelActivation activation = kActIdentity;
  Buffer<float> weights, bias, scale, shift;
  Buffer<float> unscale;  // of a Strassen product
  std::size_t bytes() const;
};

struct PackedDepthwise {
  int kernel_size = 0;
  KernelActivation activation = kActIdentity;
  Buffer<float> weights;                 // [c_blk][k][k][lanes]
  Buffer<float> bias, src_scale, scale;  // [c_blk][lanes]
  std::size_t bytes() const;
};

// The order of the input channels in a packed patch embedding: kernels/kernels.h, patches_f32 and
// patches_u8.
enum class PatchOrder { kChannelsFirst, kChannelsLast };

// kPointwise and kHead (whose affine, that of the features, is left out). Every function gives the
// pages of the node's weights back once they are read.
PackedPointwise pack_pointwise(const Node& node, const KernelTable& table);
PackedPointwise pack_patch_embed(const Node& node, const KernelTable& table, PatchOrder order);
// The node's shift must have been folded (fold_batchnorm); throws Error(kInternal) otherwise.
// Results are multiplied by `dst_scale`, a value a channel, or by 1 where it is empty.
PackedDepthwise pack_depthwise(const Node& node, const KernelTable& table,
                               const std::vector<float>& dst_scale);

// All but the weights, whose number of input channels is `ic`; `tiles` of all output channels.
PackedPointwise pack_epilogue(const Node& node, const Affine& affine, const KernelTable& table,
                              int ic);

// Whether any weight, bias or BatchNorm value of a fused node is NaN or infinite.
bool has_non_finite(const Node& node);

}  // namespace convmixer
