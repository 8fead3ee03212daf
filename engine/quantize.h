// SPDX-License-Identifier: Apache-2.0
// Bytes for floats: weights and epilogues that go with the scales of the activations.
#pragma once

#include <array>
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
// products are oneDNN's, of floats.
Epilogue patch_embed_epilogue(const Node& node, const ChannelScales& dst);
// Its sums are those of bytes less their zero points, wherever a tap lies in the image.
ByteLayer depthwise_layer(const Node& node, const ChannelScales& src, const ChannelScales& dst);
// Its sums are those of bytes: the bias has the share of the zero points.
ByteLayer pointwise_layer(const Node& node, const ChannelScales& src, const ChannelScales& dst);
// The same of a depthwise layer, whose border holds the zero points.
ByteLayer bordered_depthwise_layer(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst);

// The mean of the last tensor's bytes → reals: scale · mean + shift.
struct MeanScales {
  std::vector<double> scale, shift;
};
MeanScales mean_scales(const Quantization& quantization);

// The same for a table of kInt8. (See kernels/kernels.h for what each vector holds.)
// PatchParams::scale of floats that were normalised by mean and std: a power of two, so that an
// image's pixels take up to half of the range, and whatever else is shown to the network has the
// rest. (Pixels of ImageNet's normalisation, at most 2.64, become steps of 1/512 below 8.)
float patch_scale(const std::array<double, 3>& mean, const std::array<double, 3>& std);
// Weights of 16 bits for values `src_scale` times as large as the node's: floats at most
// ±kMostPatchValue where channels come first, bytes where they come last. No sum leaves int32.
// Patches of more than 64×64 pixels are an Error(kUnsupported).
PackedPointwise quantize_patch_embed(const Node& node, float src_scale, const ChannelScales& dst,
                                     const KernelTable& table, PatchOrder order);
PackedDepthwise quantize_depthwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table);
PackedPointwise quantize_pointwise(const Node& node, const ChannelScales& src,
                                   const ChannelScales& dst, const KernelTable& table);

}  // namespace convmixer
