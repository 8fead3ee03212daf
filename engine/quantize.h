// SPDX-License-Identifier: Apache-2.0
// Bytes for floats: weights and epilogues that go with the scales of the activations.
#pragma once

#include <cstddef>
#include <vector>

#include "engine/byte_weights.h"
#include "engine/graph.h"
#include "engine/packing.h"
#include "engine/scales.h"

namespace convmixer {

// A layer of bytes; its sums times weights.scale are real, and its epilogue leads to bytes of dst.
struct ByteLayer {
  ByteWeights weights;
  Epilogue epilogue;
};

// Of fused, folded nodes; they throw Error(kFormat) where a value is not finite as a float though
// the node's all are: scales that are in range each may be too far apart. The patch embedding's
// is of sums that are real: oneDNN's products of floats, or ours times unscale.
Epilogue patch_embed_epilogue(const Node& node, const ChannelScales& dst);
// Its sums are those of bytes less their zero points, wherever a tap lies in the image.
ByteLayer depthwise_layer(const Node& node, const ChannelScales& src, const ChannelScales& dst);
// Its sums are those of bytes: the bias has the share of the zero points.
ByteLayer pointwise_layer(const Node& node, const Quantization& quantization, std::size_t block);
// The same of a depthwise layer, whose border holds the zero points.
ByteLayer bordered_depthwise_layer(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst);

// The mean of the last tensor's bytes → reals: scale · mean + shift.
struct MeanScales {
  std::vector<double> scale, shift;
};
MeanScales mean_scales(const Quantization& quantization);

// The same for a table of kInt8. (See kernels/kernels.h for what each vector holds.)
// The patch embedding's weights have 16 bits, its values are `src_scale` times the node's: floats
// where channels come first (PatchParams::scale), bytes where they come last. Throws
// Error(kUnsupported) for patches of more than 64×64 pixels.
PackedPointwise quantize_patch_embed(const Node& node, float src_scale, const ChannelScales& dst,
                                     const KernelTable& table, PatchOrder order);
PackedDepthwise quantize_depthwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table);
// With `levels` of Strassen's algorithm, where the table has such products.
PackedPointwise quantize_pointwise(const Node& node, const Quantization& quantization,
                                   std::size_t block, const KernelTable& table, int levels);

}  // namespace convmixer
