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

// [oc tile][ic][kOcTile] weights and [oc tile][kOcTile] vectors of a pointwise product.
struct PackedPointwise {
  int ic_blk = 0, oc_blk = 0, tiles = 0;
  KernelActivation activation = kActIdentity;
  Buffer<float> weights, bias, scale, shift;
  std::size_t bytes() const;
};

struct PackedDepthwise {
  int kernel_size = 0;
  KernelActivation activation = kActIdentity;
  Buffer<float> weights;      // [c_blk][k][k][lanes]
  Buffer<float> bias, scale;  // [c_blk][lanes]
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
PackedDepthwise pack_depthwise(const Node& node, const KernelTable& table);

// Whether any weight, bias or BatchNorm value of a fused node is NaN or infinite.
bool has_non_finite(const Node& node);

}  // namespace convmixer
