// SPDX-License-Identifier: Apache-2.0
// Bytes for floats: scales and zero points of the activations, and the weights that go with them.
#pragma once

#include <vector>

#include "engine/graph.h"
#include "engine/packing.h"

namespace convmixer {

// Of one activation tensor, a value a channel: real = scale · (byte − zero_point), bytes 0 … 255.
struct ChannelScales {
  std::vector<float> scale;       // finite, > 0
  std::vector<float> zero_point;  // whole numbers 0 … 255
};

// Of every tensor between the layers of a network: behind the patch embedding, and in each block
// behind the depthwise part (residual added) and behind the pointwise part.
struct Quantization {
  ChannelScales stem;
  std::vector<ChannelScales> depthwise, pointwise;
  bool empty() const { return stem.scale.empty(); }
};

// Throws Error(kFormat), naming the layer, where a value is out of its range or a number of values
// or blocks is not what `dim` and `depth` tell.
void check_quantization(const Quantization& quantization, int dim, int depth);

// The fused, folded nodes for a table of kInt8. Weights are symmetric: signed bytes −127 … 127
// times the scale of their output channel, which is its largest |weight| / 127 after `src`'s scales
// are multiplied in. (See kernels/kernels.h for what each vector holds.) Weights stay floats;
// results become bytes of `dst`.
PackedPointwise quantize_patch_embed(const Node& node, const ChannelScales& dst,
                                     const KernelTable& table, PatchOrder order);
PackedDepthwise quantize_depthwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table);
PackedPointwise quantize_pointwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table);

}  // namespace convmixer
