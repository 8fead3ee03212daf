// SPDX-License-Identifier: Apache-2.0
// Weights as integers, for int8 plans and for files.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/graph.h"
#include "engine/scales.h"

namespace convmixer {

// The weights of a depthwise or pointwise node as int8s, in the node's order. A weight times the
// scale of its input channel is an int8 −127 … 127 times the scale of its output channel, which is
// the largest of that channel's / 127.
struct ByteWeights {
  Weights int8s;  // the node's, where it had them
  std::vector<float> scale;
};

// Of fused nodes; `src` are the scales of their inputs.
ByteWeights depthwise_bytes(const Node& node, const ChannelScales& src);
ByteWeights pointwise_bytes(const Node& node, const ChannelScales& src);

// The weights of a patch embedding as int16s, in the node's order, times the scale of their output
// channel. Products with whole numbers of at most ±most_value add up to no more than int32 holds:
// that leaves weights that are all equal ±3,566 for 7×7 patches and 4,095, ±42 for 64×64.
struct PatchWeights {
  std::vector<std::int16_t> int16s;
  std::vector<float> scale;
};
PatchWeights patch_weights(const Node& node, int most_value);

// The bias of a pointwise node of bytes, which is rounded to float: a file holds no more of it.
std::vector<float> float_bias(const Node& node);

// What an int8 plan computes a block with, as far as it follows from weights and `src`s' scales.
struct ByteBlock {
  ByteWeights depthwise, pointwise;
  std::vector<float> pointwise_bias;  // with the shift of the depthwise BatchNorm folded in
};

// Of every block of a graph as models/ builds it, before any pass.
std::vector<ByteBlock> quantize_blocks(const Graph& graph, const Quantization& quantization);

}  // namespace convmixer
