// SPDX-License-Identifier: Apache-2.0
// Scales and zero points of int8's activations, and the weights that go with them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/graph.h"

namespace convmixer {

// Of one activation tensor, a value a channel: real = scale · (byte − zero_point), bytes 0 … 255.
struct ChannelScales {
  std::vector<float> scale;       // finite, > 0
  std::vector<float> zero_point;  // whole numbers 0 … 255
};

// The weights of a depthwise or pointwise node as int8s, in the node's order. For a weight times
// the scale of its input channel stands an int8 −127 … 127 times the scale of its output channel,
// which is the largest of that channel's / 127.
struct ByteWeights {
  Weights int8s;             // the node's, where it had them
  std::vector<float> scale;  // finite, > 0
};

// Of every tensor between the layers of a network: behind the patch embedding, and in each block
// behind the depthwise part (residual added) and behind the pointwise part.
struct Quantization {
  ChannelScales stem;
  std::vector<ChannelScales> depthwise, pointwise;
  // Of the pointwise layers, as a calibration chose them; empty: each weight is rounded for itself.
  std::vector<ByteWeights> pointwise_weights;

  // What block i reads; the mean behind the last block where there are i of them.
  const ChannelScales& src(std::size_t i) const { return i == 0 ? stem : pointwise.at(i - 1); }

  // The tensors in the order in which a run makes them: 0 is the stem's.
  std::size_t tensors() const { return 1 + depthwise.size() + pointwise.size(); }
  const ChannelScales& tensor(std::size_t i) const {
    return i == 0 ? stem : (i % 2 == 1 ? depthwise : pointwise).at((i - 1) / 2);
  }
};

// The part of the network behind which tensor i lies: kStemName, depthwise_name(0),
// pointwise_name(0), depthwise_name(1), … (engine/graph.h).
std::string tensor_name(std::size_t i);

// Throws Error(kFormat), naming the layer, where a value is out of its range or a number of values
// or blocks is not what `dim` and `depth` tell.
void check_quantization(const Quantization& quantization, int dim, int depth);

}  // namespace convmixer
