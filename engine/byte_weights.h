// SPDX-License-Identifier: Apache-2.0
// Weights as integers, for int8 plans and for files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/graph.h"
#include "engine/joint_rounding.h"
#include "engine/scales.h"

namespace convmixer {

// Of fused nodes; `src` are the scales of their inputs. Each weight is rounded for itself.
ByteWeights depthwise_bytes(const Node& node, const ChannelScales& src);
// Of a block, as `quantization` has them or, if it does not, each rounded for itself. Throws
// Error(kFormat) where the scales of those it has are not what the node's weights give.
ByteWeights pointwise_bytes(const Node& node, const Quantization& quantization, std::size_t block);
// Rounded with regard to each other: `rounding` is of the node's inputs, in steps of `src`.
ByteWeights pointwise_bytes(const Node& node, const ChannelScales& src,
                            const JointRounding& rounding);

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

// Of every block of a fused, folded graph.
std::vector<ByteBlock> quantize_blocks(const Graph& graph, const Quantization& quantization);

}  // namespace convmixer
