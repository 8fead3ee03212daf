// SPDX-License-Identifier: Apache-2.0
// int8 in a model file: F32 tensors quant.LAYER.scale and quant.LAYER.zero_point of [dim] values
// each, where LAYER is a tensor_name (engine/scales.h): stem, blocks.N.depthwise or
// blocks.N.pointwise. I8 tensors quant.blocks.N.pointwise.weight, of the shape of the layer's
// weights, are these as the calibration rounded them (ByteWeights); where the blocks' own weights
// are I8, those are. For each such layer, quant.LAYER.weight_scale of [dim] values goes with them
// (engine/graph.h, weight_scale).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/byte_weights.h"
#include "engine/scales.h"
#include "models/convmixer.h"

namespace convmixer {

// Tensors of this prefix belong to int8, and none of the network's does.
constexpr const char* kQuantPrefix = "quant.";
constexpr const char* kWeightSuffix = ".weight";
constexpr const char* kWeightScaleSuffix = ".weight_scale";

// Error(kUnsupported) where the file has no such tensor at all. All must be there (the rounded
// weights of all blocks, or of none), for each layer of `config` and no other, with values that
// check_quantization accepts: Error(kFormat) names file and tensor. Scales made for another
// activation, image size, mean, std or epsilon than `config` has are kInvalidArgument: the caller
// asks for a network that they do not fit.
Quantization read_quantization(const Checkpoint& checkpoint, const ModelConfig& config);

// Puts the same tensors into a checkpoint, instead of those it had. They are views into
// `quantization`, which must outlive it. The metadata says what they were made for.
void add_quantization(const Quantization& quantization, const ModelConfig& config,
                      Checkpoint& checkpoint);

// Puts the blocks' bytes in the place of their weights and of the rounded ones of add_quantization,
// with the biases that belong to them; the depthwise BatchNorms keep no mean and no bias, which
// those biases hold now.
void add_byte_weights(std::shared_ptr<const std::vector<ByteBlock>> blocks, Checkpoint& checkpoint);

}  // namespace convmixer
