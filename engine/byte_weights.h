// SPDX-License-Identifier: Apache-2.0
// The blocks' weights as signed bytes, for int8 plans and for files.
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
